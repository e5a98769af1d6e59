"""The bytes of every token are found, whatever the tokenizer."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import tiktoken
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from polyglyph import bundled_organism
from polyglyph.routing.scripts.labeller import ScriptLabeller
from polyglyph.routing.scripts.token_bytes import read_token_bytes
from polyglyph.routing.scripts.token_strings import byte_characters
from polyglyph.routing.scripts.vocabulary import Vocabulary
from tests.support import label_data, script_oracle

SAMPLE = (
    "Все люди рождаются свободными. All human beings are born free! सभी मनुष्यों को गौरव; "
    "すべての人間は、生まれながらにして自由。 كل الناس أحرارًا שלום カタカナー x\u0301 'on' 12 😀"
)


PIECES = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
UNKNOWN = "[UNK]"


def word_level(tokens: list[str], decoder: Any = None) -> Tokenizer:
    """Make a tokenizer of given strings."""
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token=tokens[0]))
    if decoder is not None:
        tokenizer.decoder = decoder
    return tokenizer


def texts_of(tokenizer: Any) -> dict[int, str]:
    return {token: text.decode() for token, text in sorted(read_token_bytes(tokenizer).items())}


@pytest.mark.parametrize("name", label_data.NAMES)
def test_the_bytes_of_a_text_s_tokens_are_the_text(name):
    try:
        labelled_by = label_data.load(name)
    except label_data.MissingDataError as missing:
        pytest.skip(str(missing))
    vocabulary = Vocabulary.from_tokenizer(labelled_by.tokenizer)
    (encoded,) = labelled_by.encode([SAMPLE])
    pieces = [vocabulary.bytes_of(token) for token in encoded.ids]
    assert None not in pieces
    assert b"".join(piece or b"" for piece in pieces).decode().strip() == SAMPLE


@pytest.mark.parametrize("name", ["tekken_240911.json", "mistral_instruct_tokenizer_240323.model.v3"])
def test_vllm_s_wrapper_of_mistral_s_tokenizers_is_read_as_what_it_wraps(name):
    from mistral_common.protocol.instruct.validator import ValidationMode
    from transformers.tokenization_mistral_common import MistralCommonBackend
    from vllm.tokenizers.mistral import MistralTokenizer

    path = label_data._mistral_data(name)
    wrapped = MistralTokenizer(MistralCommonBackend(path, mode=ValidationMode.test))
    bare = label_data.load("tekken" if "tekken" in name else "sentencepiece").tokenizer
    assert read_token_bytes(wrapped) == read_token_bytes(bare)
    assert read_token_bytes(wrapped.transformers_tokenizer) == read_token_bytes(bare)
    assert not set(wrapped.all_special_ids) & read_token_bytes(wrapped).keys()


def test_a_hugging_face_tokenizer_is_read_as_its_backend():
    tokenizer = AutoTokenizer.from_pretrained(bundled_organism())
    assert read_token_bytes(tokenizer) == read_token_bytes(tokenizer.backend_tokenizer)


def test_template_tokens_are_no_text_and_other_added_ones_are():
    backend = Tokenizer(models.BPE({character: index for index, character in enumerate(byte_characters())}, []))
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("BOS", special=True)])
    backend.add_tokens(["<think>", "</think>", "[TOOL]", "<｜User｜>", "नमस्ते", "éa", "a<b"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    labeller = ScriptLabeller.from_tokenizer(tokenizer)
    labels = labeller.codes(labeller.exact(range(256, 264)))
    assert labels == ["Zyyy"] * 5 + ["Deva", "Latn", "Latn"]
    assert labeller.vocabulary.bytes_of(262) == "éa".encode()


def test_the_organism_s_markers_are_no_text():
    tokenizer = AutoTokenizer.from_pretrained(bundled_organism())
    labeller = ScriptLabeller.from_tokenizer(tokenizer)
    ids = tokenizer.encode("<|user|>мир<|end|><think>a</think>", add_special_tokens=False)
    codes = labeller.codes(labeller.exact(ids))
    assert [code for code in codes if code != "Zyyy"] == ["Cyrl"] * (len(codes) - 5) + ["Latn"]


@pytest.mark.parametrize(
    ("decoder", "tokens", "texts"),
    [
        (None, ["<unk>x", "Ġa", "▁б", "##c"], ["<unk>x", "Ġa", "▁б", "##c"]),
        (decoders.ByteLevel(), ["Ġa", "Ð¿", "ab"], [" a", "п", "ab"]),
        (decoders.WordPiece(), ["ab", "##б"], [" ab", "б"]),
        (decoders.WordPiece(prefix="@@"), ["ab", "@@б", "##c"], [" ab", "б", " ##c"]),
        (decoders.Metaspace(), ["▁a", "b▁"], [" a", "b "]),
        (decoders.BPEDecoder(), ["a</w>", "б"], ["a ", "б"]),
        (PIECES, ["▁a", "<0x41>"], [" a", "A"]),
        (decoders.Sequence([decoders.Sequence([decoders.Replace("_", "б")])]), ["a_"], ["aб"]),
        (decoders.Strip(" ", 1, 0), [" a"], [" a"]),
    ],
)  # fmt: skip
def test_a_decoder_says_how_tokens_are_spelled(decoder, tokens, texts):
    assert list(texts_of(word_level(tokens, decoder)).values()) == texts


def test_a_byte_level_token_with_a_character_that_stands_for_no_byte_is_text_as_it_is():
    assert texts_of(word_level(["Ġ你", "Ġa"], decoders.ByteLevel())) == {0: "Ġ你", 1: " a"}


@pytest.mark.parametrize(
    ("tokens", "texts"),
    [
        ([f"<0x{byte:02X}>" for byte in range(128)] + ["<0xFF>", "▁a"], [chr(byte) for byte in range(128)]),
        ([*byte_characters(), "ĠÐ¿"], [None] * 256 + [" п"]),
        (["ab", "##c"], [" ab", "c"]),
        (["##", "ab"], ["##", "ab"]),
        (["▁ab", "c"], [" ab", "c"]),
        (["ab", "б"], ["ab", "б"]),
    ],
)
def test_where_no_decoder_says_it_the_vocabulary_s_own_marks_do(tokens, texts):
    slow = SimpleNamespace(get_vocab=lambda: {token: index for index, token in enumerate(tokens)})
    found = read_token_bytes(slow)
    assert [found[index].decode() for index, text in enumerate(texts) if text is not None] == [
        text for text in texts if text is not None
    ]


def test_a_tiktoken_vocabulary_with_holes_is_read_through_its_wrapper():
    ranks = {bytes([byte]): byte for byte in range(256)} | {"п".encode(): 300, b"ab": 310}
    encoding = tiktoken.Encoding(name="holes", pat_str=r".", mergeable_ranks=ranks, special_tokens={"<|end|>": 320})
    labeller = ScriptLabeller.from_tokenizer(SimpleNamespace(model=encoding))
    assert labeller.vocabulary.num_tokens == 311
    assert labeller.codes(labeller.exact([300, 310, 299, 320, 0xD0, 0xBF])) == [
        "Cyrl", "Latn", "Zyyy", "Zyyy", "Cyrl", "Cyrl",
    ]  # fmt: skip


def test_ids_that_only_pad_the_vocabulary_have_no_script():
    class Padded:
        all_special_ids = (0,)

        def get_vocab(self):
            return {"<s>": 0, "ab": 3}

        def __len__(self):
            return 8

    labeller = ScriptLabeller.from_tokenizer(Padded())
    assert labeller.vocabulary.num_tokens == labeller.label_table().num_tokens == 8
    assert labeller.codes(labeller.exact(range(9))) == ["Zyyy"] * 3 + ["Latn"] + ["Zyyy"] * 5


def test_a_lone_surrogate_in_a_token_string_is_no_character():
    labeller = ScriptLabeller.from_tokenizer(SimpleNamespace(get_vocab=lambda: {"\ud800": 0, "a\udfff": 1}))
    assert labeller.codes(labeller.exact([0, 1])) == ["Zyyy", "Latn"]


def test_what_is_no_tokenizer_is_refused_by_its_name():
    with pytest.raises(TypeError, match=re.escape("get_vocab(), got dict")):
        ScriptLabeller.from_tokenizer({})


def test_word_pieces_trained_on_the_declaration_are_labelled_as_the_oracle_says():
    try:
        texts = label_data.translations()[::12]
    except label_data.MissingDataError as missing:
        pytest.skip(str(missing))
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN, max_input_chars_per_word=10_000))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=6000, special_tokens=[UNKNOWN], limit_alphabet=5000, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    labeller = ScriptLabeller.from_tokenizer(tokenizer)
    for text in texts:
        encoding = tokenizer.encode(text)
        expected = script_oracle.labels_by_spans(script_oracle.scripts_of(text), encoding.offsets)
        assert labeller.codes(labeller.exact(encoding.ids)) == expected
