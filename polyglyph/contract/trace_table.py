"""Traces as a table, one row per token and layer: the columns of `polyglyph.trace/1` in Parquet and Arrow.

Letters: n tokens, L MoE layers, K selected experts, R rows (n times L).
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from polyglyph.contract.plan import PHASES
from polyglyph.contract.trace import SequenceTrace, TraceHeader

PREFIX = "polyglyph."
_WORD = pa.dictionary(pa.int32(), pa.string())
_EXPERTS = pa.list_(pa.field("element", pa.uint16(), nullable=False))
_WEIGHTS = pa.list_(pa.field("element", pa.float16(), nullable=False))
COLUMNS = pa.schema(
    [
        pa.field("request_id", _WORD, nullable=False),
        pa.field("sequence", pa.int32(), nullable=False),
        pa.field("tag", _WORD, nullable=False),
        pa.field("plan", _WORD, nullable=False),
        pa.field("request_script", _WORD, nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("token_id", pa.int32()),
        pa.field("script", _WORD, nullable=False),
        pa.field("phase", _WORD, nullable=False),
        pa.field("steered", pa.bool_(), nullable=False),
        pa.field("computed", pa.bool_(), nullable=False),
        pa.field("layer", pa.uint16(), nullable=False),
        pa.field("experts", _EXPERTS),
        pa.field("weights", _WEIGHTS),
        pa.field("runner_up", _EXPERTS),
        pa.field("probabilities", _WEIGHTS),
    ]
)
Array = np.ndarray[Any, Any]


def schema_of(header: TraceHeader) -> pa.Schema:
    """Give the columns with the header as metadata: `polyglyph.schema` and so on, JSON where it is no text."""
    fields = header.model_dump(mode="json", by_alias=True)
    texts = {PREFIX + name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return COLUMNS.with_metadata(texts)


def table_of(traces: Sequence[SequenceTrace]) -> pa.Table:
    """Give the rows of sequences, one after the other, each by position and layer.

    What is unknown is null: the experts and weights of tokens from the prefix cache, the id of a token that came as an
    embedding, and the columns that were not recorded. A layer with fewer experts per token has shorter lists.
    """
    tables = [pa.Table.from_batches([_rows_of(trace)]) for trace in traces]
    joined = pa.concat_tables(tables) if tables else COLUMNS.empty_table()
    return joined.unify_dictionaries().combine_chunks()


def _rows_of(trace: SequenceTrace) -> pa.RecordBatch:
    n, num_layers = trace.ids.shape[:2]
    experts, weights = _experts_and_weights(trace)
    columns = [
        _same(trace.request_id, n * num_layers),
        pa.array(np.full(n * num_layers, trace.sequence, np.int32)),
        _same(trace.tag, n * num_layers),
        _same(trace.plan, n * num_layers),
        _same(trace.request_script, n * num_layers),
        pa.array(np.repeat(np.arange(n, dtype=np.int32), num_layers)),
        _nulled(np.repeat(trace.token_ids, num_layers), where=np.repeat(trace.token_ids < 0, num_layers)),
        _each_of(trace.scripts, num_layers),
        _words(np.repeat(trace.phases.astype(np.int32), num_layers), list(PHASES)),
        pa.array(np.repeat(trace.steered, num_layers)),
        pa.array(np.repeat(trace.computed, num_layers)),
        pa.array(np.tile(np.arange(num_layers, dtype=np.uint16), n)),
        experts,
        weights,
        _nothing(_EXPERTS, n * num_layers) if trace.runner_up is None else _lists(trace.runner_up, trace.runner_up),
        _probabilities(trace),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=COLUMNS)


def _experts_and_weights(trace: SequenceTrace) -> tuple[pa.Array, pa.Array]:
    experts = _lists(trace.ids, trace.ids)
    if trace.weights is None:
        return experts, _nothing(_WEIGHTS, trace.num_rows)
    return experts, _lists(trace.weights, trace.ids)


def _probabilities(trace: SequenceTrace) -> pa.Array:
    if trace.probabilities is None:
        return _nothing(_WEIGHTS, trace.num_rows)
    _, num_layers, num_experts = trace.probabilities.shape
    length_R = np.repeat(np.where(trace.computed, num_experts, 0), num_layers)
    return _list_array(trace.probabilities[trace.computed].reshape(-1), length_R)


def _lists(values_nLK: Array, ids_nLK: Array) -> pa.Array:
    """Give the values whose ids are known, a list per row; null where none is."""
    is_known_RK = ids_nLK.reshape(-1, ids_nLK.shape[2]) != np.iinfo(ids_nLK.dtype).max
    values_RK = values_nLK.reshape(is_known_RK.shape)
    values = values_RK.reshape(-1) if is_known_RK.all() else values_RK[is_known_RK]
    return _list_array(values, is_known_RK.sum(axis=1))


def _list_array(values: Array, length_R: Array) -> pa.Array:
    kind = _WEIGHTS if values.dtype == np.float16 else _EXPERTS
    offsets = np.zeros(len(length_R) + 1, np.int32)
    np.cumsum(length_R, out=offsets[1:])
    element = pa.array(values if kind is _WEIGHTS else values.astype(np.uint16))
    is_null = length_R == 0
    mask = pa.array(is_null) if is_null.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), element, type=kind, mask=mask)


def _nulled(values: Array, *, where: Array) -> pa.Array:
    return pa.array(values, mask=where)


def _nothing(kind: pa.DataType, num_rows: int) -> pa.Array:
    return pa.nulls(num_rows, kind)


def _same(word: str, num_rows: int) -> pa.Array:
    return _words(np.zeros(num_rows, np.int32), [word])


def _each_of(scripts: Sequence[str], num_layers: int) -> pa.Array:
    words = sorted(set(scripts))
    index = {word: number for number, word in enumerate(words)}
    index_n = np.fromiter((index[script] for script in scripts), np.int32, len(scripts))
    return _words(np.repeat(index_n, num_layers), words)


def _words(index_R: Array, words: list[str]) -> pa.Array:
    # A request's id may be the caller's own, and JSON can spell lone surrogates, which no UTF-8 can: they become "?".
    texts = [word.encode(errors="replace").decode() for word in words]
    return pa.DictionaryArray.from_arrays(pa.array(index_R), pa.array(texts, pa.string()))
