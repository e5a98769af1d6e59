"""The page of results says what its files say: written again, it is the same."""

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("cross_script", FOLDER / "cross_script.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_its_script_writes(script: ModuleType) -> None:
    assert script.render(script.pool_worlds()) == (FOLDER / "cross-script.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["gains", "strengths", "ablations"])
def test_the_page_shows_a_plot_that_is_there(name: str) -> None:
    page = (FOLDER / "cross-script.md").read_text(encoding="utf-8")
    assert f"](cross-script/{name}.svg)" in page
    assert (FOLDER / "cross-script" / f"{name}.svg").stat().st_size > 1000


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.json")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_result_names_no_machines_folder_and_holds_held_out_items_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r'"/[\w.-]+/[^"]*"', text), "an absolute path"
    document = json.loads(text)
    if path.name == "results.json":
        assert document["asked"]["is_held_out"]
    if path.name == "search.json":
        assert document["half"] == "development"
