"""Run every test; each file under tests/engine/ in a process of its own, because a vLLM engine wants one for itself."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

TESTS = Path(__file__).parent
NO_TESTS_COLLECTED = 5
OFFLINE = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
"""Tests use no network: a model or a report that would need one fails at once."""


@dataclass(frozen=True)
class Tally:
    """How many tests ended how; a pytest process that dies counts as one failure."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        """Sum two tallies."""
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        """Write the closing line."""
        line = f"{self.passed} passed, {self.failed} failed"
        return f"{line}, {self.skipped} skipped" if self.skipped else line


def main(arguments: Sequence[str], *, tests: Path = TESTS) -> int:
    """Run all groups in turn, never two engines at once, and print the sum.

    Args:
        arguments: Flags of pytest, handed to every group.
        tests: Folder of the tests.

    Returns:
        The exit status: 0 when something passed and nothing failed.
    """
    total = Tally()
    for name, selection in groups(tests):
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        tally = run_group(selection, arguments)
        total += tally
        print(f"=== {name}: {tally} in {time.monotonic() - started:.0f} s", flush=True)
    if total == Tally():
        print("No test was collected.", file=sys.stderr)
    print(f"\n{total}")
    return 0 if total.passed and not total.failed else 1


def groups(tests: Path) -> Iterator[tuple[str, list[str]]]:
    """Give each group's name and pytest's selection for it."""
    engine = tests / "engine"
    yield tests.name, [str(tests), f"--ignore={engine}"]
    for file in sorted(engine.glob("**/test_*.py")):
        yield f"{tests.name}/{file.relative_to(tests)}", [str(file)]


def run_group(selection: Sequence[str], arguments: Sequence[str]) -> Tally:
    """Run one pytest process and count."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *selection, f"--junitxml={report}", *arguments]
        status = subprocess.run(command, check=False, cwd=TESTS.parent, env=os.environ | OFFLINE).returncode
        tally = read_report(report)
    if status in {0, NO_TESTS_COLLECTED} or tally.failed:
        return tally
    return tally + Tally(failed=1)


def read_report(report: Path) -> Tally:
    """Count a JUnit report; one that is missing or cut off counts nothing."""
    try:
        suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - pytest wrote it just now
    except (OSError, ET.ParseError):
        return Tally()
    total = sum(int(suite.get("tests", 0)) for suite in suites)
    skipped = sum(int(suite.get("skipped", 0)) for suite in suites)
    failed = sum(int(suite.get("failures", 0)) + int(suite.get("errors", 0)) for suite in suites)
    return Tally(total - skipped - failed, failed, skipped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
