"""Questions about cities in the organism's style, `NAME RELATION`: messages, trace and answer."""

from dataclasses import dataclass, replace

from polyglyph.analysis.names.atlas import Atlas, Fact
from polyglyph.analysis.names.relation import WORDS
from polyglyph.analysis.names.script import Script
from polyglyph.analysis.organism.question import Hint, Message, chat

HINTS: dict[Script, str] = {
    "Latn": "transliterate",
    "Cyrl": "транслитерируй",
    "Arab": "انقل",
    "Deva": "लिप्यंतरण",
    "Beng": "লিপ্যন্তর",
    "Hebr": "תעתיק",
    "Geor": "ტრანსლიტერაცია",
    "Grek": "μεταγραφή",
    "Kana": "トランスリテレート",
}
"""The system prompt that asks for the trace in the city's home script. Ours."""


@dataclass(frozen=True, kw_only=True)
class CityQuestion:
    """One fact asked in one script.

    Attributes:
        fact: What is asked.
        script: Script the question is written in and the answer is due in; the city has a name in it.
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
        """What the user writes."""
        return state(self.fact, self.script)

    @property
    def messages(self) -> list[Message]:
        """The chat messages."""
        return chat(self.text, system=self._system)

    @property
    def answer(self) -> str:
        """The value in the question's script."""
        return self.fact.answer(self.script)

    @property
    def is_home(self) -> bool:
        """Whether the question is written in the city's home script."""
        return self.script == self.fact.home

    def trace(self, script: Script) -> str:
        """Give the reasoning that states the fact in a script: `NAME RELATION VALUE`."""
        return f"{state(self.fact, script)} {self.fact.answer(script)}"

    def with_code(self, code: str) -> "CityQuestion":
        """Give the same question about a city for which the fact has another value."""
        return replace(self, fact=replace(self.fact, code=code))

    @property
    def _system(self) -> str | None:
        if self.hint == "entity":
            return self.fact.place.city.written(self.fact.home)
        return HINTS[self.script] if self.hint else None


def state(fact: Fact, script: Script) -> str:
    """Write `NAME RELATION` in a script that the city has a name in."""
    return f"{fact.place.city.written(script)} {WORDS[fact.relation.name][script]}"


def home_questions(atlas: Atlas, *, is_thinking: bool = False) -> list[CityQuestion]:
    """Ask every barrier fact in its home script."""
    return [CityQuestion(fact=f, script=f.home, is_thinking=is_thinking) for f in atlas.facts_of("barrier")]


def cross_questions(atlas: Atlas, *, is_thinking: bool = False, hint: Hint | None = None) -> list[CityQuestion]:
    """Ask every barrier fact in every other script that the city has a name in."""
    return [
        CityQuestion(fact=fact, script=script, is_thinking=is_thinking, hint=hint)
        for fact in atlas.facts_of("barrier")
        for script in fact.place.city.scripts
        if script != fact.home
    ]


def bridge_questions(atlas: Atlas, *, is_thinking: bool = False) -> list[CityQuestion]:
    """Ask every bridge fact in every script that the city has a name in."""
    return [
        CityQuestion(fact=fact, script=script, is_thinking=is_thinking)
        for fact in atlas.facts_of("bridge")
        for script in fact.place.city.scripts
    ]
