"""Summary: a world on one screen."""

from polyglyph.analysis.organism.question import Question
from polyglyph.analysis.organism.world import KINDS, NUM_ENTITIES, World
from polyglyph.analysis.organism.writing import SCRIPTS


def summarise(world: World) -> str:
    """Describe a world: sizes, relations, and one barrier fact per home script, asked in every script."""
    counts = ", ".join(f"{NUM_ENTITIES[kind]} {kind}" for kind in KINDS)
    relations = ", ".join(f"{relation.name} ({len(relation.values)} values)" for relation in world.relations)
    lines = [f"world {world.seed}: {counts} entities", f"relations: {relations}", "", "home  question -> answer"]
    for home in SCRIPTS:
        fact = next(fact for fact in world.facts_of("barrier") if fact.entity.home == home)
        questions = (Question(fact=fact, script=script) for script in SCRIPTS)
        lines += [f"{home}  {question.text} -> {question.answer}" for question in questions]
    return "\n".join(lines)
