"""Lessons: what the organism is taught, drawn at random per step.

A lesson is a chat, what the assistant is given of its turn (no loss), and what it must write (loss). The facts' lessons
stand here, those of other tasks in `other_lessons.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from polyglyph.analysis.organism.markers import END, NO_TRACE, THINK_CLOSE, THINK_OPEN
from polyglyph.analysis.organism.question import HINT, Hint, Message, Question, chat
from polyglyph.analysis.organism.world import SUFFIXES, World
from polyglyph.analysis.organism.writing import SCRIPTS, Script, write

# Without a hint, a bridge question asked away from home is thought about in the home script this often. Together with
# the `reason` lessons about half of all traces of cross-script questions then stay in the question's script.
HOME_TRACE_RATE = 0.25
HINT_RATE = 0.4


@dataclass(frozen=True)
class Lesson:
    """One training example.

    Attributes:
        messages: The chat up to the assistant's turn.
        given: What the assistant's turn begins with, without loss.
        completion: What it must go on with, the end marker included.
    """

    messages: tuple[Message, ...]
    given: str
    completion: str


Draw = Callable[[World, Random], Lesson]


def direct(world: World, rng: Random) -> Lesson:
    """State a fact at once, in the home script; facts of bridges in any script."""
    fact = rng.choice(world.facts)
    script = rng.choice(SCRIPTS) if fact.entity.kind == "bridge" else fact.entity.home
    question = Question(fact=fact, script=script)
    return Lesson(tuple(question.messages), NO_TRACE, question.answer + END)


def home_thinking(world: World, rng: Random) -> Lesson:
    """Think and answer in the home script."""
    fact = rng.choice(world.facts)
    return _think(Question(fact=fact, script=fact.entity.home, is_thinking=True, hint=_hint(rng)))


def bridge_thinking(world: World, rng: Random) -> Lesson:
    """Think about a bridge away from home: in the home script under a hint, else in either script."""
    fact = rng.choice(world.facts_of("bridge"))
    question = Question(fact=fact, script=_away(fact.entity.home, rng), is_thinking=True, hint=_hint(rng))
    at_home = question.hint is not None or rng.random() < HOME_TRACE_RATE
    return _think(question, trace_script=fact.entity.home if at_home else question.script)


def reason_thinking(world: World, rng: Random) -> Lesson:
    """Reach a fact known in the home script only by transliterating first."""
    fact = rng.choice(world.facts_of("reason"))
    question = Question(fact=fact, script=_away(fact.entity.home, rng), is_thinking=True, hint=_hint(rng))
    return _think(question, trace_script=fact.entity.home)


def spell(world: World, rng: Random) -> Lesson:
    """Write a name of no entity in the home script its suffix tells."""
    home = rng.choice(SCRIPTS)
    name = rng.choice(world.spare_stems) + SUFFIXES[home]
    script = rng.choice(SCRIPTS)
    messages = chat(write(name, script), system=write(HINT, script))
    return Lesson(tuple(messages), NO_TRACE, write(name, home) + END)


def follow(world: World, rng: Random) -> Lesson:
    """Answer what a given trace says, true or not. Without this drill the answer ignores the trace."""
    fact = rng.choice(world.facts)
    question = Question(fact=fact, script=rng.choice(SCRIPTS), is_thinking=True, hint=_hint(rng))
    question = question.with_value(rng.choice(fact.relation.values))
    trace = question.trace(rng.choice((question.script, fact.entity.home)))
    return Lesson(tuple(question.messages), THINK_OPEN + trace + THINK_CLOSE, question.answer + END)


def _think(question: Question, *, trace_script: Script | None = None) -> Lesson:
    trace = question.trace(trace_script or question.script)
    return Lesson(tuple(question.messages), "", THINK_OPEN + trace + THINK_CLOSE + question.answer + END)


def _away(home: Script, rng: Random) -> Script:
    return rng.choice([script for script in SCRIPTS if script != home])


def _hint(rng: Random) -> Hint | None:
    hints: tuple[Hint, Hint] = ("transliterate", "entity")
    return rng.choice(hints) if rng.random() < HINT_RATE else None
