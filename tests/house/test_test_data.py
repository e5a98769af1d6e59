"""What is fetched for the tests: the expected file or none, and what is said where it cannot be had.

npm is a fake that writes an archive of its own.
"""

import hashlib
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NPM = """#!/usr/bin/env bash
echo "$*" >> "$CALLS"
if [[ $FAILING ]]; then exit 1; fi
while [[ $1 != --pack-destination ]]; do shift; done
cp "$ARCHIVE" "$2/package-1.0.0.tgz"
"""
TOOLS = ("bash", "cat", "dirname", "mkdir", "mktemp", "rm", "sha256sum", "tar", "gzip", "touch", "cp")


@dataclass(frozen=True)
class Fetcher:
    """A copy of the script that asks for one small package, and a folder of tools."""

    folder: Path

    @property
    def text(self) -> Path:
        return self.folder / "venv" / "test-data" / "package" / "page.html"

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.folder / "requirements" / "test-data.sh"), str(self.folder / "venv")]
        settings = {
            "PATH": str(self.folder / "bin"),
            "CALLS": str(self.folder / "calls"),
            "ARCHIVE": str(self.folder / "package.tgz"),
            "FAILING": "",
        }
        return subprocess.run(command, env=settings | environment, capture_output=True, text=True, check=False)

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    page = tmp_path / "page.html"
    page.write_text("text")
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        archive.add(page, "package/pages/page.html")
    digest = hashlib.sha256((tmp_path / "package.tgz").read_bytes()).hexdigest()
    script = (ROOT / "requirements" / "test-data.sh").read_text()
    before, _, rest = script.partition("<<'END'\n")
    _, _, after = rest.partition("END\n")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "test-data.sh").write_text(
        f"{before}<<'END'\n@some/package 1.0.0 {digest} package/pages\nEND\n{after}"
    )
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = next(Path(place) / tool for place in os.get_exec_path() if (Path(place) / tool).exists())
        (tmp_path / "bin" / tool).symlink_to(found)
    (tmp_path / "bin" / "npm").write_text(NPM)
    (tmp_path / "bin" / "npm").chmod(0o755)
    return Fetcher(tmp_path)


def test_a_package_is_fetched_once_and_unpacked_into_the_environment(fetcher: Fetcher) -> None:
    assert fetcher.run().returncode == fetcher.run().returncode == 0
    assert fetcher.text.read_text() == "text"
    assert len(fetcher.calls()) == 1


def test_an_archive_with_another_sum_is_refused(fetcher: Fetcher) -> None:
    other = fetcher.folder / "other.tgz"
    other.write_bytes(b"something else")
    outcome = fetcher.run(ARCHIVE=str(other))
    assert outcome.returncode == 1
    assert "is not the file with SHA-256" in outcome.stderr
    assert not fetcher.text.exists()


def test_without_npm_that_is_said_and_nothing_fails(fetcher: Fetcher) -> None:
    (fetcher.folder / "bin" / "npm").unlink()
    outcome = fetcher.run()
    assert outcome.returncode == 0
    assert "npm is not installed" in outcome.stderr


def test_where_npm_does_not_answer_that_is_said_and_the_next_run_tries_again(fetcher: Fetcher) -> None:
    outcome = fetcher.run(FAILING="yes")
    assert outcome.returncode == 0
    assert "could not fetch @some/package@1.0.0" in outcome.stderr
    assert fetcher.run().returncode == 0
    assert fetcher.text.exists()
