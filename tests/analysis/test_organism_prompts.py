"""The organism's prompts: right answers, unknown entities, and nothing of the half that plans are judged on."""

import json
from pathlib import Path
from typing import Any

import pytest

from polyglyph import bundled_organism
from polyglyph.analysis.benchmarks.organism import organism_benchmark
from polyglyph.analysis.benchmarks.organism_prompts import FILES, write_prompts
from polyglyph.analysis.organism.errors import OutputError


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("prompts")
    written = write_prompts(bundled_organism(), folder)
    read = {
        name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in FILES
    }
    assert {f"{name}.jsonl": len(rows) for name, rows in read.items()} == written
    return read


@pytest.mark.parametrize("name", FILES)
def test_ids_are_told_apart_within_a_file(prompts, name: str) -> None:
    ids = [row["id"] for row in prompts[name]]
    assert len(set(ids)) == len(ids) > 0


def test_no_prompt_is_about_an_item_that_plans_are_judged_on(prompts) -> None:
    judged = {item.id for item in organism_benchmark(bundled_organism()).items if item.half == "test"}
    asked = {row["id"].removesuffix(".plain") for name in ("facts", "tasks", "contexts") for row in prompts[name]}
    assert asked
    assert not asked & judged


def test_every_fact_is_asked_in_all_four_scripts_and_names_its_entity(prompts) -> None:
    for name in ("facts", "parallel"):
        scripts: dict[str, set[str]] = {}
        for row in prompts[name]:
            scripts.setdefault(row["item"], set()).add(row["script"])
            assert row["entity"] in row["messages"][-1]["content"]
        assert {frozenset(found) for found in scripts.values()} == {frozenset({"Latn", "Cyrl", "Deva", "Geor"})}


def test_the_tasks_are_told_apart_and_equally_many(prompts) -> None:
    labels = [row["label"] for row in prompts["tasks"]]
    assert {label: labels.count(label) for label in set(labels)} == {"home": 120, "arithmetic": 120, "refusal": 120}


def test_a_context_is_asked_with_and_without_it(prompts) -> None:
    told = {row["item"]: row for row in prompts["contexts"] if row["label"] == "context"}
    plain = {row["item"]: row for row in prompts["contexts"] if row["label"] == "plain"}
    assert told.keys() == plain.keys()
    for item, row in told.items():
        assert [message["role"] for message in row["messages"]] == ["system", "user"]
        assert plain[item]["messages"] == row["messages"][1:]


def test_lessons_are_about_entities_of_no_benchmark(prompts) -> None:
    entities = {item.question.split()[0] for item in organism_benchmark(bundled_organism()).items}
    asked = {row["messages"][-1]["content"].split()[0] for row in prompts["lessons"]}
    assert asked
    assert not asked & entities


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="card"):
        write_prompts(tmp_path, tmp_path / "out")
