"""`make bench`: the tests of what is timed come first, then the timing."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import invariance, labels, throughput, traces

RESULTS = Path(__file__).parent / "results"
Result = tuple[str, dict[str, Any], str]
"""Name of the files, record, and the record as a table."""


@dataclass(frozen=True)
class Benchmark:
    """What can be timed.

    Attributes:
        tests: Paths of the tests that must be green before.
        run: Gives its results, one after the other.
    """

    tests: tuple[str, ...]
    run: Callable[[argparse.Namespace], Iterator[Result]]


def run_throughput(arguments: argparse.Namespace) -> Iterator[Result]:
    """Time every mode that was asked for."""
    for mode in arguments.mode or ["compiled", "eager"]:
        record = throughput.run(mode, rounds=arguments.rounds)
        yield f"throughput-{mode}", record, throughput.to_markdown(record)


def run_invariance(_: argparse.Namespace) -> Iterator[Result]:
    """Compare plain vLLM with itself."""
    record = invariance.run()
    yield "invariance", record, invariance.to_markdown(record)


def run_labels(_: argparse.Namespace) -> Iterator[Result]:
    """Time script labels and compare the two ways to make them."""
    record = labels.run()
    yield "labels", record, labels.to_markdown(record)


def run_traces(_: argparse.Namespace) -> Iterator[Result]:
    """Weigh traces in responses, and time their encoding."""
    record = traces.run()
    yield "traces", record, traces.to_markdown(record)


BENCHMARKS = {
    "throughput": Benchmark(("tests/kernels", "tests/engine/test_agreement.py"), run_throughput),
    "invariance": Benchmark(("tests/engine/test_agreement.py",), run_invariance),
    "labels": Benchmark(("tests/kernels/test_label_scripts.py", "tests/routing/test_script_labels.py"), run_labels),
    "traces": Benchmark(("tests/server/test_traced_requests.py",), run_traces),
}


def main() -> int:
    """Run the benchmarks; the exit status is that of the tests when they are red."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--mode", choices=["compiled", "eager"], action="append", help="throughput: default both")
    parser.add_argument("--rounds", type=int, default=10, help="throughput: how often each arm is measured")
    parser.add_argument(
        "--skip-tests", action="store_true", help="time without running the tests first; nothing is kept"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BENCHMARKS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    chosen = [BENCHMARKS[name] for name in arguments.names or BENCHMARKS]
    if not arguments.skip_tests:
        tests = dict.fromkeys(test for benchmark in chosen for test in benchmark.tests)
        status = subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], check=False).returncode
        if status:
            print("The tests of what would be timed are red: nothing is measured.", file=sys.stderr)
            return status
    for benchmark in chosen:
        for name, record, table in benchmark.run(arguments):
            show(name, record, table, keep=not arguments.skip_tests)
    return 0


def show(name: str, record: dict[str, Any], table: str, *, keep: bool) -> None:
    """Print a table, and keep it with its record; an older one of the same name is replaced."""
    print(table, flush=True)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        (RESULTS / f"{name}.md").write_text(table)


if __name__ == "__main__":
    sys.exit(main())
