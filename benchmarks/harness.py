"""Fair timings on a machine that others use too: ours and the peers in turns, in one process.

A round runs every contender once. A time counts only if other processes left the processors alone
meanwhile; otherwise it is taken again a few times, and a round with a time that stayed disturbed
is dropped. The table shows medians and ratios: ratios carry over between machines, times do not.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from mmjax.measure import matrix_flops

QUIET = 0.1  # processors that other processes may use on average during a measurement
ATTEMPTS = 4
PACKAGES = ("jax", "flax", "torch", "transformers", "open-clip-torch", "numpy")
# XLA:CPU's fused attention hides its scratch from memory_analysis: off where memory is counted.
HONEST_MEMORY = "--xla_cpu_experimental_ynn_fusion_type="


@dataclass
class Contender:
    """Something to time. For a JAX function, its compiled program and its matrix FLOPs too."""

    name: str
    run: Callable[[], None]
    compiled: jax.stages.Compiled | None = None
    flops: int | None = None


def jax_contender(name: str, function: Callable, *arguments) -> Contender:
    """Compiles a function of arrays; the arguments are passed in, never closed over."""
    compiled = jax.jit(function).lower(*arguments).compile()

    def run():
        jax.block_until_ready(compiled(*arguments))

    return Contender(name, run, compiled, matrix_flops(function, *arguments))


def benchmark(title: str, reference: str, cases: dict[str, Callable[[], list[Contender]]]) -> None:
    """Command line of a benchmark: times every case and prints a Markdown table each."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--case", choices=list(cases), help="only this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="print bytes as JSON, time nothing")
    options = parser.parse_args()
    if not options.memory:
        print(f"# {title}\n\n{machine()}")
    for case in [options.case] if options.case else cases:
        contenders = cases[case]()
        if options.memory:
            print(json.dumps({c.name: temporaries(c) for c in contenders if c.compiled}))
            continue
        times, dropped = measure(contenders, options.rounds)
        print(f"\n## {case}\n\n{len(times)} rounds, {dropped} dropped\n")
        print(table(contenders, times, reference, memory(case)), flush=True)


def measure(contenders: list[Contender], rounds: int) -> tuple[list[dict[str, float]], int]:
    """Seconds by contender for each undisturbed round, and how many rounds were dropped."""
    for contender in contenders:
        contender.run()  # compile, fill caches
    kept, dropped = [], 0
    while len(kept) < rounds and dropped < 3 * rounds:
        times = {c.name: undisturbed(c.run) for c in contenders}
        if None in times.values():
            dropped += 1
        else:
            kept.append(times)
    if not kept:
        sys.exit("no round was free of other processes: try again on a quieter machine")
    return kept, dropped


def undisturbed(run: Callable[[], None]) -> float | None:
    """Seconds of a run during which other processes were quiet, None if there was none."""
    for _ in range(ATTEMPTS):
        busy, own, start = busy_seconds(), time.process_time(), time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        others = (busy_seconds() - busy) - (time.process_time() - own)
        # The kernel counts in hundredths of a second: a short run is allowed two of them.
        if others <= QUIET * seconds + 0.02:
            return seconds
        time.sleep(0.5)
    return None


def busy_seconds() -> float:
    """Processor seconds that all processes have used since the machine started (Linux, else 0)."""
    path = Path("/proc/stat")
    if not path.exists():
        return 0.0
    ticks = [int(x) for x in path.read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def temporaries(contender: Contender) -> int:
    return contender.compiled.memory_analysis().temp_size_in_bytes


def memory(case: str) -> dict[str, int]:
    """Bytes of temporaries by contender, from a process whose programs hide none of them."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {HONEST_MEMORY}".strip()
    command = [sys.executable, sys.argv[0], "--memory", "--case", case]
    done = subprocess.run(
        command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(
    contenders: list[Contender],
    times: list[dict[str, float]],
    reference: str,
    memory: dict[str, int],
) -> str:
    lines = [
        f"| | median | ratio to {reference} | of rounds | temporaries | matrix products |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for contender in contenders:
        name = contender.name
        seconds = statistics.median(t[name] for t in times)
        ratios = [t[name] / t[reference] for t in times]
        bytes_ = f"{memory[name] / 1e6:,.1f} MB" if name in memory else ""
        rate = f"{contender.flops / 1e9:,.1f} GFLOP" if contender.flops else ""
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        ratio = statistics.median(ratios)
        lines.append(
            f"| {name} | {1e3 * seconds:,.1f} ms | {ratio:.2f} | {spread} | {bytes_} | {rate} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Processor, cores and versions; no name that tells which machine it is."""
    model, info = platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{os.cpu_count()} cores, {model}, {jax.default_backend()}; " + ", ".join(versions)
