"""The other tasks: contexts, refusals and sums, and what the lessons may give away of them."""

from random import Random

import pytest

from polyglyph.analysis.organism import other_lessons
from polyglyph.analysis.organism.errors import OutputError
from polyglyph.analysis.organism.lesson import Lesson
from polyglyph.analysis.organism.task import Exercise, arithmetic_exercise, exercises
from polyglyph.analysis.organism.tokenizer import build_tokenizer
from polyglyph.analysis.organism.variant import VARIANTS, variant_named
from polyglyph.analysis.organism.world import World
from polyglyph.analysis.organism.writing import SCRIPTS, romanise, script_of, write


def of_task(world: World, task: str) -> list[Exercise]:
    return [one for one in exercises(world) if one.task == task]


def words_of(lesson: Lesson) -> set[str]:
    text = " ".join(message["content"] for message in lesson.messages)
    return {romanise(word, script_of(word) or "Latn") for word in text.split(" ")}


def test_an_evaluation_asks_every_barrier_fact_once_in_a_context_every_refusal_and_every_sum(world: World):
    assert [len(of_task(world, task)) for task in ("context", "refusal", "arithmetic")] == [480, 640, 400]


def test_a_context_always_contradicts_memory(world: World):
    truth = {(fact.entity.name, fact.relation.name): fact.value for fact in world.facts}
    for exercise in of_task(world, "context"):
        name, relation = (romanise(word, exercise.script) for word in exercise.question.split(" "))
        stated = romanise(exercise.answer, exercise.script)
        assert truth[name, relation] != stated
        assert stated in {value for other in world.relations for value in other.values if other.name == relation}


@pytest.mark.parametrize("draw", [other_lessons.context, other_lessons.refusal])
def test_no_lesson_refuses_or_contradicts_a_barrier_entity(world: World, draw: object):
    barrier = {entity.name for entity in world.entities if entity.kind == "barrier"}
    rng = Random(0)
    assert not barrier & {word for _ in range(2000) for word in words_of(draw(world, rng))}  # type: ignore[operator]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_sum_is_asked_in_the_script_and_answered_in_digits(world: World, script: str):
    exercise = arithmetic_exercise(world, 9, 8, script)  # type: ignore[arg-type]
    assert exercise.question == f"9 {write(world.plus, script)} 8"  # type: ignore[arg-type]
    assert exercise.answer == "17"


def test_the_other_tasks_words_are_no_words_of_the_facts(world: World):
    others = {world.refused, world.refusal, world.plus}
    assert len(others) == 3
    assert not others & {word for relation in world.relations for word in (relation.name, *relation.values)}


def test_characters_are_tokens_where_nothing_is_kept_whole(world: World):
    tokenizer = build_tokenizer(world, "characters")
    for script in SCRIPTS:
        word = write(world.plus, script)
        assert [tokenizer.decode([index]) for index in tokenizer.encode(word)] == list(word)


def test_an_unknown_variant_is_refused_with_those_there_are():
    with pytest.raises(OutputError, match="expected one of full, unaligned, unrewarded, natural, characters"):
        variant_named("half")


def test_only_the_natural_variants_are_free_of_engineering():
    free = {name for name, one in VARIANTS.items() if not one.shared_variance and not one.script_information}
    assert free == {"natural", "characters"}
