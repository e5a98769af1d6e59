"""The decoder of the organism's card answers each question by itself."""

import pytest
from transformers import PreTrainedTokenizerFast

from polyglyph.analysis.organism.curriculum import WorldCurriculum
from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.model import build_model
from polyglyph.analysis.organism.question import Question, cross_questions
from polyglyph.analysis.organism.world import World


@pytest.fixture(scope="module")
def untrained(world: World, tokenizer: PreTrainedTokenizerFast) -> Decoder:
    return Decoder(build_model(WorldCurriculum(world), seed=0, shared_variance=0.8).eval(), tokenizer)


def test_replies_do_not_depend_on_the_batch(untrained: Decoder, world: World):
    hinted = cross_questions(world, is_thinking=True, hint="transliterate")
    questions: list[Question] = cross_questions(world)[:3] + hinted[:3]
    assert untrained.reply(questions) == [untrained.reply([question])[0] for question in questions]


def test_no_question_has_no_reply(untrained: Decoder):
    assert untrained.reply([]) == []
