"""Which script a text, its entities and each of its tokens are written in, by ICU (ISO 15924 codes)."""

from polyglyph.routing.scripts.dominant import (
    MAX_CHARACTERS,
    NO_SCRIPT,
    dominant_script,
    is_script_of_text,
    script_of,
)
from polyglyph.routing.scripts.entities import WordsApart, as_writing_system, entity_script, words_apart
from polyglyph.routing.scripts.romanised import RomanisedWords, romanised, romanised_words

__all__ = [
    "MAX_CHARACTERS",
    "NO_SCRIPT",
    "RomanisedWords",
    "WordsApart",
    "as_writing_system",
    "dominant_script",
    "entity_script",
    "is_script_of_text",
    "romanised",
    "romanised_words",
    "script_of",
    "words_apart",
]
