"""What is no whole stats file is refused in one line that names it; nothing ends in a traceback or a NaN."""

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.exports.formats import FORMATS, SUFFIXES
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.manifest import manifest_path
from polyglyph.contract.exports.reading import read_stats
from polyglyph.contract.exports.writing import save_stats
from polyglyph.contract.sums import GroupSums
from tests.support.sums import make_group, make_header, make_stats, some_stats

READABLE = [name for name in FORMATS if name != "eplb"]
WITH_HEADER = [name for name in READABLE if name != "csv"]
often = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def save(source: LoadedStats, folder: Path, name: str, *, with_manifest: bool = True) -> Path:
    path = folder / f"sums{SUFFIXES[name]}"
    save_stats(source.snapshot(), path, format=name)
    if not with_manifest:
        manifest_path(path).unlink()
    return path


def refusal(path: Path, **options: int) -> str:
    with pytest.raises(InvalidStatsError) as caught:
        read_stats(path, **options)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text.strip()
    return text


@pytest.mark.parametrize("name", WITH_HEADER)
@often
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_at_any_byte_is_refused(name: str, share: float, tmp_path: Path):
    path = save(some_stats(), tmp_path, name, with_manifest=False)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refusal(path)


@pytest.mark.parametrize("name", WITH_HEADER)
def test_a_file_without_its_last_byte_is_refused(name: str, tmp_path: Path):
    path = save(some_stats(), tmp_path, name, with_manifest=False)
    path.write_bytes(path.read_bytes()[:-1])
    refusal(path)


@pytest.mark.parametrize("name", READABLE)
@often
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing_that_is_checked(
    name: str, place: float, flip: int, tmp_path: Path
):
    path = save(some_stats(), tmp_path, name, with_manifest=name == "csv")
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(bytes(content))
    with suppress(InvalidStatsError):
        found = read_stats(path)
        assert found.header.layers == 4
        assert all(np.isfinite(group.weight_sum_LE).all() for group in found.groups)


@pytest.mark.parametrize("name", READABLE)
@often
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_with_its_manifest_any_changed_byte_is_refused(name: str, place: float, flip: int, tmp_path: Path):
    path = save(some_stats(), tmp_path, name)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(bytes(content))
    assert "SHA-256" in refusal(path)


@pytest.mark.parametrize("name", READABLE)
def test_with_its_manifest_a_cut_file_is_refused_with_both_sizes(name: str, tmp_path: Path):
    path = save(some_stats(), tmp_path, name)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    text = refusal(path)
    assert str(len(content)) in text
    assert str(len(content) - 1) in text


@often
@given(
    content=st.binary(max_size=200) | st.sampled_from([b"PAR1", b"ARROW1\0\0", b"PK\x03\x04", b"{", b"[]", b"8" * 9])
)
def test_any_other_bytes_are_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "sums.parquet"
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize(
    "beginning", [b"PAR1", b"ARROW1\0\0", b"PK\x03\x04", b"{", b'\x20\0\0\0\0\0\0\0{"', b'"request_script","']
)
@often
@given(rest=st.binary(max_size=300))
def test_a_beginning_alone_makes_no_file(beginning: bytes, rest: bytes, tmp_path: Path):
    path = tmp_path / "sums"
    path.write_bytes(beginning + rest)
    refusal(path)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path):
    assert "No such file" in refusal(tmp_path / "nothing.parquet")
    assert "directory" in refusal(tmp_path)


def broken_group(**changes: object) -> LoadedStats:
    group = make_group(make_header())
    fields = {name: getattr(group, name) for name in GroupSums.__dataclass_fields__}
    return make_stats(GroupSums(**fields | changes))


def moved(count: int) -> np.ndarray:
    selected_LE = make_group(make_header()).selected_LE.copy()
    selected_LE[0, 0] += count
    return selected_LE


def negative() -> np.ndarray:
    selected_LE = moved(0)
    selected_LE[1, 1] -= 1000
    selected_LE[1, 2] += 1000
    return selected_LE


DAMAGES: list[tuple[Callable[[], LoadedStats], str]] = [
    (lambda: broken_group(selected_LE=moved(1)), "41 selections, but 5 tokens x 4 layers x top-2 are 40"),
    (lambda: broken_group(tokens=6), "6 tokens x 4 layers x top-2 are 48"),
    (lambda: broken_group(selected_LE=negative()), "negative"),
    (lambda: broken_group(weight_sum_LE=np.full((4, 8), np.nan)), "finite"),
    (lambda: broken_group(weight_sum_LE=np.full((4, 8), np.inf)), "finite"),
    (lambda: make_stats(*[make_group(make_header())] * 2), "is there twice"),
    (lambda: make_stats(make_group(make_header(), script="latin")), "script"),
    (lambda: make_stats(make_group(make_header(), plan="to-latn")), "plan"),
    (lambda: make_stats(make_group(make_header(), tag="a b")), "tag"),
    (lambda: make_stats(make_group(make_header(), tag="*")), "columns kept apart"),
    (lambda: make_stats(make_group(make_header()), by=("script",)), "columns kept apart"),
    (lambda: make_stats(by=("tag", "script")), "header.by"),
    (lambda: make_stats(by=("colour",)), "header.by"),
    (lambda: make_stats(since="yesterday"), "header.since"),
    (lambda: make_stats(until="2026-01-01T00:00:00"), "with its zone"),
    (lambda: make_stats(model_fingerprint="qwen"), "header.model_fingerprint"),
]


