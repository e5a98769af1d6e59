"""Reads files of traces back into sequences.

Letters: n tokens, L MoE layers, K selected experts, R rows (n times L).
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from polyglyph.contract.base import as_request_error
from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import PHASES
from polyglyph.contract.trace import SequenceTrace, TraceHeader
from polyglyph.contract.trace_table import COLUMNS, PREFIX

Array = np.ndarray[Any, Any]
_TEXTS = frozenset({"schema", "model_fingerprint", "run"})
_DAMAGE = (OSError, ValueError, pa.ArrowException)
"""What pyarrow raises for a file that is not as it was written."""


def read_traces(path: Path) -> Iterator[SequenceTrace]:
    """Give the sequences of a file, or of all `*.parquet` files of a folder in the order of their names.

    A row group at a time is held in memory, and the sequence that is being read.

    Raises:
        RequestError: There is no such file, one is no file of traces, its rows are not as they were written, or two are
            of different models. The text names the file.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    first: TraceHeader | None = None
    for file in files:
        header = read_header(file)
        first = first or header
        if _model_of(header) != _model_of(first):
            raise RequestError(
                f"{file}: traces of the model {header.model_fingerprint}, and the files before it are of "
                f"{first.model_fingerprint}; read them apart"
            )
        yield from _read_file(file, header)


def read_header(path: Path) -> TraceHeader:
    """Read what a file of traces is of.

    Raises:
        RequestError: It is no file of traces; the text names it.
    """
    with _open(path) as file:
        schema = file.schema_arrow
    texts = _texts_of(schema.metadata or {}, path=path)
    if not texts.get("schema", "").startswith("polyglyph.trace/"):
        raise RequestError(f"{path}: expected the schema polyglyph.trace/1, got {texts.get('schema')!r:.60}")
    if missing := [name for name in COLUMNS.names if name not in schema.names]:
        raise RequestError(f"{path}: the column {missing[0]!r} is missing")
    try:
        fields = {name: text if name in _TEXTS else json.loads(text) for name, text in texts.items()}
        return TraceHeader.model_validate(fields)
    except ValidationError as error:
        raise as_request_error(error, root=path.name) from error
    except ValueError as error:
        raise RequestError(f"{path}: the metadata is no JSON: {error}") from error


def _model_of(header: TraceHeader) -> tuple[object, ...]:
    return (header.model_fingerprint, header.layers, header.experts, header.top_k)


def _texts_of(metadata: dict[bytes, bytes], *, path: Path) -> dict[str, str]:
    try:
        texts = {name.decode(): text.decode() for name, text in metadata.items()}
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: the metadata is no UTF-8: {error}") from error
    return {name.removeprefix(PREFIX): text for name, text in texts.items() if name.startswith(PREFIX)}


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except _DAMAGE as error:
        raise RequestError(f"{path}: not a readable Parquet file: {error}") from error


def _read_file(path: Path, header: TraceHeader) -> Iterator[SequenceTrace]:
    begun: list[pa.Table] = []
    for part in _parts(path):
        is_start = (part["position"].to_numpy() == 0) & (part["layer"].to_numpy() == 0)
        cuts = [0, *np.flatnonzero(is_start).tolist(), part.num_rows]
        for start, end in pairwise(cuts):
            if end == start:
                continue
            if is_start[start] and begun:
                yield _sequence(begun, header, path=path)
                begun = []
            begun.append(part.slice(start, end - start))
    if begun:
        yield _sequence(begun, header, path=path)


def _parts(path: Path) -> Iterator[pa.Table]:
    with _open(path) as file:
        try:
            for group in range(file.num_row_groups):
                # What other tools have written again has plain strings in place of dictionaries.
                yield file.read_row_group(group, columns=COLUMNS.names).cast(COLUMNS)
        except _DAMAGE as error:
            raise RequestError(f"{path}: damaged: {error}") from error


def _sequence(parts: list[pa.Table], header: TraceHeader, *, path: Path) -> SequenceTrace:
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    n = table.num_rows // header.layers
    layer_R, position_R = table["layer"].to_numpy(), table["position"].to_numpy()
    is_whole = table.num_rows == n * header.layers
    if not (
        is_whole
        and np.array_equal(layer_R, np.tile(np.arange(header.layers), n))
        and np.array_equal(position_R, np.repeat(np.arange(n), header.layers))
    ):
        raise RequestError(f"{path}: rows are missing or not in the order of sequence, position and layer")
    tokens = table.take(np.arange(0, table.num_rows, header.layers))
    try:
        return _assemble(table, tokens, header)
    except _DAMAGE as error:
        raise RequestError(f"{path}: {error}") from error


def _assemble(table: pa.Table, tokens: pa.Table, header: TraceHeader) -> SequenceTrace:
    shape = (tokens.num_rows, header.layers, header.top_k)
    dtype: np.dtype[Any] = np.dtype(np.uint8 if header.experts <= 255 else np.uint16)
    unknown = 255 if header.experts <= 255 else 65_535
    scores = _padded(table["probabilities"], (*shape[:2], header.experts), dtype=np.dtype(np.float16), fill=0)
    first = {name: tokens[name][0].as_py() for name in ("request_id", "sequence", "tag", "plan", "request_script")}
    ids = _padded(table["experts"], shape, dtype=dtype, fill=unknown)
    return SequenceTrace(
        **first,
        scripts=tuple(tokens["script"].to_pylist()),
        token_ids=tokens["token_id"].fill_null(-1).to_numpy().astype(np.int32),
        phases=np.array([PHASES.index(phase) for phase in tokens["phase"].to_pylist()], np.uint8),
        steered=tokens["steered"].to_numpy(),
        computed=tokens["computed"].to_numpy(),
        ids=np.full(shape, unknown, dtype) if ids is None else ids,
        weights=_padded(table["weights"], shape, dtype=np.dtype(np.float16), fill=0),
        runner_up=_padded(table["runner_up"], shape, dtype=dtype, fill=unknown),
        probabilities=scores,
    )


def _padded(lists: pa.ChunkedArray, shape: tuple[int, ...], *, dtype: "np.dtype[Any]", fill: int) -> Array | None:
    """Give lists as an array, the rest of each row filled; None when there is no list at all."""
    if lists.null_count == len(lists):
        return None
    array = lists.combine_chunks()
    length_R = array.value_lengths().fill_null(0).to_numpy()
    if length_R.max() > shape[-1]:
        raise ValueError(f"expected lists of at most {shape[-1]}, got one of {length_R.max()}")
    padded_RK = np.full((len(array), shape[-1]), fill, dtype)
    padded_RK[np.arange(shape[-1]) < length_R[:, None]] = array.flatten().to_numpy()
    return padded_RK.reshape(shape)
