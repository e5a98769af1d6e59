"""What is written in a format is read back as it was, by us and by the tools that people use."""

import io
import json
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyglyph.contract.errors import RequestError
from polyglyph.contract.exports.conservation import conservation_of, exact_sum
from polyglyph.contract.exports.documents import load_document, stats_document
from polyglyph.contract.exports.formats import FORMATS, SUFFIXES, format_of
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.manifest import load_manifest, manifest_path
from polyglyph.contract.exports.reading import read_stats
from polyglyph.contract.exports.writing import save_stats, write_stats
from polyglyph.contract.stats import Stats
from polyglyph.contract.sums import COLUMNS, Snapshot
from tests.support.sums import make_group, make_header, make_stats, some_stats, stats

READABLE = [name for name in FORMATS if name != "eplb"]
TABLES = ["parquet", "arrow", "csv"]
quickly = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def save(source: LoadedStats, folder: Path, name: str) -> Path:
    path = folder / f"sums{SUFFIXES[name]}"
    save_stats(source.snapshot(), path, format=name)
    return path


def same(one: LoadedStats, other: LoadedStats) -> bool:
    return one.digest == other.digest and one.header == other.header


@pytest.mark.parametrize("name", READABLE)
@quickly
@given(source=stats())
def test_stats_are_read_back_bit_for_bit(name: str, source: LoadedStats, tmp_path: Path):
    assert same(read_stats(save(source, tmp_path, name)), source)


@pytest.mark.parametrize("name", READABLE)
def test_no_groups_are_read_back_as_none(name: str, tmp_path: Path):
    assert same(read_stats(save(make_stats(), tmp_path, name)), make_stats())


@pytest.mark.parametrize("name", READABLE)
def test_columns_that_were_summed_away_are_read_back_as_such(name: str, tmp_path: Path):
    header = make_header(by=("script",))
    group = make_group(header, request_script="*", phase="*", plan="*", tag="*")
    assert same(read_stats(save(make_stats(group, by=("script",)), tmp_path, name)), make_stats(group, by=("script",)))


def frame_sums(frame: pl.DataFrame) -> dict[tuple[str, ...], tuple[int, float, int, int]]:
    summed = frame.group_by(*COLUMNS).agg(
        pl.col("selected").sum(),
        pl.col("weight_sum").sum(),
        pl.col("group_tokens").first(),
        pl.col("cached_tokens").first(),
    )
    return {tuple(row[:5]): row[5:] for row in summed.iter_rows()}


def expected_sums(source: LoadedStats) -> dict[tuple[str, ...], tuple[int, float, int, int]]:
    return {
        tuple(group.key): (
            exact_sum(group.selected_LE),
            pytest.approx(group.weight_sum_LE.sum()),
            group.tokens,
            group.cached_tokens,
        )
        for group in source.groups
    }


@quickly
@given(source=stats(max_tokens=2**50))
def test_polars_reads_parquet_arrow_and_csv_with_equal_sums(source: LoadedStats, tmp_path: Path):
    counts = ("selected", "group_tokens", "cached_tokens")
    schema = {
        **dict.fromkeys(COLUMNS, pl.String),
        "weight_sum": pl.Float64,
        **dict.fromkeys(counts, pl.Int64),
    }
    frames = [
        pl.read_parquet(save(source, tmp_path, "parquet")),
        pl.read_ipc(save(source, tmp_path, "arrow")),
        pl.read_csv(save(source, tmp_path, "csv"), schema_overrides=schema),
    ]
    for frame in (frame.with_columns(pl.col(pl.String).fill_null("")) for frame in frames):
        assert frame.columns == [*COLUMNS, "layer", "expert", "selected", "weight_sum", "group_tokens", "cached_tokens"]
        assert frame_sums(frame) == expected_sums(source)


