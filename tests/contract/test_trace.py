"""Traces become tables and files and come back as they were; what is no trace is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import PHASES
from polyglyph.contract.trace import SequenceTrace, TraceHeader
from polyglyph.contract.trace_reading import read_header, read_traces
from polyglyph.contract.trace_table import COLUMNS, schema_of, table_of
from tests.support.traces import differences, make_trace, trace_header

HEADER = trace_header()


def write(path: Path, traces: list[SequenceTrace], header: TraceHeader = HEADER, *, rows: int = 1000) -> Path:
    table = table_of(traces).replace_schema_metadata(schema_of(header).metadata)
    pq.write_table(table, path, row_group_size=rows, write_page_checksum=True)
    return path


@pytest.mark.parametrize("num_tokens", [1, 2, 63, 400])
@pytest.mark.parametrize(("layers", "experts", "top_k"), [(1, 2, 1), (6, 16, 2), (2, 255, 8), (3, 256, 4), (1, 5, 5)])
def test_a_sequence_comes_back_as_it_was(tmp_path: Path, num_tokens: int, layers: int, experts: int, top_k: int):
    header = trace_header(layers=layers, experts=experts, top_k=top_k)
    trace = make_trace(num_tokens, header)
    (back,) = read_traces(write(tmp_path / "t.parquet", [trace], header))
    assert differences(trace, back) == []


@given(
    sizes=st.lists(st.integers(0, 9), max_size=6),
    rows=st.integers(1, 40),
    text=st.text(st.characters(codec="utf-8"), max_size=9),
)
def test_sequences_come_back_whole_and_in_order_however_the_row_groups_fall(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], rows: int, text: str
):
    traces = [make_trace(size, HEADER, seed=seed, request_id=text, tag=text) for seed, size in enumerate(sizes)]
    path = write(tmp_path_factory.mktemp("traces") / "t.parquet", traces, rows=rows)
    back = list(read_traces(path))
    expected = [trace for trace in traces if trace.num_tokens]
    assert len(back) == len(expected)
    for one, other in zip(expected, back, strict=True):
        known = {"weights"} if not one.computed.any() else set()
        assert set(differences(one, other)) <= known


def test_a_row_says_of_one_token_and_layer_what_the_arrays_say():
    trace = make_trace(7, HEADER, steered=np.arange(7) % 2 == 0)
    rows = table_of([trace]).to_pylist()
    assert len(rows) == trace.num_rows == 7 * 3
    for number, row in enumerate(rows):
        token, layer = divmod(number, 3)
        known = [k for k in range(2) if trace.ids[token, layer, k] != 255]
        assert (row["position"], row["layer"]) == (token, layer)
        assert row["token_id"] == trace.token_ids[token]
        assert row["script"] == trace.scripts[token]
        assert row["phase"] == PHASES[trace.phases[token]]
        assert row["steered"] == (token % 2 == 0)
        assert row["computed"] == trace.computed[token]
        assert row["experts"] == ([int(trace.ids[token, layer, k]) for k in known] or None)
        assert row["weights"] == ([float(trace.weights[token, layer, k]) for k in known] or None)
        assert row["runner_up"] is row["probabilities"] is None


def test_what_was_not_recorded_is_null_and_comes_back_as_none(tmp_path: Path):
    trace = make_trace(5, HEADER, weights=None)
    (back,) = read_traces(write(tmp_path / "t.parquet", [trace]))
    assert back.weights is back.runner_up is back.probabilities is None
    assert differences(trace, back) == []


def test_runners_up_and_probabilities_come_back(tmp_path: Path):
    plain = make_trace(8, HEADER)
    scores = np.random.default_rng(1).random((8, 3, 16)).astype(np.float16)
    scores[~plain.computed] = 0
    trace = make_trace(8, HEADER, runner_up=plain.ids[::-1].copy(), probabilities=scores)
    (back,) = read_traces(write(tmp_path / "t.parquet", [trace], rows=5))
    assert differences(trace, back) == []


def test_a_prompt_of_embeddings_has_no_token_ids(tmp_path: Path):
    trace = make_trace(4, HEADER, token_ids=np.array([-1, -1, 7, 9], np.int32))
    assert table_of([trace])["token_id"].to_pylist()[:7] == [None] * 6 + [7]
    (back,) = read_traces(write(tmp_path / "t.parquet", [trace]))
    assert back.token_ids.tolist() == [-1, -1, 7, 9]


def test_tokens_of_the_prefix_cache_whose_experts_are_known_keep_them(tmp_path: Path):
    trace = make_trace(4, HEADER, computed=np.zeros(4, bool), ids=np.full((4, 3, 2), 5, np.uint8))
    (back,) = read_traces(write(tmp_path / "t.parquet", [trace]))
    assert differences(trace, back) == []


def test_an_id_that_is_no_text_is_written_as_far_as_it_is(tmp_path: Path):
    (back,) = read_traces(write(tmp_path / "t.parquet", [make_trace(2, HEADER, request_id="a\ud800\0б")]))
    assert back.request_id == "a?\0б"


def test_no_sequence_makes_an_empty_table_of_the_same_columns():
    assert table_of([]).schema == COLUMNS
    assert table_of([make_trace(0, HEADER)]).num_rows == 0


def test_the_header_travels_with_the_file(tmp_path: Path):
    header = HEADER.model_copy(update={"run": "run-7"})
    path = write(tmp_path / "t.parquet", [make_trace(2, HEADER)], header)
    assert read_header(path) == header
    metadata = pq.read_schema(path).metadata
    assert metadata[b"polyglyph.schema"] == b"polyglyph.trace/1"
    assert metadata[b"polyglyph.layers"] == b"3"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ids", np.zeros((4, 3, 2), np.int64)),
        ("ids", np.zeros((4, 3), np.uint8)),
        ("ids", np.zeros((5, 3, 2), np.uint8)),
        ("scripts", ("Latn",)),
        ("token_ids", np.zeros(4, np.int64)),
        ("token_ids", np.zeros(3, np.int32)),
        ("phases", np.full(4, 3, np.uint8)),
        ("steered", np.zeros(4, np.uint8)),
        ("computed", np.ones((4, 1), bool)),
        ("weights", np.zeros((4, 3, 2), np.float32)),
        ("weights", np.zeros((4, 3, 1), np.float16)),
        ("runner_up", np.zeros((4, 3, 2), np.uint16)),
        ("probabilities", np.zeros((4, 2, 16), np.float16)),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_no_trace(field: str, value: Any):
    with pytest.raises(ValueError, match=r"expected .* got"):
        make_trace(4, HEADER, **{field: value})


def test_a_trace_of_another_shape_of_model_is_told_apart():
    trace = make_trace(4, HEADER, probabilities=np.zeros((4, 3, 16), np.float16))
    trace.check_model(HEADER)
    for other in (trace_header(layers=4), trace_header(top_k=3), trace_header(experts=17)):
        with pytest.raises(ValueError, match="expected"):
            trace.check_model(other)


def test_a_folder_is_read_in_the_order_of_the_names_without_unfinished_files(tmp_path: Path):
    for number in (3, 1, 2):
        write(tmp_path / f"run-{number}.parquet", [make_trace(4, HEADER, seed=number)])
    (tmp_path / ".run-4.parquet.x1.partial").write_bytes(b"PAR1")
    (tmp_path / "notes.txt").write_text("not ours")
    assert [trace.request_id for trace in read_traces(tmp_path)] == ["chatcmpl-1", "chatcmpl-2", "chatcmpl-3"]


def test_files_of_different_models_are_refused_with_both_fingerprints(tmp_path: Path):
    write(tmp_path / "a.parquet", [make_trace(4, HEADER)])
    other = trace_header(fingerprint="b")
    write(tmp_path / "b.parquet", [make_trace(4, other)], other)
    with pytest.raises(RequestError) as error:
        list(read_traces(tmp_path))
    assert HEADER.model_fingerprint in str(error.value)
    assert other.model_fingerprint in str(error.value)
    assert "b.parquet" in str(error.value)


def plain(path: Path, change: Any) -> Path:
    table = table_of([make_trace(4, HEADER)]).replace_schema_metadata(schema_of(HEADER).metadata)
    pq.write_table(change(table), path)
    return path


METADATA = dict(schema_of(HEADER).metadata)
CHANGES = {
    "no metadata": lambda table: table.replace_schema_metadata(None),
    "another schema": lambda table: table.replace_schema_metadata({**METADATA, b"polyglyph.schema": b"other/1"}),
    "a later version": lambda table: table.replace_schema_metadata(
        {**METADATA, b"polyglyph.schema": b"polyglyph.trace/2"}
    ),
    "no JSON": lambda table: table.replace_schema_metadata({**METADATA, b"polyglyph.layers": b"three"}),
    "layers without number": lambda table: table.replace_schema_metadata({**METADATA, b"polyglyph.layers": b'"3"'}),
    "no layers": lambda table: table.replace_schema_metadata({**METADATA, b"polyglyph.layers": b"0"}),
    "other layers": lambda table: table.replace_schema_metadata({**METADATA, b"polyglyph.layers": b"5"}),
    "smaller k": lambda table: table.replace_schema_metadata({**METADATA, b"polyglyph.top_k": b"1"}),
    "a column short": lambda table: table.drop_columns(["experts"]),
    "a row short": lambda table: table.slice(0, table.num_rows - 1),
    "begins in the middle": lambda table: table.slice(3),
    "rows out of order": lambda table: table.take([1, 0, *range(2, table.num_rows)]),
    "a row twice": lambda table: table.take([0, *range(table.num_rows - 1)]),
    "an unknown phase": lambda table: table.set_column(8, "phase", pa.array(["answers"] * table.num_rows)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_is_not_as_it_was_written_is_refused_with_its_name(tmp_path: Path, change: Any):
    with pytest.raises(RequestError, match="changed"):
        list(read_traces(plain(tmp_path / "changed.parquet", change)))


@settings(max_examples=300)
@given(place=st.integers(0, 100_000), is_cut=st.booleans())
def test_a_damaged_file_is_refused_by_name_or_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, place: int, is_cut: bool
):
    trace = make_trace(4, HEADER)
    path = write(tmp_path_factory.mktemp("traces") / "t.parquet", [trace])
    data = bytearray(path.read_bytes())
    if is_cut:
        data = data[: place % len(data)]
    else:
        data[place % len(data)] ^= 0xFF
    path.write_bytes(data)
    refusals, read = outcome(path)
    assert all("t.parquet" in refusal for refusal in refusals)
    assert refusals or differences(trace, read[0]) == []


def outcome(path: Path) -> tuple[list[str], list[SequenceTrace]]:
    try:
        return [], list(read_traces(path))
    except RequestError as error:
        return [str(error)], []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"{}" * 100])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"t\.parquet"):
        list(read_traces(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(RequestError, match=r"t\.parquet"):
        list(read_traces(tmp_path / "t.parquet"))
