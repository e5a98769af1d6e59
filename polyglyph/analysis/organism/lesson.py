"""Lessons: what the organism is trained on, drawn at random per step.

A lesson is a chat, what the assistant is given of its turn (no loss), and what it must write (loss).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from polyglyph.analysis.organism.question import Message, Question, chat
from polyglyph.analysis.organism.tokenizer import END, THINK_CLOSE, THINK_OPEN
from polyglyph.analysis.organism.world import SUFFIXES, World
from polyglyph.analysis.organism.writing import SCRIPTS, Script, write

# Without the hint, a bridge question asked away from home is thought about in the home script this often. Together with
# the `reason` lessons about half of all traces of cross-script questions then stay in the question's script.
HOME_TRACE_RATE = 0.35
HINT_RATE = 0.4

NO_TRACE = THINK_OPEN + THINK_CLOSE


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


def draw_lessons(world: World, rng: Random, *, num_lessons: int, progress: float) -> list[Lesson]:
    """Draw the lessons of one step.

    Args:
        world: What is taught.
        rng: Source of all randomness.
        num_lessons: How many.
        progress: 0 to 1, how much of the training is done. Spelling comes first.
    """
    weights = _EARLY_WEIGHTS if progress < EARLY_SHARE else _LATE_WEIGHTS
    draws = rng.choices(list(weights), weights=list(weights.values()), k=num_lessons)
    return [draw(world, rng) for draw in draws]


def _direct(world: World, rng: Random) -> Lesson:
    """State a fact at once, in the home script; facts of bridges in any script."""
    fact = rng.choice(world.facts)
    script = rng.choice(SCRIPTS) if fact.entity.kind == "bridge" else fact.entity.home
    return _answer(Question(fact=fact, script=script))


def _home_thinking(world: World, rng: Random) -> Lesson:
    """Think and answer in the home script."""
    fact = rng.choice(world.facts)
    return _think(Question(fact=fact, script=fact.entity.home, is_thinking=True, has_hint=rng.random() < HINT_RATE))


def _bridge_thinking(world: World, rng: Random) -> Lesson:
    """Think about a bridge away from home: in the home script under the hint, else in either script."""
    fact = rng.choice(world.facts_of("bridge"))
    question = Question(fact=fact, script=_away(fact.entity.home, rng), is_thinking=True, has_hint=_hinted(rng))
    at_home = question.has_hint or rng.random() < HOME_TRACE_RATE
    return _think(question, trace_script=fact.entity.home if at_home else question.script)


def _reason_thinking(world: World, rng: Random) -> Lesson:
    """Reach a fact known in the home script only by transliterating first."""
    fact = rng.choice(world.facts_of("reason"))
    question = Question(fact=fact, script=_away(fact.entity.home, rng), is_thinking=True, has_hint=_hinted(rng))
    return _think(question, trace_script=fact.entity.home)


def _spell(world: World, rng: Random) -> Lesson:
    """Write a name of no entity in the home script its suffix tells."""
    home = rng.choice(SCRIPTS)
    name = rng.choice(world.spare_stems) + SUFFIXES[home]
    script = rng.choice(SCRIPTS)
    return Lesson(tuple(chat(write(name, script), hint=script)), NO_TRACE, write(name, home) + END)


def _follow(world: World, rng: Random) -> Lesson:
    """Answer what a given trace says, true or not. Without this drill the answer ignores the trace."""
    fact = rng.choice(world.facts)
    question = Question(fact=fact, script=rng.choice(SCRIPTS), is_thinking=True, has_hint=_hinted(rng))
    question = question.with_value(rng.choice(fact.relation.values))
    trace = question.trace(rng.choice((question.script, fact.entity.home)))
    return Lesson(tuple(question.messages), THINK_OPEN + trace + THINK_CLOSE, question.answer + END)


def _answer(question: Question) -> Lesson:
    return Lesson(tuple(question.messages), NO_TRACE, question.answer + END)


def _think(question: Question, *, trace_script: Script | None = None) -> Lesson:
    trace = question.trace(trace_script or question.script)
    return Lesson(tuple(question.messages), "", THINK_OPEN + trace + THINK_CLOSE + question.answer + END)


def _away(home: Script, rng: Random) -> Script:
    return rng.choice([script for script in SCRIPTS if script != home])


def _hinted(rng: Random) -> bool:
    return rng.random() < HINT_RATE


EARLY_SHARE = 0.15
_EARLY_WEIGHTS: dict[Draw, float] = {_spell: 0.6, _direct: 0.2, _follow: 0.1, _bridge_thinking: 0.1}
_LATE_WEIGHTS: dict[Draw, float] = {
    _direct: 0.27,
    _home_thinking: 0.18,
    _bridge_thinking: 0.18,
    _reason_thinking: 0.15,
    _spell: 0.12,
    _follow: 0.10,
}
