"""Cuts a text in two where it hurts least."""

import re
import unicodedata

_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?。！？।॥።؟۔])\s+"), re.compile(r"\s+"))
"""Where to cut, best first: paragraphs, lines, sentences, white space."""


def halve(text: str) -> tuple[str, str] | None:
    """Cut a text near its middle; both parts together are the text.

    The best break in the middle half is taken: a paragraph's before a line's, a sentence's or a space, the nearest to
    the middle among equals; white space stays with the first part. A text without any is cut between characters, and
    not before a combining one where that can be helped.

    Returns:
        None for a text of less than two characters.
    """
    if len(text) < 2:
        return None
    middle = len(text) // 2
    begin, end = len(text) // 4, len(text) - len(text) // 4
    for pattern in _BREAKS:
        cuts = [found.end() for found in pattern.finditer(text, begin, end) if 0 < found.end() < len(text)]
        if cuts:
            return _cut(text, min(cuts, key=lambda cut: abs(cut - middle)))
    return _cut(text, next((cut for cut in range(max(1, middle), end) if not _attaches(text[cut])), max(1, middle)))


def _cut(text: str, cut: int) -> tuple[str, str]:
    return text[:cut], text[cut:]


def _attaches(character: str) -> bool:
    """Whether a character belongs to the one before it: marks, joiners and other format characters."""
    return unicodedata.category(character) in {"Mn", "Mc", "Me", "Cf"}
