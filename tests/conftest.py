"""What every test runs under: strict JAX, eight devices, no display, float64 on request."""

import os

# A test compiles dozens of tiny programs and runs each once: most of its time is XLA's code
# generator. This cuts that to a fifth. The passes on the program itself, and so its memory and
# operation counts, stay. MMJAX_TEST_COMPILER=full is the compiler as students run it; CI does both.
QUICK_COMPILER = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
compiler = os.environ.get("MMJAX_TEST_COMPILER", "quick")
if compiler not in ("quick", "full"):
    raise ValueError(f"MMJAX_TEST_COMPILER: expected 'quick' or 'full', got {compiler!r}")

# Read once, when JAX starts its backend, so they come before the import. The last one counts.
os.environ["XLA_FLAGS"] = " ".join(
    [
        *(QUICK_COMPILER if compiler == "quick" else ()),
        "--xla_force_host_platform_device_count=8",
        os.environ.get("XLA_FLAGS", ""),
    ]
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
