"""Which script a text, its entities and each of its tokens are written in, by ICU (ISO 15924 codes)."""

from polyglyph.routing.scripts.dominant import (
    MAX_CHARACTERS,
    NO_SCRIPT,
    dominant_script,
    is_script_of_text,
    script_of,
)
from polyglyph.routing.scripts.entities import as_writing_system, entity_script

__all__ = [
    "MAX_CHARACTERS",
    "NO_SCRIPT",
    "as_writing_system",
    "dominant_script",
    "entity_script",
    "is_script_of_text",
    "script_of",
]
