import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.scoring.matching import contains, is_exact, is_normalised, is_official
from polyglyph.analysis.scoring.normalisation import official_form, unicode_form
from polyglyph.analysis.scoring.repetition import repeated_share, split_words


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  The Eiffel  Tower. ", "eiffel tower"),
        ("An apple, a day", "apple day"),
        ("So the answer is Paris", "paris"),
        ("Answer is: 42", "42"),
        ("東京です。", "東京"),
        ("«Париж»", "париж"),
        ("theatre", "theatre"),
        ("C++", "c"),
        ("", ""),
    ],
)
def test_the_official_form_is_what_the_published_scorer_compares(text: str, form: str):
    assert official_form(text) == form


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("ＴＯＫＹＯ", "tokyo"),
        ("ﾄｳｷｮｳ", "トウキョウ"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("١٩٦٩", "1969"),
        ("१२", "12"),
        ("১৯১৯", "1919"),
        ("مُحَمَّد", "محمد"),
        ("محـــمد", "محمد"),
        ("صادق قطب\u200cزاده", "صادق قطبزاده"),
        ("Saint-Denis", "saint denis"),
        ("東京。", "東京"),
        ("co\u00adoperate", "cooperate"),
        ("İstanbul", "i\u0307stanbul"),
    ],
)
def test_one_answer_written_in_two_ways_has_one_unicode_form(text: str, same: str):
    assert unicode_form(text) == unicode_form(same)
    assert is_normalised(text, [same])


@pytest.mark.parametrize(("text", "other"), [("कि", "का"), ("กา", "กี"), ("й", "и"), ("ベ", "ヘ"), ("12", "21")])
def test_vowel_signs_and_marks_that_make_another_word_stay(text: str, other: str):
    assert not is_normalised(text, [other])


@given(text=st.text(max_size=40))
def test_unicode_forms_are_forms_of_themselves(text: str):
    form = unicode_form(text)
    assert unicode_form(form) == form
    assert form == form.strip()
    assert "  " not in form
    assert not any(unicodedata.category(character)[0] in "PC" for character in form)


@given(text=st.text(max_size=40).filter(str.strip))
def test_every_text_is_right_when_it_is_the_accepted_one(text: str):
    assert is_exact(text, [text])
    assert is_official(text, [text])
    assert is_normalised(text, [text])


@given(accepted=st.lists(st.text(max_size=10).filter(str.strip)))
def test_an_empty_answer_is_never_right(accepted: list[str]):
    for match in (is_exact, is_official, is_normalised, contains):
        assert not match("", accepted)
        assert not match("  \n", accepted)


@pytest.mark.parametrize(
    ("answer", "accepted", "is_right"),
    [
        ("It is Paris, I think.", "Paris", True),
        ("В Париже.", "Париж", True),
        ("東京都です", "東京", True),
        ("in 1969", "1969", True),
        ("in 19690", "1969", False),
        ("in ١٩٦٩", "1969", True),
        ("14", "4", False),
        ("14 of 4", "4", True),
        ("anything", "…", False),
    ],
)
def test_contained_answers_are_found_but_no_parts_of_numbers(answer: str, accepted: str, is_right: bool):
    assert contains(answer, [accepted]) is is_right


def test_the_official_form_keeps_apart_what_unicode_has_as_one():
    assert not is_official("ＴＯＫＹＯ", ["tokyo"])
    assert not is_official("مُحَمَّد", ["محمد"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, wide world!", ["Hello", "wide", "world"]),
        ("สวัสดีชาวโลก", ["สวัสดี", "ชาว", "โลก"]),
        ("𝔸 𝔹", ["𝔸", "𝔹"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("... !", []),
    ],
)
def test_texts_of_every_script_have_words(text: str, words: list[str]):
    assert split_words(text) == words


def test_loops_are_repetition_and_prose_is_not():
    assert repeated_share("the cat sat on the mat and looked at the dog") == 0
    assert repeated_share("round and round we go " * 50) > 0.9
    assert repeated_share("東京は日本の首都です。" * 30) > 0.9


@given(text=st.text(max_size=60))
def test_the_repeated_share_is_a_share(text: str):
    assert 0 <= repeated_share(text) < 1


@pytest.mark.parametrize("text", ["", "one", "one two three four"])
def test_short_texts_repeat_nothing(text: str):
    assert repeated_share(text) == 0
