"""Stats as NPZ: arrays over all groups, and the header as JSON; nothing in it is pickled.

Letters: G groups, L MoE layers, E experts.
"""

import json
import zipfile
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.exports.columns import Columns
from polyglyph.contract.exports.limits import check_size
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.metadata import parse_header
from polyglyph.contract.exports.npy import Array, read_npy, read_npy_header, write_npy, write_npy_header
from polyglyph.contract.exports.spool import copy, spooled
from polyglyph.contract.sums import COLUMNS, Snapshot

MAGIC = b"PK\x03\x04"
HEADER = "header.json"
HEADER_BYTES = 1 << 20
"""Largest header that is read."""
ARRAYS = (*COLUMNS, "group_tokens", "cached_tokens", "selected", "weight_sum")


def write(snapshot: Snapshot, file: BinaryIO) -> None:
    """Write a snapshot: `header.json`, a [G] array per column, `selected` and `weight_sum` [G, L, E]."""
    header = snapshot.header
    with spooled(snapshot) as spool, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        shape = (len(spool.keys), header.layers, header.experts)
        with _member(archive, HEADER) as member:
            member.write(header.model_dump_json(by_alias=True).encode())
        for column in COLUMNS:
            _put(archive, column, np.array(spool.labels(column), "U"))
        _put(archive, "group_tokens", np.array(spool.tokens, "<i8"))
        _put(archive, "cached_tokens", np.array(spool.cached_tokens, "<i8"))
        for name, dtype, source in (("selected", "<i8", spool.selected), ("weight_sum", "<f8", spool.weight_sum)):
            with _member(archive, f"{name}.npy") as member:
                write_npy_header(member, dtype=dtype, shape=shape)
                copy(source, member)


def read(path: Path, *, max_cells: int) -> LoadedStats:
    """Read what `write` wrote; raises `InvalidStatsError`, and zipfile's own errors for a damaged file."""
    with zipfile.ZipFile(path) as archive:
        expected = {HEADER, *(f"{name}.npy" for name in ARRAYS)}
        if set(archive.namelist()) != expected or len(archive.namelist()) != len(expected):
            names = ", ".join(archive.namelist())
            raise InvalidStatsError(f"expected the arrays {', '.join(ARRAYS)} and {HEADER}, got {names:.300}")
        header = parse_header(_read_header(archive))
        num_groups = _count_groups(archive)
        check_size(num_groups * header.layers * header.experts, max_cells=max_cells)
        shape = (num_groups, header.layers, header.experts)
        return Columns(
            labels={column: _get(archive, column, "U", (num_groups,)).tolist() for column in COLUMNS},
            group_tokens_G=_get(archive, "group_tokens", "<i8", (num_groups,)),
            cached_tokens_G=_get(archive, "cached_tokens", "<i8", (num_groups,)),
            selected_GLE=_get(archive, "selected", "<i8", shape),
            weight_sum_GLE=_get(archive, "weight_sum", "<f8", shape),
        ).stats(header)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # Without a date: the same sums give the same bytes.
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(entry, "w", force_zip64=True)


def _put(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    with _member(archive, f"{name}.npy") as member:
        write_npy(member, array)


def _get(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int, ...]) -> Array:
    with archive.open(f"{name}.npy") as member:
        return read_npy(member, dtype=dtype, shape=shape)


def _read_header(archive: zipfile.ZipFile) -> object:
    with archive.open(HEADER) as member:
        text = member.read(HEADER_BYTES)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidStatsError(f"{HEADER}: expected JSON: {error}") from error


def _count_groups(archive: zipfile.ZipFile) -> int:
    with archive.open("group_tokens.npy") as member:
        shape, _ = read_npy_header(member)
    if len(shape) != 1:
        raise InvalidStatsError(f"group_tokens: expected a number per group, got shape {shape!r:.60}")
    return shape[0]
