"""The manifest of an export: what is in the file, and the hash to tell whether it is whole."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from polyglyph.contract.base import Document, as_request_error, read_json
from polyglyph.contract.exports.formats import Format
from polyglyph.contract.stats import StatsHeader


class Manifest(Document):
    """A manifest, `polyglyph.manifest/1`.

    Args of note:
        header: What the sums are of.
        rows: Rows of a table: groups x layers x experts, zeros included.
        tokens: Tokens computed; `cached_tokens` were served from the prefix cache and are in no sum.
        overflow_tokens: Those of `tokens` for which no group of their own was free; None where that cannot be told.
        filters: What the export was restricted to, by parameter.
        bytes: Size of the file; `sha256` are 64 hex digits over all of it.
    """

    schema_: Literal["polyglyph.manifest/1"] = Field(default="polyglyph.manifest/1", alias="schema")
    format: Format
    header: StatsHeader
    groups: int = Field(ge=0)
    rows: int = Field(ge=0)
    tokens: int = Field(ge=0)
    cached_tokens: int = Field(ge=0)
    overflow_tokens: int | None
    filters: dict[str, str]
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def manifest_path(path: Path) -> Path:
    """Give the path of the manifest beside a file."""
    return path.with_name(f"{path.name}.manifest.json")


def load_manifest(path: Path) -> Manifest:
    """Read a manifest file.

    Raises:
        RequestError: The file is no JSON or no manifest; the text names the file.
    """
    return parse_manifest(path.name, read_json(path, kind="manifest"))


def parse_manifest(name: str, document: object) -> Manifest:
    """Read a manifest from JSON values; `name` says in errors where they came from."""
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise as_request_error(error, root=name) from error
