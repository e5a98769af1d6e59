"""Adds up stats: a sum by group."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

import numpy as np

from polyglyph.contract.errors import StatsMismatchError
from polyglyph.contract.exports.checks import describe, parse_time
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import GroupKey, GroupSums

MUST_AGREE = ("schema_", "model_fingerprint", "layers", "experts", "top_k", "by")
WORDS = MappingProxyType({"schema_": "schemas", "model_fingerprint": "models", "by": "columns"})
LARGEST = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class NamedStats:
    """Stats and what to call them in errors."""

    name: str
    stats: LoadedStats


def merge(parts: Sequence[NamedStats]) -> LoadedStats:
    """Add up stats of one model.

    Args:
        parts: At least one; their order does not matter but for the last bits of weight sums.

    Returns:
        Groups ordered by key. `since` is the earliest and `until` the latest; versions that differ are all named.

    Raises:
        StatsMismatchError: Two are of different models, shapes or columns (the text names both values), one is
            there twice, or a sum does not fit into int64.
    """
    seen: dict[str, str] = {}
    for part in parts:
        check_agreement(parts[0], part)
        if part.stats.groups and part.stats.digest in seen:
            twin = seen[part.stats.digest]
            raise StatsMismatchError(f"{part.name}: holds the same stats as {twin}, which would count twice")
        seen[part.stats.digest] = part.name
    groups = add_groups(group for part in parts for group in part.stats.groups)
    return LoadedStats(header=_header_of([part.stats.header for part in parts]), groups=groups)


def check_agreement(first: NamedStats, other: NamedStats) -> None:
    """Refuse sums that do not add up.

    Raises:
        StatsMismatchError: The text names the field and both values.
    """
    for field in MUST_AGREE:
        values = [getattr(named.stats.header, field) for named in (first, other)]
        if values[0] != values[1]:
            raise StatsMismatchError(
                f"{other.name}: sums of different {WORDS.get(field, field)} do not add up: "
                f"{values[1]} here, {values[0]} in {first.name}"
            )


def add_groups(groups: Iterable[GroupSums]) -> tuple[GroupSums, ...]:
    """Add groups of the same key, and order them by key.

    Raises:
        StatsMismatchError: A sum does not fit into int64.
    """
    sums: dict[GroupKey, GroupSums] = {}
    for group in groups:
        known = sums.get(group.key)
        sums[group.key] = group if known is None else _add(known, group)
    return tuple(sums[key] for key in sorted(sums))


def _add(one: GroupSums, other: GroupSums) -> GroupSums:
    is_too_large = (one.selected_LE > LARGEST - other.selected_LE).any()
    if is_too_large or max(one.tokens + other.tokens, one.cached_tokens + other.cached_tokens) > LARGEST:
        raise StatsMismatchError(f"{describe(one.key)}: the sums exceed {LARGEST}, which is as far as stats count")
    return one + other


def _header_of(headers: Sequence[StatsHeader]) -> StatsHeader:
    since = min((header.since for header in headers), key=_time)
    until = max((header.until for header in headers), key=_time)
    versions: dict[str, set[str]] = {}
    for header in headers:
        for name, version in header.versions.items():
            versions.setdefault(name, set()).update(version.split(", "))
    joined = {name: ", ".join(sorted(found)) for name, found in sorted(versions.items())}
    return headers[0].model_copy(update={"since": since, "until": until, "versions": joined})


def _time(text: str) -> datetime:
    return parse_time(text, field="header")
