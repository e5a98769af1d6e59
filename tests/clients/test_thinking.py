"""Reasoning is told from the answer however the text is cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.clients.thinking import ThinkingSplitter, split_thinking


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think>because</think>Paris", ("because", "Paris")),
        ("because</think> Paris", ("because", "Paris")),
        ("Paris", ("", "Paris")),
        (" Paris ", ("", " Paris ")),
        ("<think>never ends", ("never ends", "")),
        ("a < b <thin", ("", "a < b <thin")),
        ("", ("", "")),
    ],
)
def test_a_whole_text_is_split_at_its_markers(text, parts):
    assert split_thinking(text) == parts


@given(st.data())
def test_pieces_give_the_same_as_the_whole(data):
    words = data.draw(st.lists(st.sampled_from(["<think>", "</think>", "<thi", "</", "a", "<", ">", "ж"])))
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert _split(pieces) == _split([text])


def _split(pieces):
    splitter = ThinkingSplitter()
    parts = [part for piece in pieces for part in splitter.feed(piece)] + list(splitter.finish())
    return tuple("".join(text for is_reasoning, text in parts if is_reasoning is wanted) for wanted in (True, False))
