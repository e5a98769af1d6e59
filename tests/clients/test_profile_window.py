"""Where a text that is over the context is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.clients.profile.window import halve


@given(st.text())
def test_both_parts_together_are_the_text(text):
    halves = halve(text)
    assert (halves is None) == (len(text) < 2)
    assert halves is None or "".join(halves) == text


@given(st.text(min_size=2))
def test_neither_part_is_empty_nor_much_longer_than_the_other(text):
    first, second = halve(text)
    assert first and second
    assert max(len(first), len(second)) <= len(text) - len(text) // 4 or len(text) < 4


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("one two. three\nfour five\n\nsix seven eight", "one two. three\nfour five\n\n"),
        ("one two. three four\nfive six seven", "one two. three four\n"),
        ("one two three. four five six", "one two three. "),
        ("एक दो तीन। चार पाँच छह", "एक दो तीन। "),
        ("one two three four", "one two "),
        ("onetwo", "one"),
    ],
)
def test_the_best_break_near_the_middle_is_taken(text, first):
    assert halve(text)[0] == first


def test_a_letter_keeps_its_marks():
    first, second = halve("क" + "कि" * 10 + "क")
    assert second[0] == "क"
    assert first


def test_a_megabyte_without_any_space_is_cut_at_once():
    first, second = halve("字" * 1_000_000)
    assert (len(first), len(second)) == (500_000, 500_000)
