# Usage: sh tools/setup.sh VENV [PYTHON]
# Puts the locked packages and mmjax itself into VENV: with uv where there is uv, else with venv
# and pip. Both install the same versions and check the same hashes.
set -eu
venv=$1
python=${2:-}
start=$(date +%s)

usable() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if command -v uv >/dev/null 2>&1; then
    echo "Installing into $venv with uv ..."
    UV_PROJECT_ENVIRONMENT=$venv uv sync --frozen --quiet ${python:+--python "$python"}
else
    for name in ${python:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if usable "$name"; then found=$name; break; fi
    done
    if [ -z "${found:-}" ]; then
        echo "No Python >= 3.11 with venv and ensurepip among: ${python:-python3, python3.11 ...}." >&2
        echo "Install one (on Debian: apt install python3-venv), or uv, and try again." >&2
        exit 1
    fi
    echo "Installing into $venv with $($found --version) and pip (about a minute) ..."
    "$found" -m venv "$venv"
    # --no-deps: the lock is complete, so pip has nothing to resolve.
    pip="$venv/bin/python -m pip --disable-pip-version-check -qq"
    $pip install --require-hashes --no-deps --requirement requirements.lock
    $pip install --no-deps --no-build-isolation --editable .
fi
echo "Ready after $(($(date +%s) - start)) s."
