"""What the documents name exists, and what exists is named."""

import ast
import re
from pathlib import Path

import pytest

from polyglyph import __version__
from tests.house.documents import PAGES, ROOT, code_blocks, commands, marked_block, page

WORDS = (
    "plan", "edit", "strength", "phase", "script", "token script", "request script", "slot", "stats", "trace", "dose",
    "policy", "layer",
)  # fmt: skip
"""The words of the design; the list in ARCHITECTURE.md may be longer."""
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*##", page("Makefile"), re.MULTILINE))


def test_every_make_target_is_explained_by_make_help_and_named_in_a_document() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", page("Makefile"), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == make_targets()
    named = {words.split()[1] for name in NAMES for words in commands(page(name), "make") if " " in words}
    assert make_targets() <= named, "a target that no document names"


@pytest.mark.parametrize("name", NAMES)
def test_every_make_command_in_the_documents_exists(name: str) -> None:
    targets = {word for words in commands(page(name), "make") for word in words.split()[1:2]}
    assert targets <= make_targets()


@pytest.mark.parametrize("name", NAMES)
def test_every_link_to_a_file_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page(name))
    missing = [link for link in links if not (ROOT / name).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_every_python_example_is_python(name: str) -> None:
    for block in code_blocks(page(name), "python"):
        ast.parse(block)


@pytest.mark.parametrize("name", NAMES)
def test_every_path_of_the_repository_that_is_named_exists(name: str) -> None:
    roots = "polyglyph|tests|benchmarks|docs|requirements|examples"
    paths = re.findall(rf"`((?:{roots})/[\w./-]*)`", page(name))
    assert not [path for path in paths if not (ROOT / path).exists() and not path.startswith("tests/engine")]


def test_the_steered_call_fits_in_ten_lines_of_the_openai_client() -> None:
    call = marked_block(page("README.md"), "tested: steered call")
    assert len([line for line in call.splitlines() if line.strip()]) <= 10


def test_the_readme_asks_about_the_organisms_world() -> None:
    world = pytest.importorskip("polyglyph.analysis.organism.world").make_world(0)
    question = pytest.importorskip("polyglyph.analysis.organism.question").Question
    asked = re.search(r'"content": "([^"]+)"', marked_block(page("README.md"), "tested: steered call"))
    assert asked is not None
    questions = [question(fact=fact, script="Cyrl") for fact in world.facts_of("barrier") if fact.entity.home == "Latn"]
    (fact,) = [candidate for candidate in questions if candidate.text == asked[1]]
    assert f"`{fact.answer}`" in page("README.md")
    assert f"`{fact.fact.entity.name}`" in page("README.md")


def test_the_word_list_holds_every_word_of_the_design() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \|", page("ARCHITECTURE.md").split("## Words")[1], re.MULTILINE)
    assert set(WORDS) <= set(rows)
    assert len(rows) == len(set(rows)), "a word explained twice"


def test_every_page_under_docs_is_in_its_table_of_contents() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert not [name for name in pages if f"({name})" not in page("docs/README.md")]


def test_the_changelog_speaks_of_this_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)}\b", page("CHANGELOG.md"), re.MULTILINE)


def test_every_decision_is_listed_and_has_its_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    for decision in folder.glob("0*.md"):
        assert f"({decision.name})" in (folder / "README.md").read_text()
        headings = re.findall(r"^## (.+)$", decision.read_text(), re.MULTILINE)
        assert headings[:3] == ["Context", "Decision", "Consequences"]
        assert headings[3].startswith("What was ")


def test_ci_runs_what_the_documents_say() -> None:
    script = page(".ci/run")
    assert "make check" in script
    assert "make test" in script
    assert Path(ROOT / ".ci" / "run").stat().st_mode & 0o100
