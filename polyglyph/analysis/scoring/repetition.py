"""Repetition: how much of a text says again what it said before."""

import icu

NUM_WORDS = 4
MAX_CHARACTERS = 4096
"""Only this many last characters are judged: a model that falls into a loop does not come out of it."""


def repeated_share(text: str, *, num_words: int = NUM_WORDS) -> float:
    """Give the share of a text's word n-grams that occurred in it before (seq-rep-n, Welleck and others 2020).

    Args:
        text: In any script; words are ICU's, so that texts without spaces have some too.
        num_words: Length of an n-gram.

    Returns:
        0 to below 1; 0 for a text with less than two n-grams.
    """
    words = split_words(text[-MAX_CHARACTERS:])
    grams = [tuple(words[i : i + num_words]) for i in range(len(words) - num_words + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def split_words(text: str) -> list[str]:
    """Split a text into words by Unicode's rules and ICU's dictionaries; what is between words is none."""
    breaks = icu.BreakIterator.createWordInstance(icu.Locale.getRoot())
    # Positions are ICU's, in UTF-16 units.
    whole = icu.UnicodeString(text)
    breaks.setText(whole)
    words, begin = [], breaks.first()
    for end in breaks:
        # Below 100 stands what is no word (UBRK_WORD_NONE_LIMIT).
        if breaks.getRuleStatus() >= 100:
            words.append(str(whole[begin:end]))
        begin = end
    return words
