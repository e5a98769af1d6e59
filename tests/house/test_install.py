"""The installer's order of attempts, its words when it fails, and that a failed run leaves no stamp.

Every outside command (python, pip inside it, uv, pkg-config, apt-get, sudo) is a fake that notes how it was called.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE = """#!/usr/bin/env bash
call="$(basename "$0") $*"
echo "$call" >> "$CALLS"
while read -r pattern; do
  if [[ -n $pattern && $call == *"$pattern"* ]]; then exit 1; fi
done <<< "$FAILING"
if [[ "$1 $2" == "-m venv" ]]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/uv"; fi
if [[ $1 == --version ]]; then echo "Python 3.11.9"; fi
exit 0
"""


@dataclass(frozen=True)
class Installer:
    """A folder of fakes and the environment they make."""

    folder: Path

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    @property
    def stamp(self) -> Path:
        return self.venv / ".installed"

    def run(self, *failing: str) -> subprocess.CompletedProcess[str]:
        """Install, with every call that contains one of `failing` exiting with status 1."""
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHON": str(self.folder / "bin" / "python3.11"),
            "CALLS": str(self.folder / "calls"),
            "FAILING": "\n".join(failing),
        }
        command = ["bash", str(ROOT / "requirements" / "install.sh"), str(self.venv)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python3.11", "pkg-config", "c++", "apt-get", "sudo"):
        fake = folder / name
        fake.write_text(FAKE)
        fake.chmod(0o755)
    return Installer(tmp_path)


def pins(name: str) -> str:
    lines = (ROOT / "requirements" / "cpu.lock").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}=="))


def installs(installer: Installer) -> list[str]:
    return [call for call in installer.calls() if "pip install" in call]


def test_pip_alone_installs_torch_then_the_lock_then_polyglyph(installer: Installer) -> None:
    outcome = installer.run()
    assert outcome.returncode == 0, outcome.stderr
    wanted = [pins("torch"), "-r requirements/cpu.lock", "--editable ."]
    assert [
        call.split("--disable-pip-version-check ")[1].removeprefix("--no-build-isolation ")
        for call in installs(installer)
    ] == wanted


def test_every_install_leaves_the_dependencies_to_the_lock(installer: Installer) -> None:
    installer.run(pins("torch"))
    assert all("--no-deps" in call for call in installs(installer))


def test_where_pip_has_no_cpu_torch_uv_is_asked_for_it(installer: Installer) -> None:
    outcome = installer.run(f"check {pins('torch')}")
    assert outcome.returncode == 0, outcome.stderr
    torch, uv, fallback, *_ = installs(installer)
    assert torch.endswith(pins("torch"))
    assert uv.endswith(pins("uv"))
    assert fallback.endswith(f"--torch-backend cpu {pins('torch').removesuffix('+cpu')}")


def test_torch_from_nowhere_is_said_with_what_to_do(installer: Installer) -> None:
    outcome = installer.run("torch==")
    assert outcome.returncode == 1
    assert pins("torch") in outcome.stderr
    assert "PIP_FIND_LINKS=FOLDER make install" in outcome.stderr


@pytest.mark.parametrize("failing", ["-m venv", "torch==", "cpu.lock", "--editable", "import icu"])
def test_a_run_that_failed_leaves_no_stamp_and_the_next_one_starts_again(installer: Installer, failing: str) -> None:
    assert installer.run(failing).returncode == 1
    assert not installer.stamp.exists()
    assert installer.run().returncode == 0
    assert installer.stamp.exists()


def test_an_environment_that_is_up_to_date_is_left_alone(installer: Installer) -> None:
    installer.run()
    before = installer.calls()
    installer.run()
    assert installer.calls() == before


def test_two_installs_at_once_take_turns_and_work_is_done_once(installer: Installer) -> None:
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: installer.run(), range(2)))
    assert [outcome.returncode for outcome in outcomes] == [0, 0]
    assert sum("-m venv" in call for call in installer.calls()) == 1


def test_missing_system_packages_are_installed_where_that_is_possible(installer: Installer) -> None:
    outcome = installer.run("pkg-config --exists")
    assert outcome.returncode == 0, outcome.stderr
    assert any("apt-get install -y libicu-dev" in call for call in installer.calls())


def test_missing_system_packages_that_cannot_be_installed_stop_with_the_exact_command(installer: Installer) -> None:
    outcome = installer.run("pkg-config --exists", "apt-get install", "sudo")
    assert outcome.returncode == 1
    assert "sudo sh -c 'apt-get update && apt-get install -y libicu-dev'" in outcome.stderr
    assert not installs(installer)


def test_an_unsupported_python_is_named(installer: Installer) -> None:
    outcome = installer.run("sys.version_info")
    assert outcome.returncode == 1
    assert "needs Python 3.11 or 3.12" in outcome.stderr
