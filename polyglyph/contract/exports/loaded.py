"""Stats in memory, as read from a file or from a server's answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from polyglyph.contract.base import digest
from polyglyph.contract.exports.tally import Tally
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import GroupSums, Snapshot


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedStats:
    """A snapshot that can be walked again and again.

    Attributes:
        header: What the sums are of.
        groups: The groups, each key once.
    """

    header: StatsHeader
    groups: tuple[GroupSums, ...]

    @property
    def tally(self) -> Tally:
        """Give groups and tokens, counted."""
        tally = Tally(header=self.header)
        for _ in tally.watch(self.groups):
            pass
        return tally

    @cached_property
    def digest(self) -> str:
        """`sha256:<hex>` of what was counted, of which model and since when.

        The same in any format, in any order of groups, and whenever it was read: two exports of a server that counted
        nothing in between are one.
        """
        groups = sorted(_digest_of(group) for group in self.groups)
        header = self.header.model_dump(mode="json", by_alias=True, exclude={"until", "versions"})
        return digest({"header": header, "groups": groups})

    def snapshot(self) -> Snapshot:
        """Give the stats as a writer takes them."""
        return Snapshot(header=self.header, groups=self._ordered())

    def _ordered(self) -> Iterator[GroupSums]:
        return iter(sorted(self.groups, key=lambda group: group.key))


def _digest_of(group: GroupSums) -> str:
    content = sha256(repr((tuple(group.key), group.tokens, group.cached_tokens)).encode())
    content.update(group.selected_LE.astype("<i8", order="C").tobytes())
    content.update(group.weight_sum_LE.astype("<f8", order="C").tobytes())
    return content.hexdigest()
