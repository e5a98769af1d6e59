"""The house's shape: parts, module names and opening sentences."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = {"contract", "kernels", "routing", "server", "analysis", "clients"}
MODULES = sorted((ROOT / "polyglyph").rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]


def test_the_package_has_the_parts_of_the_design() -> None:
    folders = {path.parent.name for path in (ROOT / "polyglyph").glob("*/__init__.py")}
    assert folders == PARTS


def test_no_module_is_named_after_nothing() -> None:
    empty = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)($|_)")
    assert not [name for name in NAMES if any(empty.search(part) for part in Path(name).with_suffix("").parts)]


@pytest.mark.parametrize("name", NAMES)
def test_every_module_opens_with_a_sentence_on_what_it_is_for(name: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / name).read_text(encoding="utf-8")))
    assert text, "no docstring"
    assert re.search(r"[.:?]$", text.splitlines()[0]) or "." in text


def test_vllm_is_patched_in_one_folder_only() -> None:
    wrapping = [name for name in NAMES if re.search(r"\bwrap\(", (ROOT / name).read_text(encoding="utf-8"))]
    assert all(name.startswith("polyglyph/routing/compat/") for name in wrapping)


def test_nothing_is_pickled() -> None:
    pickling = re.compile(r"\b(import pickle|torch\.load\(|allow_pickle=True)")
    assert not [name for name in NAMES if pickling.search((ROOT / name).read_text(encoding="utf-8"))]
