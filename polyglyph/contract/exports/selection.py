"""Answers a query from stats in memory."""

from collections.abc import Iterable

from polyglyph.contract.errors import RequestError
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.merging import add_groups
from polyglyph.contract.sums import COLUMNS, SUMMED, Column, GroupKey, GroupSums, StatsQuery


def select(stats: LoadedStats, query: StatsQuery) -> LoadedStats:
    """Give the groups that a query asks for, with the other columns summed away.

    Args:
        stats: What there is.
        query: What is wanted; `since` is left to who knows when tokens were counted.

    Raises:
        RequestError: The query names a column that is summed away already.
    """
    wanted = {column: value for column in COLUMNS if (value := getattr(query, column)) is not None}
    for column in (*wanted, *query.by):
        if column not in stats.header.by:
            raise RequestError(
                f"{column}: summed away in these stats, which keep {', '.join(stats.header.by) or 'nothing'} apart",
                param=column,
            )
    chosen = (group for group in stats.groups if _matches(group.key, wanted))
    header = stats.header.model_copy(update={"by": tuple(column for column in COLUMNS if column in query.by)})
    return LoadedStats(header=header, groups=add_groups(_summed(chosen, header.by)))


def _matches(key: GroupKey, wanted: dict[Column, str]) -> bool:
    return all(getattr(key, column) == value for column, value in wanted.items())


def _summed(groups: Iterable[GroupSums], by: tuple[str, ...]) -> Iterable[GroupSums]:
    gone = {column: SUMMED for column in COLUMNS if column not in by}
    for group in groups:
        yield GroupSums(
            key=group.key._replace(**gone),  # type: ignore[arg-type] # `*` is a value of every column
            tokens=group.tokens,
            cached_tokens=group.cached_tokens,
            selected_LE=group.selected_LE,
            weight_sum_LE=group.weight_sum_LE,
        )
