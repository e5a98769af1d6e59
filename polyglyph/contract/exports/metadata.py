"""The header of stats as text by key, for formats that carry such pairs: `polyglyph.schema`, `polyglyph.layers`, ..."""

import json
from collections.abc import Mapping

from pydantic import ValidationError

from polyglyph.contract.base import as_request_error
from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.stats import StatsHeader

PREFIX = "polyglyph."
_JSON = frozenset({"layers", "experts", "top_k", "versions", "by"})


def metadata_of(header: StatsHeader) -> dict[str, str]:
    """Give the header's fields as text; what is no text in the header is JSON here."""
    fields = header.model_dump(mode="json", by_alias=True)
    return {PREFIX + name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


def header_of(metadata: Mapping[str, str]) -> StatsHeader:
    """Read the header back.

    Raises:
        InvalidStatsError: There is no `polyglyph.schema`, or the fields are none of a header.
    """
    if PREFIX + "schema" not in metadata:
        raise InvalidStatsError("expected the metadata key polyglyph.schema, which is not there: no stats of Polyglyph")
    texts = {name.removeprefix(PREFIX): value for name, value in metadata.items() if name.startswith(PREFIX)}
    return parse_header({name: _value(name, texts[name]) for name in _names() if name in texts})


def texts_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """Give Arrow's metadata as text.

    Raises:
        InvalidStatsError: It is not UTF-8.
    """
    try:
        return {name.decode(): value.decode() for name, value in (metadata or {}).items()}
    except UnicodeDecodeError as error:
        raise InvalidStatsError(f"expected metadata in UTF-8: {error}") from error


def parse_header(fields: object) -> StatsHeader:
    """Read a header from JSON values.

    Raises:
        InvalidStatsError: A field is missing, unknown, of the wrong type or out of range.
    """
    try:
        return StatsHeader.model_validate(fields)
    except ValidationError as error:
        raise InvalidStatsError(str(as_request_error(error, root="header"))) from error


def _names() -> list[str]:
    return [field.alias or name for name, field in StatsHeader.model_fields.items()]


def _value(name: str, text: str) -> object:
    if name not in _JSON:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidStatsError(f"{PREFIX}{name}: expected JSON, got {text!r:.60}") from error
