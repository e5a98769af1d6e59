"""Stats as safetensors: arrays over all groups; header and labels in the metadata.

Letters: G groups, L MoE layers, E experts.
"""

import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import safe_open

from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.exports.columns import Array, Columns
from polyglyph.contract.exports.limits import check_size
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.metadata import PREFIX, header_of, metadata_of
from polyglyph.contract.exports.spool import copy, spooled
from polyglyph.contract.sums import COLUMNS, Column, Snapshot

GROUPS = f"{PREFIX}groups."
"""Beginning of the metadata keys that hold a column's labels, as a JSON list."""
DTYPES = {"selected": "I64", "weight_sum": "F64", "group_tokens": "I64", "cached_tokens": "I64"}


def write(snapshot: Snapshot, file: BinaryIO) -> None:
    """Write a snapshot.

    By hand: the library takes whole arrays, which need not fit into memory here. The format is a length (8 bytes,
    little-endian), a JSON object of that length, and the arrays.
    """
    with spooled(snapshot) as spool:
        counts = {
            "group_tokens": np.array(spool.tokens, "<i8"),
            "cached_tokens": np.array(spool.cached_tokens, "<i8"),
        }
        shape = [len(spool.keys), snapshot.header.layers, snapshot.header.experts]
        shapes = {"selected": shape, "weight_sum": shape, **dict.fromkeys(counts, shape[:1])}
        labels = {GROUPS + column: json.dumps(spool.labels(column)) for column in COLUMNS}
        file.write(_beginning(shapes, metadata_of(snapshot.header) | labels))
        copy(spool.selected, file)
        copy(spool.weight_sum, file)
        file.write(b"".join(array_G.tobytes() for array_G in counts.values()))


def read(path: Path, *, max_cells: int) -> LoadedStats:
    """Read what `write` wrote; raises `InvalidStatsError`, and the library's own errors for a damaged file."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        header = header_of(metadata)
        labels = {column: _labels(metadata, column) for column in COLUMNS}
        num_groups = len(labels[COLUMNS[0]])
        check_size(num_groups * header.layers * header.experts, max_cells=max_cells)
        shape = [num_groups, header.layers, header.experts]
        if any(len(values) != num_groups for values in labels.values()):
            raise InvalidStatsError(f"expected {num_groups} labels in every column")
        return Columns(
            labels=labels,
            group_tokens_G=_get(file, "group_tokens", shape[:1]),
            cached_tokens_G=_get(file, "cached_tokens", shape[:1]),
            selected_GLE=_get(file, "selected", shape),
            weight_sum_GLE=_get(file, "weight_sum", shape),
        ).stats(header)


def _beginning(shapes: dict[str, list[int]], metadata: dict[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, dtype in DTYPES.items():
        start, end = end, end + 8 * int(np.prod(shapes[name], dtype=object))
        header[name] = {"dtype": dtype, "shape": shapes[name], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    # Spaces up to a multiple of 8, so that the arrays can be mapped into memory.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _labels(metadata: dict[str, str], column: Column) -> list[str]:
    try:
        values = json.loads(metadata.get(GROUPS + column, "null"))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidStatsError(f"expected a JSON list of texts in the metadata key {GROUPS}{column}")
    return values


def _get(file: Any, name: str, shape: list[int]) -> Array:
    found = file.get_slice(name) if name in file.keys() else None  # noqa: SIM118 - the library's object is no mapping
    if found is None or (found.get_dtype(), list(found.get_shape())) != (DTYPES[name], shape):
        came = f"{found.get_dtype()} {found.get_shape()!r:.60}" if found else "none"
        raise InvalidStatsError(f"{name}: expected {DTYPES[name]} {shape}, got {came}")
    array: Array = file.get_tensor(name)
    return array
