"""`make bench`: the tests of what is timed come first, then the timing."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import invariance, throughput

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the benchmarks; the exit status is that of the tests when they are red."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--mode", choices=["compiled", "eager"], action="append", help="default: both")
    parser.add_argument("--rounds", type=int, default=10, help="how often each arm is measured")
    parser.add_argument(
        "--skip-tests", action="store_true", help="time without running the tests first; nothing is kept"
    )
    arguments = parser.parse_args()
    if not arguments.skip_tests:
        gate = [sys.executable, "-m", "pytest", "-q", "tests/kernels", "tests/engine/test_agreement.py"]
        status = subprocess.run(gate, check=False).returncode
        if status:
            print("The tests of what would be timed are red: nothing is measured.", file=sys.stderr)
            return status
    keep = not arguments.skip_tests
    for mode in arguments.mode or ["compiled", "eager"]:
        record = throughput.run(mode, rounds=arguments.rounds)
        show(f"throughput-{mode}", record, throughput.to_markdown(record), keep=keep)
    record = invariance.run()
    show("invariance", record, invariance.to_markdown(record), keep=keep)
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
