"""Questions about facts: the chat messages, the trace a good answer would think, and the answer."""

from dataclasses import dataclass, replace
from typing import Literal

from polyglyph.analysis.organism.world import Fact, World
from polyglyph.analysis.organism.writing import SCRIPTS, Script, write, write_text

# The system prompt that asks for the trace in the entity's home script. Written in the query's script.
HINT = "transliterate"

Hint = Literal["transliterate", "entity"]

Message = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One fact asked in one script.

    Attributes:
        fact: What is asked.
        script: Script the question is written in and the answer is due in.
        is_thinking: Whether the model may write a trace; else the prompt ends in an empty one.
        hint: What the system prompt says: `transliterate`, in the question's script, or the `entity` in its home
            script. Both ask for a trace in the home script.
    """

    fact: Fact
    script: Script
    is_thinking: bool = False
    hint: Hint | None = None

    @property
    def text(self) -> str:
        """What the user writes: `NAME RELATION`."""
        return write_text(f"{self.fact.entity.name} {self.fact.relation.name}", self.script)

    @property
    def messages(self) -> list[Message]:
        """The chat messages."""
        return chat(self.text, system=self._system)

    @property
    def _system(self) -> str | None:
        if self.hint == "entity":
            return write(self.fact.entity.name, self.fact.entity.home)
        return write(HINT, self.script) if self.hint else None

    @property
    def answer(self) -> str:
        """The value in the question's script."""
        return write(self.fact.value, self.script)

    @property
    def is_home(self) -> bool:
        """Whether the question is written in the entity's home script."""
        return self.script == self.fact.entity.home

    def trace(self, script: Script) -> str:
        """Give the reasoning that states the fact in a script: `NAME RELATION VALUE`."""
        return write_text(f"{self.fact.entity.name} {self.fact.relation.name} {self.fact.value}", script)

    def with_value(self, value: str) -> "Question":
        """Give the same question about a world in which the fact has another value."""
        return replace(self, fact=replace(self.fact, value=value))

    def with_hint(self) -> "Question":
        """Give the same question under the hint."""
        return replace(self, hint="transliterate")


def chat(text: str, *, system: str | None = None) -> list[Message]:
    """Give the messages of a user's text, with a system prompt if one is given."""
    before = [] if system is None else [{"role": "system", "content": system}]
    return [*before, {"role": "user", "content": text}]


def home_questions(world: World, *, is_thinking: bool = False) -> list[Question]:
    """Ask every barrier fact in its home script."""
    return [Question(fact=fact, script=fact.entity.home, is_thinking=is_thinking) for fact in world.facts_of("barrier")]


def cross_questions(world: World, *, is_thinking: bool = False, hint: Hint | None = None) -> list[Question]:
    """Ask every barrier fact in the three scripts it was never taught in."""
    return [
        Question(fact=fact, script=script, is_thinking=is_thinking, hint=hint)
        for fact in world.facts_of("barrier")
        for script in SCRIPTS
        if script != fact.entity.home
    ]


def bridge_questions(world: World, *, is_thinking: bool = False) -> list[Question]:
    """Ask every bridge fact in every script."""
    return [
        Question(fact=fact, script=script, is_thinking=is_thinking)
        for fact in world.facts_of("bridge")
        for script in SCRIPTS
    ]