@quickly
@given(source=stats(max_tokens=2**50))
def test_duckdb_reads_parquet_and_csv_with_equal_sums(source: LoadedStats, tmp_path: Path):
    types = {**dict.fromkeys(COLUMNS, "VARCHAR"), "selected": "BIGINT", "weight_sum": "DOUBLE"}
    tables = (
        f"read_parquet('{save(source, tmp_path, 'parquet')}')",
        f"read_csv('{save(source, tmp_path, 'csv')}', header=true, types={types})",
    )
    for table in tables:
        query = f"SELECT count(*), sum(selected)::VARCHAR, sum(weight_sum) FROM {table}"  # noqa: S608 - our own path
        ((rows, selected, weight),) = duckdb.sql(query).fetchall()
        header = source.header
        assert rows == len(source.groups) * header.layers * header.experts
        assert int(selected or 0) == conservation_of(header, source.groups).selections
        assert (weight or 0) == pytest.approx(sum(group.weight_sum_LE.sum() for group in source.groups))


def test_the_parquet_file_has_the_columns_types_and_keys_of_the_design(tmp_path: Path):
    file = pq.ParquetFile(save(some_stats(), tmp_path, "parquet"))
    types = {field.name: str(field.type) for field in file.schema_arrow}
    assert types == {
        **dict.fromkeys(COLUMNS, "string"),
        "layer": "int32",
        "expert": "int32",
        "selected": "int64",
        "weight_sum": "double",
        "group_tokens": "int64",
        "cached_tokens": "int64",
    }
    names = {name.decode() for name in file.schema_arrow.metadata}
    wanted = ("schema", "model_fingerprint", "layers", "experts", "top_k", "versions", "since", "until", "by")
    assert names == {f"polyglyph.{name}" for name in wanted}
    assert file.schema_arrow.metadata[b"polyglyph.schema"] == b"polyglyph.stats/1"
    column = file.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert "RLE_DICTIONARY" in column.encodings


def test_every_layer_and_expert_has_a_row_zeros_included(tmp_path: Path):
    source = make_stats(make_group(make_header(), tokens=0))
    table = pq.read_table(save(source, tmp_path, "parquet"))
    assert table.num_rows == 32
    assert pa.compute.sum(table["selected"]).as_py() == 0


def test_large_exports_have_few_row_groups_of_whole_groups(tmp_path: Path):
    header = make_header(layers=16, experts=64)
    groups = tuple(make_group(header, tag=f"t{number}") for number in range(130))
    path = save(LoadedStats(header=header, groups=groups), tmp_path, "parquet")
    metadata = pq.ParquetFile(path).metadata
    sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert sizes == [64 * 1024, 64 * 1024, 2 * 1024]
    assert same(read_stats(path), LoadedStats(header=header, groups=groups))


def test_numpy_reads_npz_without_pickle(tmp_path: Path):
    source = some_stats()
    with np.load(save(source, tmp_path, "npz"), allow_pickle=False) as file:
        assert file["selected"].dtype == np.int64
        assert np.array_equal(file["selected"], np.stack([group.selected_LE for group in source.groups]))
        assert np.array_equal(file["weight_sum"], np.stack([group.weight_sum_LE for group in source.groups]))
        assert file["script"].tolist() == [group.key.script for group in source.groups]
        assert file["group_tokens"].tolist() == [group.tokens for group in source.groups]
        assert json.loads(file["header.json"])["model_fingerprint"] == source.header.model_fingerprint


def test_safetensors_own_reader_reads_arrays_and_metadata(tmp_path: Path):
    source = some_stats()
    path = save(source, tmp_path, "safetensors")
    arrays = safetensors.numpy.load_file(path)
    assert np.array_equal(arrays["selected"], np.stack([group.selected_LE for group in source.groups]))
    assert arrays["cached_tokens"].tolist() == [group.cached_tokens for group in source.groups]
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata()["polyglyph.schema"] == "polyglyph.stats/1"
        assert json.loads(file.metadata()["polyglyph.groups.tag"]) == [group.key.tag for group in source.groups]


