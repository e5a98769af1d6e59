"""The marker automaton knows after any token whether a reasoning block is open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.kernels.annotate import MarkerAutomaton
from tests.support.phases import open_before

TOKENS = st.integers(0, 4)
SEQUENCES = st.lists(st.lists(TOKENS, min_size=1, max_size=4), max_size=3)


@settings(max_examples=300)
@given(opens=SEQUENCES, closes=SEQUENCES, text=st.lists(TOKENS, max_size=30), cut=st.integers(0, 30))
def test_any_markers_and_any_text_end_where_plain_reading_ends(opens, closes, text, cut):
    closes = [marker for marker in closes if marker not in opens]
    automaton = MarkerAutomaton.build(opens, closes)
    state = automaton.run(text[cut:], automaton.run(text[:cut]))
    assert bool(automaton.is_reasoning[state]) == open_before(text, opens, closes)[-1]


@given(opens=SEQUENCES, closes=SEQUENCES)
def test_a_stretch_of_other_tokens_counts_like_one(opens, closes):
    """`run` skips from marker token to marker token on the strength of this."""
    automaton = MarkerAutomaton.build(opens, [marker for marker in closes if marker not in opens])
    after_one = automaton.table[:, 0].tolist()
    assert [after_one[state] for state in after_one] == after_one


def test_single_markers_need_two_states():
    automaton = MarkerAutomaton.build([[7]], [[8]])
    assert automaton.tokens.tolist() == [7, 8]
    assert automaton.table.tolist() == [[0, 1, 0], [1, 1, 0]]
    assert automaton.is_reasoning.tolist() == [False, True]


@pytest.mark.parametrize("closes", [[], [[8]]])
def test_a_model_without_opening_markers_has_one_state_and_no_reasoning(closes):
    automaton = MarkerAutomaton.build([], closes)
    assert automaton.num_states == 1
    assert automaton.tokens.tolist() == []
    assert automaton.is_reasoning.tolist() == [False]
    assert automaton.run([1, 8, 8]) == 0


def test_channels_of_several_tokens_open_and_close():
    """As in the harmony format: <|channel|>analysis<|message|> opens, <|end|> or <|channel|>final<|message|> closes."""
    channel, message, end, analysis, final, word = 90, 91, 92, 10, 11, 12
    automaton = MarkerAutomaton.build([[channel, analysis, message]], [[end], [channel, final, message]])
    thinking = automaton.run([word, channel, analysis, message])
    assert automaton.is_reasoning[thinking]
    assert automaton.is_reasoning[automaton.run([word, channel, final], thinking)]
    assert not automaton.is_reasoning[automaton.run([word, channel, final, message], thinking)]
    assert not automaton.is_reasoning[automaton.run([channel, word, analysis, message])]


def test_of_two_markers_ending_together_the_longer_decides():
    automaton = MarkerAutomaton.build([[1, 2]], [[2]])
    assert automaton.is_reasoning[automaton.run([1, 2])]
    assert not automaton.is_reasoning[automaton.run([1, 2, 2])]


def test_a_marker_split_between_two_runs_is_found():
    automaton = MarkerAutomaton.build([[1, 2, 3]], [[4]])
    assert automaton.is_reasoning[automaton.run(np.array([3, 9]), automaton.run([1, 2]))]


def test_nothing_read_changes_nothing():
    automaton = MarkerAutomaton.build([[1, 2]], [[3]])
    assert [automaton.run([], state) for state in range(automaton.num_states)] == list(range(automaton.num_states))


@pytest.mark.parametrize(
    ("opens", "closes", "said"),
    [([[]], [], r"got \[\]"), ([[1, -1]], [], r"got \[1, -1\]"), ([[1, 2]], [[1, 2]], r"marker \[1, 2\]")],
)
def test_impossible_markers_are_refused_with_what_came(opens, closes, said):
    with pytest.raises(ValueError, match=said):
        MarkerAutomaton.build(opens, closes)
