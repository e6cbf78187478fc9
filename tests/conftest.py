"""What every test runs under: strict JAX, eight devices, no display, float64 on request."""

import os

# Read once, when JAX starts its backend, so they come before the import.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MPLBACKEND"] = "Agg"

import jax
import pytest

# A silent broadcast or a silent cast is how a wrong formula looks right.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Lets a test use float64 arrays; JAX goes back to float32 afterwards."""
    with jax.enable_x64(True):
        yield
