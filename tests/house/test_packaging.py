"""What is installed: the lock, the base install without torch and vLLM, the entry points, the wheel."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import polyglyph

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = ("torch", "vllm", "transformers", "triton", "icu")
WITH_VLLM = {
    "fastapi", "mistral_common", "numba", "prometheus_client", "psutil", "safetensors", "sentencepiece", "starlette",
    "tiktoken", "tokenizers", "transformers", "triton", "uvicorn", "uvloop",
}  # fmt: skip
"""What vLLM itself stands on and brings along, in every release we support."""
BLOCKER = """
import sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the base install", name=name)

sys.meta_path.insert(0, Blocker())
"""


def lock() -> dict[str, Requirement]:
    lines = (ROOT / "requirements" / "cpu.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_the_lock_pins_every_package_to_one_version() -> None:
    assert all(str(pin.specifier).startswith("==") and "*" not in str(pin.specifier) for pin in lock().values())


def test_the_lock_names_no_host_and_no_folder() -> None:
    text = (ROOT / "requirements" / "cpu.lock").read_text()
    assert "://" not in text
    assert not any(line.startswith(("-", "/")) for line in text.splitlines())


@pytest.mark.parametrize("package", ["torchvision", "torchaudio", "torchcodec"])
def test_the_lock_leaves_out_what_breaks_transformers(package: str) -> None:
    assert package not in lock()


def test_the_lock_answers_every_requirement_of_the_package() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["cpu"], *extras["analysis"], *extras["dev"]]
    pins = lock()
    for requirement in map(Requirement, wanted):
        pin = pins[canonicalize_name(requirement.name)]
        version = str(pin.specifier).removeprefix("==").partition("+")[0]
        assert requirement.specifier.contains(version), f"{requirement} is locked as {pin}"


def test_every_package_that_is_imported_is_a_requirement() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    names = {canonicalize_name(Requirement(line).name).replace("-", "_") for line in declared}
    allowed = names | WITH_VLLM | {"icu", "polyglyph", "tests", "benchmarks"} | sys.stdlib_module_names
    assert imported_packages() <= allowed


def imported_packages() -> set[str]:
    names: set[str] = set()
    for folder in ("polyglyph", "tests", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    return names


def test_the_base_and_the_clients_need_neither_torch_nor_vllm() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for part in ("contract", "clients")
        for path in sorted((ROOT / "polyglyph" / part).rglob("*.py"))
        if path.name != "__main__.py"
    ]
    code = BLOCKER.format(heavy=set(HEAVY)) + "".join(f"import {module}\n" for module in ["polyglyph", *modules])
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_the_help_of_the_command_needs_neither_torch_nor_vllm() -> None:
    pytest.importorskip("polyglyph.clients.commands")
    code = BLOCKER.format(heavy=set(HEAVY))
    code += "sys.argv = ['polyglyph', '--help']\nfrom polyglyph.clients.commands import main\nmain()\n"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "serve" in outcome.stdout


def entry_points() -> list[str]:
    groups = PROJECT["entry-points"].values()
    return sorted({target for group in groups for target in group.values()} | set(PROJECT["scripts"].values()))


@pytest.mark.parametrize("target", entry_points())
def test_every_entry_point_leads_to_something_that_can_be_called(target: str) -> None:
    module, _, name = target.partition(":")
    assert find_spec(module) is not None, f"{module} does not exist"
    assert callable(getattr(import_module(module), name))


def test_the_version_stands_in_one_form_everywhere() -> None:
    assert PROJECT["version"] == polyglyph.__version__


def test_the_wheel_holds_every_module_and_the_organism(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "polyglyph"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    assert set(tracked) <= packed
    for part in (polyglyph.bundled_organism(), polyglyph.bundled_plans()):
        data = {str(file.relative_to(ROOT)) for file in part.rglob("*") if file.is_file()}
        assert data <= packed
