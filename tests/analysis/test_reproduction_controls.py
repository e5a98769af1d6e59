"""Random controls and questions of reproductions: alike but for what is tested, and never judged where found."""

import numpy as np
import pytest

from polyglyph.analysis.reproduction.arm import matched_controls, uniform_controls
from polyglyph.analysis.reproduction.pathways import Pairs
from polyglyph.analysis.reproduction.questions import entities_of
from tests.analysis.reproduction_world import MODEL, ban, organism_questions


def experts_of(plan):
    return {(edit.layer, expert) for edit in plan.edits for expert in edit.experts}


def layers_of(plan):
    return sorted(layer for layer, _ in experts_of(plan))


def test_a_uniform_control_edits_as_many_experts_of_every_layer_and_is_the_same_again():
    plan = ban((0, 1), (0, 2), (3, 5))
    controls = uniform_controls(plan, draws=6)
    assert all(layers_of(control) == layers_of(plan) for control in controls)
    assert len({control.fingerprint for control in controls}) > 1
    assert [each.fingerprint for each in uniform_controls(plan, draws=6)] == [each.fingerprint for each in controls]


def test_matched_controls_are_none_where_dealing_changes_nothing():
    frequencies = np.arange(MODEL.layers * MODEL.experts, dtype=float).reshape(MODEL.layers, MODEL.experts)
    half = ban(*((layer, expert) for layer in range(MODEL.layers) for expert in range(8)))
    assert matched_controls(half, frequencies, draws=5) == ()
    assert matched_controls(half, None, draws=5) == ()
    assert len(matched_controls(ban((0, 1)), frequencies, draws=5)) == 5


@pytest.mark.parametrize("task", ["home", "cross", "refusal", "arithmetic", "context"])
def test_no_entity_is_judged_that_experts_were_found_on(task):
    questions = organism_questions()
    judged, evidence = questions.judged(task), questions.evidence(task)
    assert judged
    assert not set(entities_of(judged)) & set(entities_of(evidence))
    assert {question.task for question in (*judged, *evidence)} == {task}


def test_questions_are_limited_alike_for_the_same_seed_and_their_ids_are_their_own():
    first, again = organism_questions(limit=12).judged("cross"), organism_questions(limit=12).judged("cross")
    assert len(first) == 24
    assert [question.id for question in first] == [question.id for question in again]
    assert [q.id for q in organism_questions(limit=12, seed=1).judged("cross")] != [q.id for q in first]
    thinking = organism_questions(limit=12).judged("cross", is_thinking=True)
    assert not {question.id for question in thinking} & {question.id for question in first}


def test_shuffled_pairs_are_of_another_entity_and_the_same_kind():
    kinds = [("a", "Latn")] * 4 + [("b", "Latn")] * 3
    home = np.arange(7)[:, None] * np.ones((1, 4), dtype=np.int64)
    pairs = Pairs(
        away_PM=home.astype(np.int64),
        home_PM=home.astype(np.int64),
        layer_M=np.array([0, 0, 1, 1]),
        is_right_P=np.zeros(7, dtype=bool),
        entities=list("abcdefg"),
        kinds=kinds,
    )
    dealt = pairs.shuffled(1)[:, 0]
    assert sorted(dealt[:4]) == [0, 1, 2, 3]
    assert sorted(dealt[4:]) == [4, 5, 6]
    assert (dealt != np.arange(7)).all()
    assert (pairs.distance(pairs.home_PM) == 0).all()
    assert (pairs.distance(pairs.shuffled(1), layer=1) == 1).all()
