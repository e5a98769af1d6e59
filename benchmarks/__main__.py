"""`make bench`: the tests of what is timed come first, then the timing."""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROUNDS = 30
RESULTS = Path(__file__).parent / "results"
Result = tuple[str, dict[str, Any], str]
"""Name of the files, record, and the record as a table."""


@dataclass(frozen=True)
class Benchmark:
    """What can be timed.

    Attributes:
        tests: Paths of the tests that must be green before.
        takes_rounds: How often each arm is measured can be said.
        modes: How the engine can run; a result for each.
    """

    tests: tuple[str, ...]
    takes_rounds: bool = False
    modes: tuple[str, ...] = ()

    def run(self, name: str, arguments: argparse.Namespace) -> Iterator[Result]:
        """Run the module of this name, imported only now: an engine's processes import what this one has."""
        module = import_module(f"benchmarks.{name}")
        options = {"rounds": arguments.rounds or ROUNDS} if self.takes_rounds else {}
        for mode in arguments.mode or self.modes if self.modes else (None,):
            record = module.run(mode, **options) if mode else module.run(**options)
            yield f"{name}-{mode}" if mode else name, record, module.to_markdown(record)


_ENGINE = ("tests/kernels", "tests/engine/test_agreement.py")
BENCHMARKS = {
    "kernels": Benchmark(("tests/kernels",)),
    "steps": Benchmark(_ENGINE),
    "throughput": Benchmark(_ENGINE, takes_rounds=True, modes=("compiled", "eager")),
    "serving": Benchmark(("tests/engine/test_agreement.py", "tests/server"), takes_rounds=True),
    "invariance": Benchmark(("tests/engine/test_agreement.py",)),
    "labels": Benchmark(("tests/kernels/test_label_scripts.py", "tests/routing/test_script_labels.py")),
    "traces": Benchmark(("tests/server/test_traced_requests.py",)),
}


def main() -> int:
    """Run the benchmarks; the exit status is that of the tests when they are red."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--mode", choices=["compiled", "eager"], action="append", help="throughput: default both")
    parser.add_argument("--rounds", type=int, help="throughput, serving: how often each arm is measured; default 30")
    parser.add_argument(
        "--skip-tests", action="store_true", help="time without running the tests first; nothing is kept"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BENCHMARKS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    chosen = {name: BENCHMARKS[name] for name in arguments.names or BENCHMARKS}
    if arguments.rounds and not all(benchmark.takes_rounds for benchmark in chosen.values()):
        parser.error("--rounds is for throughput and serving; name them")
    if arguments.mode and not all(benchmark.modes for benchmark in chosen.values()):
        parser.error("--mode is for throughput; name it")
    if not arguments.skip_tests:
        tests = dict.fromkeys(test for benchmark in chosen.values() for test in benchmark.tests)
        status = subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], check=False).returncode
        if status:
            print("The tests of what would be timed are red: nothing is measured.", file=sys.stderr)
            return status
    for each, benchmark in chosen.items():
        for name, record, table in benchmark.run(each, arguments):
            show(name, record, table, keep=not arguments.skip_tests)
    return 0


def show(name: str, record: dict[str, Any], table: str, *, keep: bool) -> None:
    """Print a table, and keep it with its record; an older one of the same name and accelerator is replaced."""
    print(table, flush=True)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        accelerator = record["hardware"].get("accelerator", "")
        name = "-".join([name, *re.findall(r"[a-z0-9]+", accelerator.lower())])
        (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        (RESULTS / f"{name}.md").write_text(table)


if __name__ == "__main__":
    sys.exit(main())
