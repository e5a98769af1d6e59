"""What the labels of a text must be: plain Python, one ICU call a character, nothing shared with the labeller."""

from collections import Counter
from functools import cache
from itertools import pairwise

import icu

NONE = "Zyyy"
LETTERS_AND_MARKS = (
    icu.UCharCategory.UPPERCASE_LETTER, icu.UCharCategory.LOWERCASE_LETTER, icu.UCharCategory.TITLECASE_LETTER,
    icu.UCharCategory.MODIFIER_LETTER, icu.UCharCategory.OTHER_LETTER, icu.UCharCategory.NON_SPACING_MARK,
    icu.UCharCategory.ENCLOSING_MARK, icu.UCharCategory.COMBINING_SPACING_MARK,
)  # fmt: skip


@cache
def script_property(character: str) -> str:
    """Give ICU's script of one character."""
    return icu.Script.getScript(ord(character)).getShortName()


@cache
def is_letter_or_mark(character: str) -> bool:
    """Whether the general category is L or M."""
    return icu.Char.charType(ord(character)) in LETTERS_AND_MARKS


def scripts_of(text: str) -> list[str]:
    """Give each character's script, attached ones resolved."""
    scripts: list[str] = []
    for index, character in enumerate(text):
        before = scripts[-1] if scripts else NONE
        script = script_property(character)
        if script == "Zinh":
            script = before
        elif script == "Zzzz":
            script = NONE
        elif script == "Zyyy" and is_letter_or_mark(character):
            script = before if before != NONE else script_after(text, index)
        scripts.append(script)
    return scripts


def script_after(text: str, index: int) -> str:
    """Give the script of the next character that does not attach itself."""
    for character in text[index + 1 :]:
        script = script_property(character)
        if script == "Zinh" or (script == "Zyyy" and is_letter_or_mark(character)):
            continue
        return NONE if script == "Zzzz" else script
    return NONE


def winner(scripts: tuple[str, ...]) -> str:
    """Give the most frequent script, the first of equally frequent ones."""
    counts = Counter(script for script in scripts if script != NONE)
    return max(counts, key=counts.__getitem__, default=NONE)


def labels_by_spans(scripts: list[str], spans: list[tuple[int, int]]) -> list[str]:
    """Give the label of each token from the range of characters that it takes part in."""
    cached_winner = cache(winner)
    return [cached_winner(tuple(scripts[begin:end])) for begin, end in spans]


def spans_of_bytes(pieces: list[bytes]) -> tuple[str, list[tuple[int, int]]]:
    """Give the text of byte pieces, and the range of characters in which each piece takes part.

    Each invalid byte counts as one character: they have no script, however they are taken together.
    """
    data = b"".join(pieces)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text, character_of_byte = decode_bytewise(data)
    else:
        character_of_byte = [index for index, character in enumerate(text) for _ in character.encode()]
    bounds = [0]
    for piece in pieces:
        bounds.append(bounds[-1] + len(piece))
    spans = [
        (character_of_byte[begin], character_of_byte[end - 1] + 1) if begin < end else (0, 0)
        for begin, end in pairwise(bounds)
    ]
    return text, spans


def decode_bytewise(data: bytes) -> tuple[str, list[int]]:
    """Give the text of any bytes, and the character to which each byte belongs."""
    text, character_of_byte, index = "", [], 0
    while index < len(data):
        length = next((size for size in (1, 2, 3, 4) if is_character(data[index : index + size])), 0)
        character_of_byte += [len(text)] * max(length, 1)
        text += data[index : index + length].decode() if length else "\ufffd"
        index += max(length, 1)
    return text, character_of_byte


def is_character(data: bytes) -> bool:
    """Whether the bytes are exactly one character."""
    try:
        return len(data.decode()) == 1
    except UnicodeDecodeError:
        return False
