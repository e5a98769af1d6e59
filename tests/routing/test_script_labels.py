"""Exact labels equal an oracle that asks ICU character by character."""

import random
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.kernels.label_scripts import run
from polyglyph.routing.scripts.characters import characters
from polyglyph.routing.scripts.labeller import ScriptLabeller
from polyglyph.routing.scripts.vocabulary import Vocabulary
from tests.support import label_data, script_oracle, script_tokens

ANYTHING = st.text(st.characters(min_codepoint=0, max_codepoint=sys.maxunicode, categories=None))
HARD = st.text(st.sampled_from("aбナーｰカµ\u0301\u3099\u200d۱1 .·ʼـ\ufffd\u0378\ue000😀देव你\U0001d400\ud800"))
HARD_BYTES = (
    b"a", b"\xd0", b"\xbf", b"\xe3", b"\x83", b"\xbc", b"\xf0", b"\x9f", b"\x80", b"\xed", b"\xa0", b"\xc0",
    b"\xcc\x81",
)  # fmt: skip
ANY_BYTES = st.lists(st.sampled_from(HARD_BYTES)).map(b"".join)


@pytest.fixture(scope="module")
def bytewise() -> ScriptLabeller:
    return ScriptLabeller(Vocabulary.of({byte: bytes([byte]) for byte in range(256)}), characters())


@pytest.fixture(scope="module")
def hard_words():
    labeller = script_tokens.labeller()
    return labeller, labeller.label_table()


def of_pieces(pieces: list[bytes]) -> list[str]:
    """Label a sequence in which every piece is a token of its own."""
    labeller = ScriptLabeller(Vocabulary.of(dict(enumerate(pieces))), characters())
    return labeller.codes(labeller.exact(range(len(pieces))))


def by_oracle(pieces: list[bytes]) -> list[str]:
    text, spans = script_oracle.spans_of_bytes(pieces)
    return script_oracle.labels_by_spans(script_oracle.scripts_of(text), spans)


