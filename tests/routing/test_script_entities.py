"""The script of what a text speaks about, where it is not the text's own."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.routing.scripts import (
    MAX_CHARACTERS,
    as_writing_system,
    dominant_script,
    entity_script,
    is_script_of_text,
)

ANYTHING = st.text(st.characters(min_codepoint=0, max_codepoint=sys.maxunicode, categories=None))


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", None),
        ("123 !", None),
        ("Hello", None),
        ("В каком городе родился John Smith?", "Latn"),
        ("In which city was Пушкин born?", "Cyrl"),
        ("Where was Александр Пушкин?", "Latn"),
        ("Where is Москва, or 東京, or Тверь?", "Cyrl"),
        ("Where is 東京, or Москва?", "Hani"),
        ("Where is 東京, or “Москва”?", "Cyrl"),
        ("What is x in я?", None),
        ("Что такое «ab»?", "Latn"),
        ("Что такое «a»?", None),
        ("أين تقع Paris الآن", "Latn"),
        ("caf\u0301e ⵣⴰ", "Tfng"),
        ("東京はどこですか", None),
        ("東京タワーの高さは", None),
        ("北京在什么地方 Paris", "Latn"),
        ("Samsung은 어디에 있습니까", "Latn"),
        ("Что значит abбв?", "Latn"),
        ("\ud800ab \udfff", None),
    ],
)
def test_the_most_frequent_script_among_words_that_are_not_in_the_text_s_own(text, script):
    assert entity_script(text) == script


@given(ANYTHING)
def test_any_text_has_an_entity_script_of_its_own_characters_or_none(text):
    script = entity_script(text)
    assert script is None or (is_script_of_text(script) and script not in {dominant_script(text), "Zyyy"})


@given(ANYTHING, st.integers(2, 4))
def test_repeating_a_text_changes_nothing(text, times):
    assert entity_script(f"{text}\n" * times) == entity_script(f"{text}\n")


def test_of_a_long_text_the_beginning_and_the_end_count():
    text = "Привет мир " * MAX_CHARACTERS
    assert entity_script(f"{text} John {text}") is None
    assert entity_script(f"John {text}") == "Latn"


@pytest.mark.parametrize(
    ("script", "system"), [("Hira", "Jpan"), ("Kana", "Jpan"), ("Hani", "Jpan"), ("Latn", "Latn"), ("Zyyy", "Zyyy")]
)
def test_japanese_scripts_are_grouped_on_request(script, system):
    assert as_writing_system(script) == system
