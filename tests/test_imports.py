"""An import only ever points down: what a module may build on is decided by its floor."""

import pytest

from tools import imports

FLOORS = {
    "mmjax.checks": 0,
    "mmjax.formulas": 0,
    "mmjax.precision": 0,
    "mmjax.attention": 1,
    "mmjax.modalities": 2,
    "mmjax.fusion": 3,
    "mmjax.losses": 4,
    "mmjax.models": 4,
    "mmjax.evaluation": 5,
    "mmjax.pretrained": 5,
    "mmjax.training": 5,
}
# Beside the house: they know no model, and nothing of the house knows them.
BESIDE = {"mmjax.data", "mmjax.exercises", "mmjax.measure", "mmjax.plotting"}


def place(module):
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("module", sorted(set(imports.modules()) - {"mmjax"}))
def test_imports_point_down(module):
    source = imports.modules()[module].read_text(encoding="utf-8")
    here = place(module)
    for name in map(place, imports.imported(source, module) - {"mmjax"}):
        if here in BESIDE:
            assert name == here or FLOORS.get(name) == 0, f"{module} knows {name}"
        else:
            assert name not in BESIDE, f"{module} knows {name}"
            assert FLOORS[name] <= FLOORS[here], f"{module} looks up to {name}"


def test_every_module_has_a_floor():
    assert {place(m) for m in imports.modules()} - {"mmjax"} <= FLOORS.keys() | BESIDE


def test_the_oracle_knows_no_jax():
    oracle = [m for m in imports.modules() if place(m) in ("mmjax.checks", "mmjax.formulas")]
    assert len(oracle) > 2
    for module in oracle:
        source = imports.modules()[module].read_text(encoding="utf-8")
        assert not {"jax", "flax", "optax"} & {
            line.split()[1].split(".")[0]
            for line in source.splitlines()
            if line.startswith(("import ", "from "))
        }


def test_relative_and_nested_imports_are_seen():
    seen = imports.imported("def f():\n    from ..checks import require", "mmjax.attention.masks")
    assert seen == {"mmjax.checks"}
    assert imports.imported("from . import masks", "mmjax.attention") >= {"mmjax.attention.masks"}


@pytest.mark.parametrize(
    ("source", "within", "beyond"),
    [
        (
            "from mmjax.evaluation import recall_at_k",
            "evaluation.retrieval",
            "evaluation.zero_shot",
        ),
        ("from mmjax import evaluation\nevaluation.recall_at_k", "evaluation.retrieval", "models"),
        (
            "from mmjax import formulas as f\nf.softmax([1])",
            "formulas.attention",
            "formulas.fusion",
        ),
        ("from mmjax.data import scenes\nscenes.render_audio", "data.scenes.audio", "data.glyphs"),
        # Handed on whole, a package may be used for anything; so may one imported by its full name.
        ("from mmjax import formulas\nvars(formulas)", "formulas.fusion", "models"),
        ("import mmjax.formulas", "formulas.fusion", "attention"),
        ("import mmjax.evaluation.search as s", "evaluation.retrieval", "models"),
        # What a module uses itself is reached too, and so is the package's own code.
        ("from mmjax.models.clip import CLIP", "attention.transformer", "models.captioner"),
        ("from mmjax.attention import masks", "attention.masks", "attention.blockwise"),
    ],
)
def test_code_is_reached_where_it_is_used(source, within, beyond):
    found = imports.reached(source)
    assert "mmjax" in found and f"mmjax.{within}" in found
    assert not [name for name in found if name.startswith(f"mmjax.{beyond}")]
