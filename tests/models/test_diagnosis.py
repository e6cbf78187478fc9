"""The diagnosis model: shapes, what is missing is not read, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.models.diagnosis import DiagnosisConfig, DiagnosisModel
from mmjax.models.encoders import ImageEncoderConfig

CONFIG = {
    "picture": ImageEncoderConfig(6, 2, 3, TransformerConfig(layers=1, width=6, heads=2)),
    "fields": 5,
    "record": TransformerConfig(layers=1, width=4, heads=2),
}


@pytest.fixture(scope="module")
def model():
    return DiagnosisModel(DiagnosisConfig(**CONFIG), rngs=nnx.Rngs(0))


def inputs(number=3):
    rng = np.random.default_rng(0)
    shapes = {"picture": (number, 6, 6, 2), "record": (number, 5, 2)}
    return {m: jnp.asarray(rng.normal(size=s), jnp.float32) for m, s in shapes.items()}


@nnx.jit
def run(model, x, present):
    return model(x, present)


def test_what_is_missing_has_no_influence(model):
    x, there = inputs(), jnp.array([True, False, True])
    present = {"picture": jnp.ones(3, bool), "record": there}
    other = x | {"record": jnp.where(there[:, None, None], x["record"], 7.0)}
    np.testing.assert_array_equal(run(model, x, present), run(model, other, present))
    z = run(model, x, present)
    whole = run(model, x, {m: jnp.ones(3, bool) for m in x})
    assert z.shape == (3,) and z.dtype == jnp.float32
    np.testing.assert_array_equal(np.asarray(z == whole), there)


def test_a_field_that_is_not_measured_can_be_told_from_an_average_one(model):
    x = inputs(1)
    average = x["record"].at[0, 3].set(jnp.array([0.0, 1.0]))
    missing = x["record"].at[0, 3].set(jnp.array([0.0, 0.0]))
    here = {m: jnp.ones(1, bool) for m in x}
    z = [run(model, x | {"record": r}, here) for r in (average, missing)]
    assert abs(z[0] - z[1]) > 1e-4


def test_weights_over_patches_sum_to_one(model):
    reader = model.readers["picture"]
    weights = jax.jit(lambda x: reader.weights(x))(inputs()["picture"])
    assert weights.shape == (3, 2, 2)
    np.testing.assert_allclose(weights.sum(axis=(1, 2)), 1, rtol=1e-6)


def test_one_modality_alone_has_one_reader():
    alone = DiagnosisModel(DiagnosisConfig(("record",), **CONFIG), rngs=nnx.Rngs(0))
    assert set(alone.readers) == {"record"}
    with pytest.raises(ValueError, match="'inputs': expected the names \\['record'\\]"):
        alone(inputs())


def test_names_that_do_not_exist_are_refused():
    for reads in ((), ("picture", "sound")):
        with pytest.raises(ValueError, match="'reads': expected at least one of"):
            DiagnosisConfig(reads)
