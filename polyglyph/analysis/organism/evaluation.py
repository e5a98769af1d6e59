"""Evaluation: what a trained organism knows, where the barrier stands, and how its routing depends on the script."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from polyglyph.analysis.organism.decoding import Decoder, Reply
from polyglyph.analysis.organism.frequency import script_bits
from polyglyph.analysis.organism.question import Question, bridge_questions, cross_questions, home_questions
from polyglyph.analysis.organism.task import Exercise, Task, exercises
from polyglyph.analysis.organism.world import World
from polyglyph.analysis.organism.writing import script_of
from polyglyph.analysis.statistics.wilson import Score, score


@dataclass(frozen=True)
class Evaluation:
    """What was measured, greedily. Barrier entities unless it says bridge; `cross` is the three other scripts.

    Attributes:
        home_direct: Asked in the home script, no thinking.
        home_thinking: The same with thinking.
        cross_direct: Asked in another script: the barrier.
        cross_thinking: The same with thinking.
        cross_hint: The same with thinking and the hint `transliterate`.
        cross_entity_hint: The same with thinking and the entity's name in its home script.
        home_traces: Share of traces of `cross_thinking` in the home script.
        home_traces_hint: Share of traces of `cross_hint` in the home script.
        context: Direct answers from a context that contradicts memory.
        refusal: Direct refusals of the topic.
        arithmetic: Direct sums.
        bridge_direct: Bridge entities in all scripts, no thinking.
        bridge_thinking: The same with thinking.
        script_bits: Mutual information of script and selected expert on the tokens of names, per layer, 0 to 2.
    """

    home_direct: Score
    home_thinking: Score
    cross_direct: Score
    cross_thinking: Score
    cross_hint: Score
    cross_entity_hint: Score
    home_traces: Score
    home_traces_hint: Score
    bridge_direct: Score
    bridge_thinking: Score
    context: Score
    refusal: Score
    arithmetic: Score
    script_bits: tuple[float, ...]

    @property
    def home(self) -> Score:
        """Both home modes together."""
        modes = (self.home_direct, self.home_thinking)
        return Score(sum(mode.num_right for mode in modes), sum(mode.num_asked for mode in modes))


def evaluate(decoder: Decoder, world: World) -> Evaluation:
    """Ask everything there is to ask of the barrier and bridge entities: about 12,000 questions, a minute or two."""
    thinking, hinted = (
        cross_questions(world, is_thinking=True),
        cross_questions(world, is_thinking=True, hint="transliterate"),
    )
    tasks = exercises(world)
    thinking_replies, hinted_replies = decoder.reply(thinking), decoder.reply(hinted)
    return Evaluation(
        home_direct=_ask(decoder, home_questions(world)),
        home_thinking=_ask(decoder, home_questions(world, is_thinking=True)),
        cross_direct=_ask(decoder, cross_questions(world)),
        cross_thinking=score(are_right(thinking, thinking_replies)),
        cross_hint=score(are_right(hinted, hinted_replies)),
        cross_entity_hint=_ask(decoder, cross_questions(world, is_thinking=True, hint="entity")),
        home_traces=score(have_home_traces(thinking, thinking_replies)),
        home_traces_hint=score(have_home_traces(hinted, hinted_replies)),
        bridge_direct=_ask(decoder, bridge_questions(world)),
        bridge_thinking=_ask(decoder, bridge_questions(world, is_thinking=True)),
        **{task: _ask(decoder, [one for one in tasks if one.task == task]) for task in get_args(Task)},
        script_bits=script_bits(decoder, [entity.name for entity in world.entities if entity.kind == "barrier"]),
    )


def are_right(questions: Sequence[Question | Exercise], replies: Sequence[Reply]) -> list[bool]:
    """Tell which replies give the answer in the question's script, exactly."""
    return [reply.answer == question.answer for question, reply in zip(questions, replies, strict=True)]


def have_home_traces(questions: Sequence[Question], replies: Sequence[Reply]) -> list[bool]:
    """Tell which replies think in the entity's home script."""
    pairs = zip(questions, replies, strict=True)
    return [script_of(reply.trace) == question.fact.entity.home for question, reply in pairs]


def _ask(decoder: Decoder, questions: Sequence[Question | Exercise]) -> Score:
    return score(are_right(questions, decoder.reply(questions)))
