"""Words in Latin letters: what becomes of them, which of them a text speaks about, and what they cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.routing.scripts import romanised, romanised_words, words_apart
from polyglyph.routing.scripts.romanised import LONGEST_WORD, MAX_GUESSED_CHARACTERS


@pytest.mark.parametrize(
    ("word", "latin"),
    [
        ("кумитон", "kumiton"),
        ("გუმიტონ", "gumiton"),
        ("कुमितोन", "kumitona"),
        ("PARÍS", "paris"),
        ("Straße", "strasse"),
        ("ПАРИЖ", "pariz"),
        ("北京", "beijing"),
        ("Харьков", "harkov"),
        ("okina’s", "okinas"),
        ("2026", "2026"),
        ("!?", ""),
        ("", ""),
    ],
)
def test_a_name_is_written_alike_from_every_script(word: str, latin: str) -> None:
    assert romanised(word) == latin


@given(st.text())
def test_any_text_becomes_words_that_a_table_can_hold(text: str) -> None:
    words = romanised_words(text)
    for word in (*words.entities, *words.others):
        assert word.isascii()
        assert word.isalnum()
        assert word == word.lower()
        assert len(word) <= LONGEST_WORD
        assert romanised(word) == word


@given(st.text())
def test_words_are_of_the_text(text: str) -> None:
    apart = words_apart(text)
    assert all(word in text for word in (*apart.entities, *apart.others))


@pytest.mark.parametrize(
    ("text", "entities", "others"),
    [
        ("где кумитон", (), ("gde", "kumiton")),
        ("Где лежит Paris?", ("paris",), ("gde", "lezit")),
        ("где «Нижний Тагил»", ("niznij", "tagil"), ("gde",)),
        ("где X и Y", (), ("gde",)),
        ("", (), ()),
        ("12 + 3", (), ()),
        ("北京在哪里", (), ("beijingzainali", "beijing", "nali")),
        ("กรุงเทพอยู่", (), ("krungthephxyu", "krungtheph", "xyu")),
        ("東京タワーは？", (), ("dongjing", "tawa")),
        ("東京", (), ("dongjing",)),
    ],
)
def test_what_a_text_speaks_about_is_told_from_the_rest(
    text: str, entities: tuple[str, ...], others: tuple[str, ...]
) -> None:
    words = romanised_words(text)
    assert (words.entities, words.others) == (entities, others)


def test_of_a_long_text_the_beginning_and_the_end_are_read() -> None:
    words = romanised_words("первый " + "середина " * MAX_GUESSED_CHARACTERS + "последний")
    assert (words.others[0], words.others[-1]) == ("pervyj", "poslednij")
    assert sum(map(len, words.others)) <= 2 * MAX_GUESSED_CHARACTERS


def test_of_a_long_word_the_end_is_kept() -> None:
    assert romanised("щ" * 1000 + "тон").endswith("ton")
    assert len(romanised("щ" * 1000)) == LONGEST_WORD
