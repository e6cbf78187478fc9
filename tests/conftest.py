"""What every test runs under: strict JAX, eight devices, no display, float64 on request."""

import os
from importlib.metadata import version


def compiler_flags() -> list[str]:
    """XLA's flags: eight devices, and in the quick form a code generator that optimises nothing.

    A test compiles dozens of tiny programs and runs each once, so most of its time is XLA's code
    generator. The quick form takes a fifth of it with jaxlib 0.10; later ones gain less, and end
    the process at the third flag. The passes on the program, and so its memory and operation
    counts, are those of the compiler as students run it, which is the form "full". CI does both.
    """
    flags = ["--xla_force_host_platform_device_count=8"]
    if os.environ.get("MMJAX_TEST_COMPILER", "quick") == "quick":
        flags += ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
        if version("jaxlib").startswith("0.10."):
            flags.append("--xla_cpu_use_fusion_emitters=false")
    return flags


# Read once, when JAX starts its backend, so it comes before the import.
os.environ["XLA_FLAGS"] = " ".join([*compiler_flags(), os.environ.get("XLA_FLAGS", "")]).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MPLBACKEND"] = "Agg"

import jax  # noqa: E402
import pytest  # noqa: E402

# A silent broadcast or a silent cast is how a wrong formula looks right.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Lets a test use float64 arrays; JAX goes back to float32 afterwards."""
    with jax.enable_x64(True):
        yield