def cut(data: bytes, generator: random.Random) -> list[bytes]:
    """Cut bytes anywhere, also within characters."""
    bounds = sorted({0, len(data), *(generator.randrange(len(data) + 1) for _ in range(len(data) // 3))})
    return [data[begin:end] for begin, end in pairwise(bounds)]


@settings(max_examples=150)
@given(text=ANYTHING | HARD, generator=st.randoms(use_true_random=False))
def test_any_text_cut_anywhere_is_labelled_as_the_oracle_says(text, generator):
    pieces = cut(text.encode(errors="surrogatepass"), generator)
    assert of_pieces(pieces) == by_oracle(pieces)


@settings(max_examples=150)
@given(data=st.binary() | ANY_BYTES, generator=st.randoms(use_true_random=False))
def test_any_bytes_cut_anywhere_are_labelled_as_the_oracle_says(data, generator):
    pieces = cut(data, generator)
    assert of_pieces(pieces) == by_oracle(pieces)


@settings(max_examples=50)
@given(text=ANYTHING | HARD)
def test_a_text_in_single_bytes_has_its_characters_scripts(bytewise, text):
    data = text.encode(errors="surrogatepass")
    assert bytewise.codes(bytewise.exact(np.frombuffer(data, dtype=np.uint8))) == by_oracle([bytes([b]) for b in data])


@pytest.mark.parametrize("name", label_data.NAMES)
def test_every_translation_of_the_declaration_is_labelled_as_the_oracle_says(name):
    try:
        texts, labelled_by = label_data.translations(), label_data.load(name)
    except label_data.MissingDataError as missing:
        pytest.skip(str(missing))
    assert len(texts) == label_data.NUM_TRANSLATIONS
    labeller = ScriptLabeller.from_tokenizer(labelled_by.tokenizer)
    for text, encoded in zip(texts, labelled_by.encode(texts), strict=True):
        decoded, spans = (text, encoded.spans) if encoded.spans is not None else spans_of(encoded)
        assert decoded.split() == text.split()
        expected = script_oracle.labels_by_spans(script_oracle.scripts_of(decoded), spans)
        assert labeller.codes(labeller.exact(encoded.ids)) == expected


def spans_of(encoded: label_data.Encoded) -> tuple[str, label_data.Spans]:
    assert encoded.pieces is not None
    return script_oracle.spans_of_bytes(encoded.pieces)


@pytest.mark.parametrize(
    ("pieces", "scripts"),
    [
        (["Hello", ", ", "мир", "!"], ["Latn", "Zyyy", "Cyrl", "Zyyy"]),
        (["カ", "ー"], ["Kana", "Kana"]),
        (["か", "ー"], ["Hira", "Hira"]),
        (["ー", "カ"], ["Kana", "Kana"]),
        (["1", "ー", "カ"], ["Zyyy", "Kana", "Kana"]),
        (["1", "ー", "2"], ["Zyyy", "Zyyy", "Zyyy"]),
        (["б", "\u0301"], ["Cyrl", "Cyrl"]),
        (["1", "\u0301", "б"], ["Zyyy", "Zyyy", "Cyrl"]),
        (["\u0301", "б"], ["Zyyy", "Cyrl"]),
        (["aб"], ["Latn"]),
        (["бa"], ["Cyrl"]),
        (["aбб"], ["Cyrl"]),
        (["क", "\u200d", "१", "।"], ["Deva", "Deva", "Deva", "Zyyy"]),
        (["😀", "\ufe0f", "€", "\u0378", "\ue000", "\ufffd", "\ufeff"], ["Zyyy"] * 7),
        (["مرحبا ", "John", " שלום"], ["Arab", "Latn", "Hebr"]),
        (["漢", "か", "カ", "ᄀ", "ㄅ"], ["Hani", "Hira", "Kana", "Hang", "Bopo"]),
    ],
)
def test_shared_characters_take_the_script_of_what_they_attach_to(pieces, scripts):
    assert of_pieces([piece.encode() for piece in pieces]) == scripts


def test_every_token_of_a_character_has_its_script(bytewise):
    assert bytewise.codes(bytewise.exact(list("я€क".encode()))) == ["Cyrl"] * 2 + ["Zyyy"] * 3 + ["Deva"] * 3


def test_bytes_that_complete_no_character_have_no_script_and_part_their_neighbours():
    assert of_pieces([b"\xd0", b"a", b"\xff", b"\xcc\x81", b"\xe4\xbd"]) == ["Zyyy", "Latn", "Zyyy", "Zyyy", "Zyyy"]


def test_template_tokens_and_ids_outside_the_vocabulary_part_their_neighbours():
    labeller = ScriptLabeller(Vocabulary.of({0: b"a", 2: "\u0301".encode(), 3: b"\xd0", 4: b"\xbf"}), characters())
    for break_ in (1, -1, 5, 2**40):
        assert labeller.codes(labeller.exact([0, 2, break_, 2, 3, break_, 4])) == ["Latn", "Latn", *["Zyyy"] * 5]


def test_no_tokens_have_no_labels(bytewise):
    assert bytewise.exact([]).tolist() == []
    assert ScriptLabeller(Vocabulary.of({}), characters()).exact([3]).tolist() == [0]


def test_a_megabyte_of_anything_is_labelled_in_time_that_grows_with_its_length(bytewise):
    for text in ("ー", "µ\u0301", "aб", "\u0301", "你"):
        ids = np.frombuffer((text * 400_000).encode()[:1_000_000], dtype=np.uint8)
        assert len(bytewise.exact(ids)) == len(ids)


@settings(max_examples=50)
@given(generator=st.randoms(use_true_random=False))
def test_nothing_behind_a_break_matters(hard_words, generator):
    labeller, _ = hard_words
    ids = script_tokens.stream(generator, 20)
    first, second = labeller.exact([*ids, -1, *ids])[:20], labeller.exact(ids)
    assert first.tolist() == second.tolist()


def test_labels_are_the_same_numbers_in_every_process_and_for_every_tokenizer(bytewise):
    assert bytewise.scripts[0] == "Zyyy"
    assert list(bytewise.scripts[1:]) == sorted(bytewise.scripts[1:])
    assert {"Latn", "Cyrl", "Hira", "Kana", "Hani", "Hang"} < set(bytewise.scripts)
    assert not {"Zinh", "Zzzz", "Jpan", "Kore", "Hans", "Hant"} & set(bytewise.scripts)
    assert script_tokens.labeller().scripts == bytewise.scripts == script_tokens.label_table().scripts


@settings(max_examples=60)
@given(generator=st.randoms(use_true_random=False))
def test_tokens_of_complete_characters_are_labelled_on_the_device_as_on_the_host(hard_words, generator):
    labeller, table = hard_words
    words = [index for index, word in enumerate(script_tokens.WORDS) if not set(word) & set("ーµـ")]
    ids = [script_tokens.FIRST_WORD + generator.choice(words) for _ in range(20)]
    assert run(table, ids)[0].tolist() == labeller.exact(ids).tolist()


@pytest.mark.parametrize("name", ["organism", "tekken"])
def test_on_real_text_the_device_labels_all_but_a_few_tokens_as_the_host_does(name):
    try:
        texts = label_data.translations()[::8]
    except label_data.MissingDataError as missing:
        pytest.skip(str(missing))
    labelled_by = label_data.load(name)
    labeller = ScriptLabeller.from_tokenizer(labelled_by.tokenizer)
    table = labeller.label_table()
    equal = [labeller.exact(encoded.ids) == run(table, encoded.ids)[0] for encoded in labelled_by.encode(texts)]
    assert np.concatenate(equal).mean() > 0.997
