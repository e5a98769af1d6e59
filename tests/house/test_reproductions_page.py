"""The page of reproductions says what its records say: written again, it is the same."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from polyglyph.analysis.reproduction.registry import NAMES

FOLDER = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("reproductions", FOLDER / "reproductions.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_its_script_writes(script: ModuleType) -> None:
    page = (FOLDER / "reproductions.md").read_text(encoding="utf-8")
    assert script.render(script.read_records()) == page


@pytest.mark.parametrize("name", NAMES)
def test_every_reproduction_has_a_record_with_its_verdict_and_random_controls(name: str) -> None:
    record = json.loads((FOLDER / "reproductions" / f"{name}.json").read_text(encoding="utf-8"))
    assert record["schema"] == "polyglyph.reproduction/1"
    assert record["name"] == name
    assert record["verdict"] in {"reached", "in part", "not reached", "not judged"}
    assert record["run"]["draws"] >= 5
    assert record["run"]["model"]["fingerprint"].startswith("sha256:")
    for arms in record["arms"].values():
        drawn = [arm["kind"] for arm in arms if arm["kind"] in {"matched", "uniform"}]
        assert len(drawn) >= 5, "fewer random controls than a claim needs"


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_a_section_of_every_reproduction(name: str) -> None:
    assert f"\n## `{name}`" in (FOLDER / "reproductions.md").read_text(encoding="utf-8")
