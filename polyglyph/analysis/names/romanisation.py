"""Romanisation: how far a name in any script is from the Latin one, by ICU and edit distance."""

from functools import cache
from typing import Any

import icu

from polyglyph.analysis.names.script import Script

_UNWRITTEN_VOWELS = frozenset({"Arab", "Hebr"})
_VOWELS = str.maketrans("", "", "aeiouy")


@cache
def romanise(text: str) -> str:
    """Give the lower-case ASCII letters of a text's ICU romanisation."""
    return str(_transliterator().transliterate(text))


def distance(text: str, script: Script, latin: str) -> float:
    """Compare a name's romanisation with the Latin name's.

    Args:
        text: Name in any script.
        script: Its script. Of Arab and Hebr only the consonants are compared: short vowels are not written there.
        latin: The Latin name.

    Returns:
        Edit distance over the longer one's length, 0 (alike) to 1.
    """
    left, right = romanise(text), romanise(latin)
    if script in _UNWRITTEN_VOWELS:
        left, right = left.translate(_VOWELS), right.translate(_VOWELS)
    return _edits(left, right) / max(len(left), len(right), 1)


def _edits(left: str, right: str) -> int:
    """Count the insertions, deletions and substitutions that turn one text into the other."""
    above = list(range(len(right) + 1))
    for row, char in enumerate(left, 1):
        current = [row]
        for column, other in enumerate(right):
            change = above[column] + (char != other)
            current.append(min(change, above[column + 1] + 1, current[-1] + 1))
        above = current
    return above[-1]


@cache
def _transliterator() -> Any:
    return icu.Transliterator.createInstance("Any-Latin; Latin-ASCII; Lower; [^a-z] Remove")