def test_json_is_the_contracts_document(tmp_path: Path):
    source = some_stats()
    document = Stats.model_validate_json(save(source, tmp_path, "json").read_text())
    assert document == stats_document(source)
    assert document.overflow_tokens == 11
    assert same(load_document(document), source)


def test_an_eplb_matrix_has_all_groups_together(tmp_path: Path):
    source = some_stats()
    document = json.loads(save(source, tmp_path, "eplb").read_text())
    assert document["logical_count"] == sum(group.selected_LE for group in source.groups).tolist()
    assert document["model_fingerprint"] == source.header.model_fingerprint
    assert document["schema"] == "polyglyph.eplb/1"
    # With this key SGLang would take the file for a finished placement.
    assert "physical_to_logical_map" not in document


def test_an_eplb_matrix_of_a_server_has_a_row_for_dense_layers_too():
    source, file = some_stats(), io.BytesIO()
    write_stats(source.snapshot(), file, format="eplb", model_layers=(1, 2, 4, 5))
    rows = json.loads(file.getvalue())["logical_count"]
    assert [sum(row) > 0 for row in rows] == [False, True, True, False, True, True]
    assert len({len(row) for row in rows}) == 1


def test_the_manifest_says_what_is_in_the_file(tmp_path: Path):
    for name in FORMATS:
        path = save(some_stats(), tmp_path, name)
        manifest = load_manifest(manifest_path(path))
        assert (manifest.format, manifest.groups, manifest.rows) == (name, 3, 96)
        assert (manifest.tokens, manifest.cached_tokens, manifest.overflow_tokens) == (21, 3, 11)
        assert manifest.bytes == path.stat().st_size
        assert manifest.header == some_stats().header


def test_overflow_is_unknown_where_its_columns_are_summed_away(tmp_path: Path):
    source = make_stats(by=("script",))
    assert save_stats(source.snapshot(), tmp_path / "sums.json", format="json").overflow_tokens is None


@pytest.mark.parametrize("name", FORMATS)
def test_equal_stats_give_equal_bytes(name: str):
    files = [io.BytesIO(), io.BytesIO()]
    manifests = [write_stats(some_stats().snapshot(), file, format=name) for file in files]
    assert manifests[0] == manifests[1]
    assert files[0].getvalue() == files[1].getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_groups_are_walked_once_and_never_held_together(name: str):
    alive: list[int] = []
    header = make_header(layers=64, experts=256)

    def groups():
        for number in range(24):
            alive.append(number)
            yield make_group(header, tag=f"{number:03}", tokens=1)

    manifest = write_stats(Snapshot(header=header, groups=groups()), io.BytesIO(), format=name)
    assert (manifest.groups, alive) == (24, list(range(24)))


def test_a_write_that_fails_leaves_what_stood_there(tmp_path: Path):
    path = save(some_stats(), tmp_path, "json")
    before = path.read_bytes()

    def broken():
        yield some_stats().groups[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_stats(Snapshot(header=make_header(), groups=broken()), path, format="json")
    assert path.read_bytes() == before
    assert same(read_stats(path), some_stats())
    assert {file.name for file in tmp_path.iterdir()} == {path.name, manifest_path(path).name}


@pytest.mark.parametrize("name", FORMATS)
def test_a_files_suffix_says_its_format(name: str):
    assert format_of(Path("a") / f"sums{SUFFIXES[name]}") == name
    assert format_of(Path(f"SUMS{SUFFIXES[name].upper()}")) == name


def test_a_suffix_of_no_format_is_refused():
    with pytest.raises(RequestError, match=r"sums.xlsx: the name says no format"):
        format_of(Path("sums.xlsx"))


@given(counts=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=20))
def test_counts_are_added_exactly_however_large(counts: list[int]):
    assert exact_sum(np.array(counts, np.int64)) == sum(counts)
