"""The organism's benchmark: barrier facts in all four scripts, and the tasks that steering ought to leave alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polyglyph.analysis.evaluation.benchmark import Benchmark, Header, Prompts
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.reading import make_benchmark
from polyglyph.analysis.organism.origin import read_origin
from polyglyph.analysis.organism.question import HINT, Question
from polyglyph.analysis.organism.task import Exercise, exercises
from polyglyph.analysis.organism.variant import Units, variant_named
from polyglyph.analysis.organism.world import World, make_world
from polyglyph.analysis.organism.writing import SCRIPTS, write

# Twice the longest right answer: what rambles on is cut and counts as wrong.
MAX_TOKENS: dict[Units, int] = {"syllables": 24, "characters": 64}


def organism_benchmark(model: Path) -> Benchmark:
    """Make the benchmark of the world that an organism was taught.

    Args:
        model: Directory of a trained organism; its card names the world.

    Returns:
        1,440 questions away from home, 480 at home, and 1,520 of the other tasks.

    Raises:
        OutputError: The directory holds no card of an organism.
    """
    origin = read_origin(model)
    world = make_world(origin.seed)
    units = variant_named(origin.variant).units
    header = Header(
        name=f"organism-{origin.variant}-{origin.seed}",
        description=f"The organism's synthetic world {origin.seed}: facts known in one script, asked in four.",
        licence="Apache-2.0",
        scorer="exact",
        prompts=Prompts(hint="{entity_hint}", think_in_source={script: write(HINT, script) for script in SCRIPTS}),
        max_tokens=MAX_TOKENS[units],
        seed=origin.seed,
    )
    return make_benchmark(header, [*_knowledge(world), *_tasks(world)])


def _knowledge(world: World) -> Iterator[Item]:
    for fact in world.facts_of("barrier"):
        for script in SCRIPTS:
            question = Question(fact=fact, script=script)
            name = f"{fact.entity.name}.{fact.relation.name}"
            yield Item(
                id=f"{name}.{script}",
                entity=fact.entity.name,
                fact=name,
                question=question.text,
                source_script=fact.entity.home,
                target_script=script,
                answers=(question.answer,),
                source_answers=(write(fact.value, fact.entity.home),),
                candidates=tuple(write(value, script) for value in fact.relation.values),
                entity_hint=write(fact.entity.name, fact.entity.home),
            )


def _tasks(world: World) -> Iterator[Item]:
    for number, exercise in enumerate(exercises(world)):
        yield Item(
            id=f"{exercise.task}.{number}",
            entity=exercise.entity,
            fact=f"{exercise.task}.{number}",
            task=exercise.task,
            question=exercise.question,
            source_script=exercise.script,
            target_script=exercise.script,
            answers=(exercise.answer,),
            **_system(exercise),
        )


def _system(exercise: Exercise) -> dict[str, Any]:
    return {} if exercise.system is None else {"system": exercise.system}
