"""Stats as the JSON document `polyglyph.stats/1`, arrays in base64."""

import json
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from polyglyph.contract.base import as_request_error
from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.exports.documents import group_document, load_document
from polyglyph.contract.exports.limits import BYTES_PER_CELL, check_size
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.tally import Tally
from polyglyph.contract.stats import Stats
from polyglyph.contract.sums import Snapshot

MAGIC = b"{"


def write(snapshot: Snapshot, file: BinaryIO) -> None:
    """Write a snapshot."""
    tally = Tally(header=snapshot.header)
    header = snapshot.header.model_dump_json(by_alias=True)
    file.write(f'{header.removesuffix("}")}, "groups": ['.encode())
    for index, group in enumerate(tally.watch(snapshot.groups)):
        file.write(b", " if index else b"")
        file.write(group_document(group).model_dump_json().encode())
    file.write(f'], "overflow_tokens": {json.dumps(tally.overflow_tokens)}}}'.encode())


def read(path: Path, *, max_cells: int) -> LoadedStats:
    """Read what `write` wrote.

    Raises:
        InvalidStatsError: The file is no such document.
    """
    check_size(path.stat().st_size // BYTES_PER_CELL, max_cells=max_cells)
    document = _parse(path.read_bytes())
    if not isinstance(document, dict) or document.get("schema") != "polyglyph.stats/1":
        raise InvalidStatsError(f"expected the schema polyglyph.stats/1, got {_describe(document)}")
    try:
        return load_document(Stats.model_validate(document))
    except ValidationError as error:
        raise InvalidStatsError(str(as_request_error(error, root="stats"))) from error


def _parse(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidStatsError(f"expected a JSON document: {error}") from error


def _describe(document: object) -> str:
    if isinstance(document, dict) and "logical_count" in document:
        return "an EPLB matrix, in which the groups are summed away"
    if isinstance(document, dict) and document.get("schema") == "polyglyph.manifest/1":
        return "a manifest; name the file that it stands beside"
    return f"{document.get('schema')!r:.60}" if isinstance(document, dict) else "no JSON object"
