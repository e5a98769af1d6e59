"""The benchmark of real names asks evenly, gives nothing away, and says what is guessable."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from polyglyph.analysis.benchmarks.names import names_benchmark
from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.prompts import messages_of
from polyglyph.analysis.evaluation.reading import read_benchmark, write_benchmark
from polyglyph.analysis.names.atlas import Atlas, make_atlas
from polyglyph.analysis.names.question import CityQuestion


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return make_atlas(0)


@pytest.fixture(scope="module")
def benchmark_(atlas: Atlas) -> Benchmark:
    return names_benchmark(0, atlas=atlas)


def test_a_run_over_the_test_half_asks_three_thousand_items_at_most(benchmark_: Benchmark):
    assert 2000 <= sum(item.half == "test" for item in benchmark_.items) <= 3000


def test_no_pair_of_scripts_has_more_than_its_share(benchmark_: Benchmark):
    pairs = Counter((item.half, item.pair) for item in benchmark_.items)
    assert max(pairs.values()) == 100


def test_only_barrier_cities_are_asked_and_only_what_is_not_guessable_is_knowledge(benchmark_: Benchmark, atlas: Atlas):
    facts = {f"{fact.place.city.geoname_id}.{fact.relation.name}": fact for fact in atlas.facts_of("barrier")}
    for item in benchmark_.items:
        assert atlas.is_guessable(facts[item.fact]) == (item.task == "guessable")


def test_a_city_is_in_one_half(benchmark_: Benchmark):
    halves = defaultdict(set)
    for item in benchmark_.items:
        halves[item.entity].add(item.half)
    assert {len(half) for half in halves.values()} == {1}


def test_the_answer_is_among_the_candidates_and_no_question_gives_it_away(benchmark_: Benchmark):
    for item in benchmark_.items:
        assert item.answers[0] in item.candidates and item.answers[0] not in item.question


@pytest.mark.parametrize(("words", "hint"), [("plain", None), ("think_in_source", "transliterate"), ("hint", "entity")])
def test_its_words_are_those_of_the_lessons(benchmark_: Benchmark, atlas: Atlas, words: str, hint: str | None):
    facts = {f"{fact.place.city.geoname_id}.{fact.relation.name}": fact for fact in atlas.facts}
    for item in benchmark_.items[::10]:
        question = CityQuestion(fact=facts[item.fact], script=item.target_script, is_thinking=True, hint=hint)  # type: ignore[arg-type]
        assert messages_of(item, benchmark_.header.prompts, words) == question.messages


def test_sentences_ask_the_same_facts_with_the_same_answers(benchmark_: Benchmark, atlas: Atlas):
    sentences = names_benchmark(0, style="sentence", atlas=atlas)
    assert [(i.id, i.answers, i.half) for i in sentences.items] == [(i.id, i.answers, i.half) for i in benchmark_.items]
    assert all(
        len(item.question) > len(other.question) for item, other in zip(sentences.items, benchmark_.items, strict=True)
    )


def test_it_is_the_same_each_time_and_survives_its_file(benchmark_: Benchmark, atlas: Atlas, tmp_path: Path):
    assert names_benchmark(0, atlas=atlas) == benchmark_ != names_benchmark(1, atlas=make_atlas(1))
    write_benchmark(benchmark_, tmp_path / "names.jsonl")
    assert read_benchmark(tmp_path / "names.jsonl") == benchmark_
    assert "GeoNames" in benchmark_.header.licence