@pytest.mark.parametrize("name", WITH_HEADER)
@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_what_no_server_can_have_counted_is_refused(
    name: str, damage: Callable[[], LoadedStats], words: str, tmp_path: Path
):
    path = tmp_path / "sums"
    save_stats(damage().snapshot(), path, format=name)
    assert words in refusal(path)


@pytest.mark.parametrize("name", READABLE)
def test_more_sums_than_are_to_be_read_are_refused_with_both_numbers(name: str, tmp_path: Path):
    path = save(some_stats(), tmp_path, name)
    text = refusal(path, max_cells=10)
    assert "at most 10 sums" in text
    assert name == "json" or "96" in text


def test_a_header_that_claims_a_huge_shape_takes_no_memory(tmp_path: Path):
    source = save(some_stats(), tmp_path, "npz", with_manifest=False)
    path = tmp_path / "huge.npz"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "header.json":
                content = json.dumps(json.loads(content) | {"layers": 10**9, "experts": 10**9}).encode()
            new.writestr(name, content)
    assert "sums" in refusal(path)


def test_a_safetensors_file_of_a_model_is_no_stats(tmp_path: Path):
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros((2, 2), np.float32)}, path)
    assert "polyglyph.schema" in refusal(path)


def test_a_parquet_file_of_something_else_is_no_stats(tmp_path: Path):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    assert "polyglyph.schema" in refusal(path)


def test_a_parquet_file_with_another_schema_is_refused_with_both(tmp_path: Path):
    path = save(some_stats(), tmp_path, "parquet", with_manifest=False)
    pq.write_table(pq.read_table(path).drop_columns(["tag"]), path)
    assert "expected the columns request_script string" in refusal(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.slice(1),
        lambda table: table.slice(0, 40),
        lambda table: table.take(list(range(table.num_rows))[::-1]),
        lambda table: table.set_column(0, "request_script", pa.array(["Cyrl", "Latn"] * (table.num_rows // 2))),
        lambda table: table.set_column(0, "request_script", pa.array([None] * table.num_rows, pa.string())),
    ],
)
def test_rows_that_are_not_whole_groups_in_order_are_refused(change: Callable[[pa.Table], pa.Table], tmp_path: Path):
    path = save(some_stats(), tmp_path, "parquet", with_manifest=False)
    pq.write_table(change(pq.read_table(path)), path)
    refusal(path)


@pytest.mark.parametrize("version", ["polyglyph.stats/2", "other", ""])
def test_another_schema_version_is_refused(version: str, tmp_path: Path):
    path = save(some_stats(), tmp_path, "json", with_manifest=False)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": version}))
    assert "expected the schema polyglyph.stats/1" in refusal(path)


def test_unknown_fields_are_refused(tmp_path: Path):
    path = save(some_stats(), tmp_path, "json", with_manifest=False)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "red"}))
    assert "stats.colour" in refusal(path)


def test_csv_without_its_manifest_is_refused_by_the_manifests_name(tmp_path: Path):
    path = save(some_stats(), tmp_path, "csv", with_manifest=False)
    assert "sums.csv.manifest.json" in refusal(path)


def test_a_broken_manifest_is_refused(tmp_path: Path):
    path = save(some_stats(), tmp_path, "csv")
    manifest_path(path).write_text("{")
    with pytest.raises(InvalidStatsError, match="manifest"):
        read_stats(path)


def test_an_eplb_matrix_cannot_be_read_back(tmp_path: Path):
    assert "groups are summed away" in refusal(save(some_stats(), tmp_path, "eplb"))


def test_a_manifest_is_no_stats_file(tmp_path: Path):
    path = save(some_stats(), tmp_path, "json")
    assert "a manifest" in refusal(manifest_path(path))


def test_a_pickle_in_an_npz_is_never_loaded(tmp_path: Path):
    source = save(some_stats(), tmp_path, "npz", with_manifest=False)
    path = tmp_path / "evil.npz"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if name == "tag.npy":
                with new.open(name, "w") as member:
                    np.save(member, np.array(["", "exp-a", "overflow"], object))
            else:
                new.writestr(name, old.read(name))
    assert "expected an array of U" in refusal(path)


def test_json_nested_too_deeply_is_refused(tmp_path: Path):
    path = tmp_path / "deep.json"
    path.write_text('{"a":' * 200_000)
    refusal(path)
