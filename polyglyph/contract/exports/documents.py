"""Between the JSON documents of stats and sums as arrays."""

from polyglyph.contract.errors import InvalidStatsError
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.npy import decode_npy
from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.stats import Stats, StatsGroup, StatsHeader
from polyglyph.contract.sums import COLUMNS, GroupKey, GroupSums


def group_document(group: GroupSums) -> StatsGroup:
    """Give one group as a document."""
    return StatsGroup(
        **group.key._asdict(),
        group_tokens=group.tokens,
        cached_tokens=group.cached_tokens,
        selected=ArrayDocument.from_numpy(group.selected_LE.astype("int64", copy=False)),
        weight_sum=ArrayDocument.from_numpy(group.weight_sum_LE.astype("float64", copy=False)),
    )


def stats_document(stats: LoadedStats) -> Stats:
    """Give stats as a document."""
    groups = tuple(map(group_document, stats.snapshot().groups))
    return Stats(**stats.header.model_dump(by_alias=True), overflow_tokens=stats.tally.overflow_tokens, groups=groups)


def load_document(stats: Stats) -> LoadedStats:
    """Give a document's sums as arrays.

    Raises:
        InvalidStatsError: An array is not of the header's shape, or no array.
    """
    header = header_part(stats)
    return LoadedStats(header=header, groups=tuple(_sums_of(group, header) for group in stats.groups))


def header_part(stats: Stats) -> StatsHeader:
    """Give the header that a document begins with."""
    return StatsHeader.model_validate(stats.model_dump(by_alias=True, include=set(StatsHeader.model_fields)))


def _sums_of(group: StatsGroup, header: StatsHeader) -> GroupSums:
    shape = (header.layers, header.experts)
    for array, dtype in ((group.selected, "int64"), (group.weight_sum, "float64")):
        if (array.dtype, array.shape) != (dtype, shape):
            raise InvalidStatsError(f"expected arrays of {dtype} {shape}, got {array.dtype:.20} {array.shape!r:.60}")
    return GroupSums(
        key=GroupKey(*(getattr(group, column) for column in COLUMNS)),
        tokens=group.group_tokens,
        cached_tokens=group.cached_tokens,
        selected_LE=decode_npy(group.selected.data, dtype="int64", shape=shape),
        weight_sum_LE=decode_npy(group.weight_sum.data, dtype="float64", shape=shape),
    )
