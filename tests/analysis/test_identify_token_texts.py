"""Tokens are mapped to the characters they take part in, by the organism's own tokenizer."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from polyglyph import bundled_organism
from polyglyph.analysis.identification.token_texts import TokenTexts, read_tokenizer
from polyglyph.contract.errors import RequestError

TOKENIZER = Tokenizer.from_file(str(bundled_organism() / "tokenizer.json"))
TEXTS = read_tokenizer(bundled_organism())
MIXED = "<|user|>belton lomena ќ 日本 Привет<|end|><|assistant|><think>बे</think>"


def ids_of(text):
    return TOKENIZER.encode(text, add_special_tokens=False).ids


def pieces(text, mask_T):
    return [text.text[begin:end] for begin, end in zip(text.begin_T[mask_T], text.end_T[mask_T], strict=True)]


def test_the_text_is_what_was_written_template_tokens_included():
    assert TEXTS.read(ids_of(MIXED)).text == MIXED


def test_template_tokens_are_told_from_text():
    text = TEXTS.read(ids_of(MIXED))
    assert pieces(text, text.is_template_T) == ["<|user|>", "<|end|>", "<|assistant|>", "<think>", "</think>"]


def test_a_character_of_several_tokens_marks_them_all():
    text = TEXTS.read(ids_of(MIXED))
    marked = text.tokens_of(text.spans_of(re.compile("日")))
    assert marked.sum() == 3 and pieces(text, marked) == ["日"] * 3


def test_a_word_of_several_tokens_marks_them_and_no_neighbour():
    text = TEXTS.read(ids_of(MIXED))
    assert pieces(text, text.tokens_of(text.spans_of(re.compile("belton")))) == ["be", "l", "ton"]


def test_a_byte_that_is_no_character_stands_alone():
    text = TEXTS.read([200, *ids_of("be"), 201])
    assert text.text[1:3] == "be" and text.end_T.tolist() == [1, 3, 4]


def test_a_token_without_text_takes_part_in_nothing():
    text = TEXTS.read([-1, *ids_of("be"), 5000])
    assert text.tokens_of([(0, 2)]).tolist() == [False, True, False]


def test_no_tokens_are_no_text():
    assert TEXTS.read([]).text == "" and not TEXTS.read([]).tokens_of([]).size


@given(st.text(max_size=40))
def test_any_text_is_covered_by_its_tokens_in_order(written):
    text = TEXTS.read(ids_of(written))
    assert text.text.encode("utf-8", "surrogateescape") == written.encode()
    covered = np.zeros(len(text.text), dtype=bool)
    for begin, end in zip(text.begin_T, text.end_T, strict=True):
        covered[begin:end] = True
    assert covered.all() and (np.diff(text.begin_T) >= 0).all() and (text.begin_T < text.end_T).all()


@given(st.lists(st.integers(0, 255), max_size=12))
def test_any_bytes_are_read_without_loss(tokens):
    texts = TokenTexts({byte: bytes([byte]) for byte in range(256)}, frozenset())
    text = texts.read(tokens)
    assert text.text.encode("utf-8", "surrogateescape") == bytes(tokens)


def test_the_class_of_tokenizer_does_not_matter():
    from transformers import AutoTokenizer

    other = TokenTexts.from_tokenizer(AutoTokenizer.from_pretrained(bundled_organism()))
    assert other.bytes_of == TEXTS.bytes_of and other.template == TEXTS.template


@pytest.mark.parametrize("content", ["{}", "no json"])
def test_a_folder_without_a_readable_tokenizer_is_refused_by_name(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(RequestError, match=re.escape(str(tmp_path))):
        read_tokenizer(tmp_path)
