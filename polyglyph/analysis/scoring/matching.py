"""Matching: whether an answer is one of those that are accepted."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from polyglyph.analysis.scoring.normalisation import official_form, unicode_form

Matcher = Literal["exact", "normalised", "contains"]
"""The scorers that need no judge."""


def is_exact(answer: str, accepted: Iterable[str]) -> bool:
    """Whether the answer is an accepted one, but for whitespace around it."""
    return answer.strip() in {text.strip() for text in accepted}


def is_official(answer: str, accepted: Iterable[str]) -> bool:
    """Whether the two are the same to the benchmarks' own scorer."""
    return _is_same(answer, accepted, official_form)


def is_normalised(answer: str, accepted: Iterable[str]) -> bool:
    """Whether the two are the same text in any script, width or case."""
    return _is_same(answer, accepted, unicode_form)


def contains(answer: str, accepted: Iterable[str]) -> bool:
    """Whether an accepted answer stands somewhere in the answer; a number only as a whole number.

    Words may go on behind it, because many languages inflect names and some have no spaces.
    """
    whole = unicode_form(answer)
    return any(_stands_in(unicode_form(text), whole) for text in accepted)


MATCHERS: Mapping[Matcher, Callable[[str, Iterable[str]], bool]] = {
    "exact": is_exact,
    "normalised": is_normalised,
    "contains": contains,
}


def _is_same(answer: str, accepted: Iterable[str], form: Callable[[str], str]) -> bool:
    given = form(answer)
    # A text of nothing but punctuation has no form, and then only the text itself is the same.
    return given in {form(text) for text in accepted} if given else is_exact(answer, accepted) and bool(answer.strip())


def _stands_in(part: str, whole: str) -> bool:
    begin = whole.find(part) if part else -1
    while begin >= 0:
        end = begin + len(part)
        is_cut_before = part[0].isdigit() and whole[begin - 1 : begin].isdigit()
        is_cut_behind = part[-1].isdigit() and whole[end : end + 1].isdigit()
        if not (is_cut_before or is_cut_behind):
            return True
        begin = whole.find(part, begin + 1)
    return False
