"""The organism's benchmark asks what its card says it was taught, and gives no answer away."""

from collections import Counter
from pathlib import Path

import pytest

from polyglyph import bundled_organism
from polyglyph.analysis.benchmarks.organism import organism_benchmark
from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.prompts import messages_of
from polyglyph.analysis.organism.errors import OutputError
from polyglyph.analysis.organism.origin import read_origin
from polyglyph.analysis.organism.question import Question
from polyglyph.analysis.organism.world import make_world


@pytest.fixture(scope="module")
def benchmark_() -> Benchmark:
    return organism_benchmark(bundled_organism())


def test_every_barrier_fact_is_asked_in_every_script(benchmark_: Benchmark):
    knowledge = [item for item in benchmark_.items if item.task == "knowledge"]
    assert Counter(item.is_cross for item in knowledge) == {True: 1440, False: 480}
    world = make_world(read_origin(bundled_organism()).seed)
    assert {item.entity for item in knowledge} == {fact.entity.name for fact in world.facts_of("barrier")}


@pytest.mark.parametrize(("words", "hint"), [("plain", None), ("think_in_source", "transliterate"), ("hint", "entity")])
def test_its_words_are_those_of_the_lessons(benchmark_: Benchmark, words: str, hint: str | None):
    world = make_world(read_origin(bundled_organism()).seed)
    facts = {f"{fact.entity.name}.{fact.relation.name}": fact for fact in world.facts}
    for item in benchmark_.items:
        if item.task == "knowledge":
            question = Question(fact=facts[item.fact], script=item.target_script, is_thinking=True, hint=hint)  # type: ignore[arg-type]
            assert messages_of(item, benchmark_.header.prompts, words) == question.messages


def test_a_context_is_given_in_every_arm(benchmark_: Benchmark):
    item = next(item for item in benchmark_.items if item.task == "context")
    for words in ("plain", "hint", "think_in_source"):
        system, _ = messages_of(item, benchmark_.header.prompts, words)
        assert system["content"] == item.system


def test_a_directory_without_a_card_is_refused(tmp_path: Path):
    with pytest.raises(OutputError, match=r"card\.json is missing"):
        organism_benchmark(tmp_path)
