"""`make test` counts everything, runs each engine file in a process of its own, and cannot be green by accident."""

import os
from pathlib import Path

import pytest

from tests.run import Tally, groups, main

PASSES = "def test_passes(): pass\n"
FAILS = "def test_fails(): assert False\n"
SKIPS = "import pytest\ndef test_skips(): pytest.skip('not here')\n"
DIES = "import os\ndef test_dies(): os._exit(9)\n"
BROKEN = "import nothing_of_this_name\n"
QUIET = ["-q", "-p", "no:cacheprovider"]


@pytest.fixture(autouse=True)
def bare_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    folder = tmp_path / "tests"
    (folder / "engine").mkdir(parents=True)
    return folder


def closing_line(capfd: pytest.CaptureFixture[str]) -> str:
    return capfd.readouterr().out.rstrip().splitlines()[-1]


def test_all_groups_are_added_up_on_the_last_line(tests: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tests / "test_a.py").write_text(PASSES + SKIPS)
    (tests / "engine" / "test_b.py").write_text(PASSES)
    assert main(QUIET, tests=tests) == 0
    assert closing_line(capfd) == "2 passed, 0 failed, 1 skipped"


@pytest.mark.parametrize("body", [FAILS, DIES, BROKEN])
def test_one_bad_engine_file_fails_the_run(tests: Path, body: str, capfd: pytest.CaptureFixture[str]) -> None:
    (tests / "test_a.py").write_text(PASSES)
    (tests / "engine" / "test_b.py").write_text(body)
    assert main(QUIET, tests=tests) == 1
    assert closing_line(capfd) == "1 passed, 1 failed"


def test_no_test_at_all_fails_the_run(tests: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(QUIET, tests=tests) == 1
    assert closing_line(capfd) == "0 passed, 0 failed"


def test_every_engine_file_has_a_process_of_its_own(tests: Path, tmp_path: Path) -> None:
    for name in ("test_a.py", "test_b.py"):
        (tests / "engine" / name).write_text(
            f"import os\ndef test(): open({str(tmp_path)!r} + f'/{{os.getpid()}}', 'x')\n"
        )
    assert main(QUIET, tests=tests) == 0
    processes = {file.name for file in tmp_path.iterdir() if file.is_file()}
    assert len(processes - {str(os.getpid())}) == 2


def test_the_first_group_leaves_the_engine_files_out(tests: Path) -> None:
    (tests / "engine" / "test_b.py").write_text(PASSES)
    (_, first), (_, second) = groups(tests)
    assert first == [str(tests), f"--ignore={tests / 'engine'}"]
    assert second == [str(tests / "engine" / "test_b.py")]


def test_skips_are_said_only_when_there_are_some() -> None:
    assert str(Tally(3, 1)) == "3 passed, 1 failed"
    assert str(Tally(3, 1) + Tally(skipped=2)) == "3 passed, 1 failed, 2 skipped"
