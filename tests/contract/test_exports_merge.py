"""Stats add up: in any order, of one model only, and nothing twice."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.contract.errors import RequestError, StatsMismatchError
from polyglyph.contract.exports.conservation import conservation_of
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.merging import NamedStats, merge
from polyglyph.contract.exports.selection import select
from polyglyph.contract.sums import COLUMNS, SUMMED, StatsQuery
from tests.support.sums import PLAN, make_group, make_header, make_stats, some_stats, stats

HEADER = make_header(layers=3, experts=5)
PARTS = stats(header=st.just(HEADER), max_tokens=2**50)
brief = settings(max_examples=40)


def named(*parts: LoadedStats) -> list[NamedStats]:
    """Name parts, and make each differ from the others in when it begins."""
    return [
        NamedStats(f"part-{index}", LoadedStats(header=later(part, index), groups=part.groups))
        for index, part in enumerate(parts)
    ]


def later(part: LoadedStats, seconds: int):
    return part.header.model_copy(update={"since": f"2025-01-01T00:00:{seconds:02}+00:00"})


def again(merged: LoadedStats, name: str) -> NamedStats:
    return NamedStats(name, merged)


def check_equal(one: LoadedStats, other: LoadedStats) -> None:
    """Counts are equal; sums of weights up to the last bits, which depend on the order."""
    assert one.header == other.header
    assert [group.key for group in one.groups] == [group.key for group in other.groups]
    for left, right in zip(one.groups, other.groups, strict=True):
        assert (left.tokens, left.cached_tokens) == (right.tokens, right.cached_tokens)
        assert np.array_equal(left.selected_LE, right.selected_LE)
        np.testing.assert_allclose(left.weight_sum_LE, right.weight_sum_LE, rtol=1e-12)


@brief
@given(one=PARTS, other=PARTS)
def test_merging_does_not_depend_on_the_order(one: LoadedStats, other: LoadedStats):
    parts = named(one, other)
    check_equal(merge(parts), merge(parts[::-1]))


@brief
@given(one=PARTS, other=PARTS, third=PARTS)
def test_merging_in_steps_gives_what_merging_at_once_gives(one: LoadedStats, other: LoadedStats, third: LoadedStats):
    parts = named(one, other, third)
    at_once = merge(parts)
    check_equal(merge([again(merge(parts[:2]), "first two"), parts[2]]), at_once)
    check_equal(merge([parts[0], again(merge(parts[1:]), "last two")]), at_once)


@brief
@given(one=PARTS, other=PARTS)
def test_a_merge_conserves_tokens_and_selections(one: LoadedStats, other: LoadedStats):
    merged = merge(named(one, other))
    sums = conservation_of(merged.header, merged.groups)
    assert sums.holds
    assert sums.tokens == one.tally.tokens + other.tally.tokens
    assert all(left.key < right.key for left, right in pairwise(merged.groups))


@brief
@given(part=PARTS)
def test_merging_one_part_changes_nothing(part: LoadedStats):
    assert merge([NamedStats("it", part)]).digest == part.digest


def test_a_merge_lasts_from_the_earliest_to_the_latest():
    early = make_stats(since="2026-01-01T00:00:00+02:00", until="2026-01-02T00:00:00+00:00")
    late = make_stats(since="2025-12-31T23:00:00+00:00", until="2026-01-01T23:30:00-03:00")
    header = merge([NamedStats("a", early), NamedStats("b", late)]).header
    assert header.since == "2026-01-01T00:00:00+02:00"
    assert header.until == "2026-01-01T23:30:00-03:00"


def test_versions_that_differ_are_all_named():
    parts = [make_stats(versions={"vllm": version}) for version in ("0.32.0", "0.33.0")]
    assert merge(named(*parts)).header.versions == {"vllm": "0.32.0, 0.33.0"}


@pytest.mark.parametrize(
    ("change", "word", "values"),
    [
        ({"model_fingerprint": "sha256:" + "c" * 64}, "models", ("aaaa", "cccc")),
        ({"layers": 5}, "layers", ("5", "4")),
        ({"experts": 9}, "experts", ("9", "8")),
        ({"top_k": 3}, "top_k", ("3", "2")),
        ({"by": ("script",)}, "columns", ("('script',)", "'tag'")),
    ],
)
def test_sums_that_do_not_add_up_are_refused_with_both_values(change: dict, word: str, values: tuple[str, str]):
    with pytest.raises(StatsMismatchError) as caught:
        merge([NamedStats("first.npz", make_stats()), NamedStats("second.csv", make_stats(**change))])
    text = str(caught.value)
    assert text.startswith("second.csv")
    assert "first.npz" in text
    assert word in text
    assert all(value in text for value in values)


def test_the_same_stats_twice_are_refused_whatever_they_are_called():
    with pytest.raises(StatsMismatchError, match=r"copy.npz: holds the same stats as sums.parquet"):
        merge([NamedStats("sums.parquet", some_stats()), NamedStats("copy.npz", some_stats())])


def test_stats_that_were_read_again_and_did_not_grow_are_the_same_stats():
    later_read = some_stats(until="2026-01-05T00:00:00+00:00", versions={"polyglyph": "0.2.0"})
    with pytest.raises(StatsMismatchError, match="count twice"):
        merge([NamedStats("a", some_stats()), NamedStats("b", later_read)])


def test_stats_without_groups_add_nothing_however_often():
    assert not merge([NamedStats("a", make_stats()), NamedStats("b", make_stats())]).groups


def test_counts_that_leave_int64_are_refused_rather_than_wrapped():
    header = make_header(layers=1, experts=1, top_k=1)
    groups = [make_group(header, tokens=2**62), make_group(header, tokens=2**62 + 1)]
    parts = [LoadedStats(header=header, groups=(group,)) for group in groups]
    with pytest.raises(StatsMismatchError, match="exceed"):
        merge(named(*parts))


@brief
@given(part=PARTS, by=st.sets(st.sampled_from(COLUMNS)))
def test_summing_columns_away_keeps_every_token(part: LoadedStats, by: set):
    found = select(part, StatsQuery(by=tuple(by)))
    assert found.header.by == tuple(column for column in COLUMNS if column in by)
    assert conservation_of(found.header, found.groups) == conservation_of(part.header, part.groups)
    assert found.tally.cached_tokens == part.tally.cached_tokens
    for group in found.groups:
        assert all((getattr(group.key, column) == SUMMED) == (column not in by) for column in COLUMNS)


def test_a_filter_keeps_the_groups_that_match():
    assert [group.tokens for group in select(some_stats(), StatsQuery(plan=PLAN)).groups] == [3]
    assert [group.tokens for group in select(some_stats(), StatsQuery(plan="", phase="prompt")).groups] == [7, 11]
    assert not select(some_stats(), StatsQuery(script="Grek")).groups


def test_a_column_that_was_summed_away_cannot_be_asked_for_again():
    coarse = select(some_stats(), StatsQuery(by=("script",)))
    for query in (StatsQuery(by=("tag",)), StatsQuery(by=("script",), tag="a")):
        with pytest.raises(RequestError, match="tag: summed away") as caught:
            select(coarse, query)
        assert caught.value.param == "tag"
