"""The request script: the script most characters of the user's text belong to."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.routing.scripts import MAX_CHARACTERS, dominant_script, is_script_of_text
from polyglyph.server.user_text import of_input, of_messages, of_prompt

ANYTHING = st.text(st.characters(min_codepoint=0, max_codepoint=sys.maxunicode, categories=None))


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", "Zyyy"),
        ("123 + 4 = ?!\n", "Zyyy"),
        ("\ud800\udfff", "Zyyy"),
        ("\U000e0fff\uffff\u0378", "Zyyy"),
        ("Hello", "Latn"),
        ("Привет, world", "Cyrl"),
        ("print('ok') # Здравствуйте, мир", "Cyrl"),
        ("नमस्ते", "Deva"),
        ("你好", "Hani"),
        ("こんにちは世界", "Hira"),
        ("カタカナ", "Kana"),
        ("안녕", "Hang"),
        ("مرحبا", "Arab"),
        ("e\u0301\u0301\u0301", "Latn"),
        ("aб", "Latn"),
        ("бa", "Cyrl"),
    ],
)
def test_the_most_frequent_script_wins_and_shared_characters_do_not_count(text: str, script: str):
    assert dominant_script(text) == script


@given(ANYTHING)
def test_any_text_has_a_code(text: str):
    code = dominant_script(text)
    assert is_script_of_text(code)
    assert len(code) == 4
    assert code.istitle()


@given(ANYTHING)
def test_shared_characters_change_nothing(text: str):
    assert dominant_script(f"  12{text}\u0301 .\ud800") == dominant_script(text)


@given(ANYTHING, st.integers(2, 5))
def test_repeating_a_text_changes_nothing(text: str, times: int):
    assert dominant_script(text * times) == dominant_script(text)


def test_of_a_long_text_the_beginning_and_the_end_count():
    middle = "б" * (4 * MAX_CHARACTERS)
    assert dominant_script("a" * MAX_CHARACTERS + middle + "a" * MAX_CHARACTERS) == "Latn"


def test_codes_that_no_character_has_are_known_as_such():
    assert [is_script_of_text(code) for code in ("Cyrl", "Zyyy", "Jpan", "Hans", "Zinh", "Xxxx")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([user("one"), {"role": "assistant", "content": "two"}, user("three")], "three"),
        ([user([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}])], "a\nb"),
        ([user("words"), user([{"type": "image_url", "image_url": {}}])], "words\n"),
        ([user("words"), {"role": "tool", "content": "вывод"}], "words"),
        ([{"role": "system", "content": "x"}], ""),
        ([], ""),
    ],
)
def test_the_last_user_message_counts(messages: list[Any], text: str):
    assert of_messages({"messages": messages}) == text
    assert of_input({"input": messages}) == text


@pytest.mark.parametrize(
    ("prompt", "text"), [("a", "a"), (["a", "b"], "a\nb"), ([1, 2], ""), ([[1], [2]], ""), (None, "")]
)
def test_prompts_count_together_and_token_ids_not_at_all(prompt: Any, text: str):
    assert of_prompt({"prompt": prompt}) == text


def test_the_input_of_a_response_may_be_a_string():
    assert of_input({"input": "a"}) == "a"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "text", "x"]), inner | st.just("user"), max_size=3)
    ),
)


@given(JSON)
def test_any_shape_of_body_is_read_without_a_fault(value: Any):
    body = {"messages": value, "prompt": value, "input": value}
    assert all(isinstance(read(body), str) for read in (of_messages, of_prompt, of_input))
