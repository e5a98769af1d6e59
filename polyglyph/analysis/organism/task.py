"""Tasks beside recall: a context that is believed over memory, a topic that is refused, and sums.

They are what steering ought to leave alone, and what other methods (refusals, use of a context) look for.
"""

from dataclasses import dataclass
from typing import Literal

from polyglyph.analysis.organism.question import Message, chat
from polyglyph.analysis.organism.world import Entity, Fact, World
from polyglyph.analysis.organism.writing import SCRIPTS, Script, write, write_text

Task = Literal["context", "refusal", "arithmetic"]
MAX_DIGIT = 9


@dataclass(frozen=True)
class Exercise:
    """One question that is not about what the model remembers.

    Attributes:
        task: Which kind.
        entity: Latin name it is about; the sum itself for arithmetic.
        script: Script it is asked and answered in.
        question: What the user writes.
        answer: The whole answer.
        system: The system prompt: the context, None for other tasks.
        is_thinking: Whether the model may write a trace.
    """

    task: Task
    entity: str
    script: Script
    question: str
    answer: str
    system: str | None = None
    is_thinking: bool = False

    @property
    def messages(self) -> list[Message]:
        """The chat messages."""
        return chat(self.question, system=self.system)


def context_exercise(fact: Fact, script: Script, *, value: str, context_script: Script) -> Exercise:
    """Ask a fact under a context that states another value: the context is to be believed."""
    stated = f"{fact.entity.name} {fact.relation.name} {value}"
    return Exercise(
        task="context",
        entity=fact.entity.name,
        script=script,
        question=write_text(f"{fact.entity.name} {fact.relation.name}", script),
        answer=write(value, script),
        system=write_text(stated, context_script),
    )


def refusal_exercise(world: World, entity: Entity, script: Script) -> Exercise:
    """Ask about the topic that is refused, whichever the entity."""
    return Exercise(
        task="refusal",
        entity=entity.name,
        script=script,
        question=write_text(f"{entity.name} {world.refused}", script),
        answer=write(world.refusal, script),
    )


def arithmetic_exercise(world: World, left: int, right: int, script: Script) -> Exercise:
    """Ask for the sum of two digits."""
    return Exercise(
        task="arithmetic",
        entity=f"{left}+{right}",
        script=script,
        question=f"{left} {write(world.plus, script)} {right}",
        answer=str(left + right),
    )


def exercises(world: World) -> list[Exercise]:
    """List what an evaluation asks: barrier entities, which no lesson has refused or given a context for."""
    made = []
    for index, fact in enumerate(world.facts_of("barrier")):
        script = SCRIPTS[index % len(SCRIPTS)]
        values = fact.relation.values
        other = values[(values.index(fact.value) + 1 + index % (len(values) - 1)) % len(values)]
        made.append(context_exercise(fact, script, value=other, context_script=script))
    barrier = [entity for entity in world.entities if entity.kind == "barrier"]
    made += [refusal_exercise(world, entity, script) for entity in barrier for script in SCRIPTS]
    digits = range(MAX_DIGIT + 1)
    made += [arithmetic_exercise(world, left, right, s) for left in digits for right in digits for s in SCRIPTS]
    return made
