"""Evaluation: what an organism of real names knows, where its barrier stands, and what guessing would give."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from polyglyph.analysis.names.atlas import Atlas
from polyglyph.analysis.names.question import CityQuestion, bridge_questions
from polyglyph.analysis.names.sample import QUESTIONS_PER_PAIR, draw_sample
from polyglyph.analysis.names.script import script_of_name
from polyglyph.analysis.names.specialisation import name_script_bits
from polyglyph.analysis.organism.decoding import Decoder, Reply
from polyglyph.analysis.organism.question import Hint
from polyglyph.analysis.statistics.wilson import Score, score

BRIDGE_QUESTIONS_PER_PAIR = 10


@dataclass(frozen=True)
class NamesEvaluation:
    """What was measured, greedily, on the sample; `cross` is away from home, and without what can be guessed.

    Attributes:
        home_direct: Asked in the home script, no thinking.
        home_thinking: The same with thinking.
        cross_direct: Asked in another script: the barrier.
        cross_thinking: The same with thinking.
        cross_hint: The same with thinking and the hint `transliterate`.
        cross_entity_hint: The same with thinking and the city's name in its home script.
        cross_majority: What the most frequent value of the home script's cities would get of the same questions.
        home_traces: Share of traces of `cross_thinking` in the home script.
        home_names: Share of traces of `cross_thinking` that begin with the city's name in its home script.
        home_names_hint: The same of `cross_hint`: how well names are spelled.
        guessable_direct: Away from home, what the home script nearly gives away, no thinking.
        guessable_thinking: The same with thinking.
        bridge_direct: Bridge cities in their scripts, no thinking.
        bridge_thinking: The same with thinking.
        by_home: `cross_thinking` by home script.
        by_question: `cross_thinking` by the question's script.
        script_bits: Mutual information of script and selected expert on the tokens of names, per layer, 0 to 3.17.
    """

    home_direct: Score
    home_thinking: Score
    cross_direct: Score
    cross_thinking: Score
    cross_hint: Score
    cross_entity_hint: Score
    cross_majority: Score
    home_traces: Score
    home_names: Score
    home_names_hint: Score
    guessable_direct: Score
    guessable_thinking: Score
    bridge_direct: Score
    bridge_thinking: Score
    by_home: dict[str, Score]
    by_question: dict[str, Score]
    script_bits: tuple[float, ...]


def evaluate_names(decoder: Decoder, atlas: Atlas, *, per_pair: int = QUESTIONS_PER_PAIR) -> NamesEvaluation:
    """Ask the sample of both halves in every mode: about 22,000 answers, five minutes on one core.

    Args:
        decoder: The organism.
        atlas: What it was taught.
        per_pair: Questions of each half, home script and question script; ten times as many bridge questions in all.
    """
    sample = draw_sample(atlas, per_pair=per_pair)
    home = [s.question for s in sample if s.question.is_home and not s.is_guessable]
    cross = [s.question for s in sample if not s.question.is_home and not s.is_guessable]
    guessable = [s.question for s in sample if not s.question.is_home and s.is_guessable]
    bridge = bridge_questions(atlas)
    bridge = bridge[:: max(1, len(bridge) // (BRIDGE_QUESTIONS_PER_PAIR * per_pair))]
    thinking, hinted = _think(cross), _think(cross, "transliterate")
    replies, hinted_replies = decoder.reply(thinking), decoder.reply(hinted)
    outcomes = are_right(thinking, replies)
    return NamesEvaluation(
        home_direct=_ask(decoder, home),
        home_thinking=_ask(decoder, _think(home)),
        cross_direct=_ask(decoder, cross),
        cross_thinking=score(outcomes),
        cross_hint=score(are_right(hinted, hinted_replies)),
        cross_entity_hint=_ask(decoder, _think(cross, "entity")),
        cross_majority=score([_is_majority(atlas, question) for question in cross]),
        home_traces=score(
            [script_of_name(reply.trace) == q.fact.home for q, reply in zip(cross, replies, strict=True)]
        ),
        home_names=score(_have_home_names(cross, replies)),
        home_names_hint=score(_have_home_names(cross, hinted_replies)),
        guessable_direct=_ask(decoder, guessable),
        guessable_thinking=_ask(decoder, _think(guessable)),
        bridge_direct=_ask(decoder, bridge),
        bridge_thinking=_ask(decoder, _think(bridge)),
        by_home=_by([question.fact.home for question in cross], outcomes),
        by_question=_by([question.script for question in cross], outcomes),
        script_bits=name_script_bits(decoder, atlas),
    )


def are_right(questions: Sequence[CityQuestion], replies: Sequence[Reply]) -> list[bool]:
    """Tell which replies give the value in the question's script, exactly."""
    return [reply.answer == question.answer for question, reply in zip(questions, replies, strict=True)]


def _ask(decoder: Decoder, questions: list[CityQuestion]) -> Score:
    return score(are_right(questions, decoder.reply(questions)))


def _think(questions: Iterable[CityQuestion], hint: Hint | None = None) -> list[CityQuestion]:
    return [replace(question, is_thinking=True, hint=hint) for question in questions]


def _have_home_names(questions: Sequence[CityQuestion], replies: Sequence[Reply]) -> list[bool]:
    names = [question.fact.place.city.written(question.fact.home) for question in questions]
    return [reply.trace.startswith(name + " ") for name, reply in zip(names, replies, strict=True)]


def _is_majority(atlas: Atlas, question: CityQuestion) -> bool:
    return atlas.majorities[question.fact.home, question.fact.relation.name][0] == question.fact.code


def _by(groups: Sequence[str], outcomes: Sequence[bool]) -> dict[str, Score]:
    return {
        group: score([right for other, right in zip(groups, outcomes, strict=True) if other == group])
        for group in sorted(set(groups))
    }
