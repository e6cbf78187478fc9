"""pyproject.toml, uv.lock, requirements.lock and environment.yml say the same thing."""

import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
INDEX = "https://pypi.org/simple"
SYSTEMS = {
    "linux.*x86_64": {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"},
    "linux.*aarch64": {"sys_platform": "linux", "os_name": "posix", "platform_machine": "aarch64"},
    "macosx.*arm64": {"sys_platform": "darwin", "os_name": "posix", "platform_machine": "arm64"},
    "win_amd64": {"sys_platform": "win32", "os_name": "nt", "platform_machine": "AMD64"},
}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def lock():
    return tomllib.loads((ROOT / "uv.lock").read_text())


@pytest.fixture(scope="module")
def mmjax_lock(lock):
    return next(package for package in lock["package"] if package["name"] == "mmjax")


def requirement(entry):
    extras = f"[{','.join(entry['extras'])}]" if "extras" in entry else ""
    return entry["name"] + extras, entry.get("specifier", "")


def declared(lines):
    found = map(Requirement, lines)
    return {
        (r.name + (f"[{','.join(sorted(r.extras))}]" if r.extras else ""), str(r.specifier))
        for r in found
    }


@cache
def pip_lock():
    """(requirement, number of its hashes) for each line of requirements.lock."""
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    return [
        (Requirement(block.split("\\")[0].strip()), block.count("--hash=sha256:"))
        for block in blocks
    ]


def pinned():
    """(name, version) of every package of requirements.lock."""
    return {(r.name, str(r.specifier).removeprefix("==")) for r, _ in pip_lock()}


def test_the_lock_is_made_from_the_project_file(project, mmjax_lock):
    wanted = declared(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        wanted |= declared(extra)
    assert {requirement(entry) for entry in mmjax_lock["metadata"]["requires-dist"]} == wanted
    for group, lines in project["dependency-groups"].items():
        locked = mmjax_lock["metadata"]["requires-dev"][group]
        assert {requirement(entry) for entry in locked} == declared(lines), group


def test_uv_agrees_where_it_is_installed():
    uv = shutil.which("uv")
    if uv:
        command = [uv, "lock", "--check", "--offline", "--no-config"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_lock_names_only_the_canonical_index(lock):
    sources = [package["source"] for package in lock["package"] if package["name"] != "mmjax"]
    assert {tuple(source.items()) for source in sources} == {(("registry", INDEX),)}
    files = [
        file
        for package in lock["package"]
        for file in [*package.get("wheels", []), package.get("sdist", {})]
        if file
    ]
    assert files
    assert all(file["url"].startswith("https://files.pythonhosted.org/") for file in files)


def test_the_pip_lock_holds_the_default_groups_at_the_same_versions(project, lock, mmjax_lock):
    versions = {}
    for package in lock["package"]:
        versions.setdefault(package["name"], []).append(package)
    queue = list(mmjax_lock["dependencies"])
    for group in project["tool"]["uv"]["default-groups"]:
        queue += mmjax_lock["dev-dependencies"][group]
    wanted = set()
    while queue:
        needed = queue.pop()
        for package in versions[needed["name"]]:
            if needed.get("version", package["version"]) != package["version"]:
                continue
            key = package["name"], package["version"]
            extras = [
                d for e in needed.get("extra", ()) for d in package["optional-dependencies"][e]
            ]
            if key not in wanted or extras:
                fresh = key not in wanted
                wanted.add(key)
                queue += extras + (package.get("dependencies", []) if fresh else [])
    assert pinned() == wanted


def test_every_package_of_the_pip_lock_has_hashes():
    assert all(hashes for _, hashes in pip_lock())
    assert not re.search(r"https?://|file:", (ROOT / "requirements.lock").read_text())


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_no_package_needs_a_compiler(lock, minor, system):
    environment = SYSTEMS[system] | {
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    wheels = {
        (package["name"], package["version"]): [
            wheel["url"].rsplit("/", 1)[1] for wheel in package.get("wheels", [])
        ]
        for package in lock["package"]
    }
    for need, _ in pip_lock():
        if need.marker is None or need.marker.evaluate(environment):
            names = wheels[need.name, str(need.specifier).removeprefix("==")]
            assert any(fits(name, f"cp3{minor}", system) for name in names), str(need)


def fits(wheel, python, system):
    """Whether a wheel's file name says that it installs there."""
    tags, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    right_python = abi == "abi3" or {python, "py3"} & set(tags.split("."))
    universal = "macosx" in system and "universal2" in platform
    return bool(right_python) and (
        platform == "any" or universal or bool(re.search(system, platform))
    )


def test_torch_and_its_users_are_not_installed_by_default():
    names = {name for name, _ in pinned()}
    assert not names & {"torch", "torchvision", "transformers", "open-clip-torch"}
    assert not [name for name in names if name.startswith("nvidia-")]


def test_the_lock_has_a_jax_for_the_oldest_python_and_a_newer_one():
    versions = sorted(Version(version) for name, version in pinned() if name == "jax")
    assert versions[0] >= Version("0.10.2")
    assert len(versions) == 2


def test_conda_takes_the_same_packages(project):
    text = (ROOT / "environment.yml").read_text()
    assert f"- python{project['project']['requires-python']}\n" in text
    assert re.search(r"^channels:\n  - conda-forge\n  - nodefaults\n", text, re.MULTILINE)
    assert "  - pip\n  - pip:\n      - --requirement requirements.lock\n" in text
    assert f"name: {project['project']['name']}\n" in text
