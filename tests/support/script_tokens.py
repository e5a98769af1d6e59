"""A small vocabulary with every hard case of script labels: bytes, pieces of characters, marks, shared letters."""

import random

from polyglyph.kernels.label_scripts import LabelTable
from polyglyph.routing.scripts.causal import build_label_table
from polyglyph.routing.scripts.characters import characters
from polyglyph.routing.scripts.labeller import ScriptLabeller
from polyglyph.routing.scripts.vocabulary import Vocabulary

WORDS = (
    "Hello", " world", "Привет", " мир", "नमस्ते", "你好", "世界", "こんにちは", "カタカナー", "ー", "ーカ", "カ", "が",
    "か\u3099", "\u0301", "e\u0301", "\u0301x", "µ", "µ µ", "µб", "ـ", "123", "٣", "१", "।", "、。", "😀",
    "👩\u200d👧", "\U00020000", "한국어", "ภาษา", "שלום", "مرحبا", "ⴰⵎⴰⵣⵉⵖ", "Հայ", "𞤀𞤣", "\ufffd", "\u0378", "\ue000",
    "\n", " ", "a1б", "aбб", "ǅ", "€",
)  # fmt: skip
NUM_WORDS = len(WORDS)
FIRST_BYTE = 0
FIRST_WORD = 256
NUM_HOLES = 3


def token_bytes() -> list[bytes]:
    """Give all single bytes, the words, and pieces of them cut without regard to characters."""
    words = [word.encode() for word in WORDS]
    joined, generator = b"".join(words), random.Random(0)
    starts = [generator.randrange(len(joined) - 8) for _ in range(400)]
    pieces = [joined[start : start + generator.randrange(1, 8)] for start in starts]
    joined_pieces = ["а".encode()[1:] + "日".encode()[:1]]
    broken = [
        b"\xc0",
        b"\x80\x80\x80\x80",
        b"\x80\x80\x80\x80\xd0\xbf",
        b"\xed\xa0\x80",
        b"\xf4\x90",
        b"a\xffb",
        b"\xe3\x81\xe3",
    ]
    return [bytes([byte]) for byte in range(256)] + words + pieces + joined_pieces + broken


def vocabulary() -> Vocabulary:
    """Give the vocabulary, with ids at its end that are no token."""
    tokens = token_bytes()
    return Vocabulary.of(dict(enumerate(tokens)), num_tokens=len(tokens) + NUM_HOLES)


def labeller() -> ScriptLabeller:
    """Give the labeller of the vocabulary."""
    return ScriptLabeller(vocabulary(), characters())


def label_table() -> LabelTable:
    """Give the vocabulary's table for the device."""
    return build_label_table(vocabulary(), characters())


def stream(generator: random.Random, length: int) -> list[int]:
    """Give token ids: runs of bytes that make words, whole words, anything at all, and ids outside the vocabulary."""
    num_tokens = len(token_bytes()) + NUM_HOLES
    ids: list[int] = []
    while len(ids) < length:
        kind = generator.random()
        if kind < 0.4:
            ids += list(generator.choice(WORDS).encode())
        elif kind < 0.6:
            ids.append(FIRST_WORD + generator.randrange(NUM_WORDS))
        elif kind < 0.95:
            ids.append(generator.randrange(num_tokens))
        else:
            ids.append(generator.choice([-1, num_tokens, num_tokens + 7]))
    return ids[:length]
