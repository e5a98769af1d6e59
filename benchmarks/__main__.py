"""`make bench`: the tests of what is timed come first, then the timing."""

import argparse
import subprocess
import sys

from benchmarks import throughput


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
    for mode in arguments.mode or ["compiled", "eager"]:
        record = throughput.run(mode, rounds=arguments.rounds)
        if not arguments.skip_tests:
            print(f"kept in {throughput.write(record)}", file=sys.stderr)
        print(throughput.to_markdown(record), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
