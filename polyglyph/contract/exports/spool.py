"""The arrays of all groups on disk, for formats whose beginning says how many groups there are.

Letters: G groups, L MoE layers, E experts.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, BinaryIO

import numpy as np

from polyglyph.contract.sums import COLUMNS, Column, GroupKey, GroupSums, Snapshot


@dataclass(frozen=True, kw_only=True)
class Spool:
    """A snapshot with its arrays in unnamed temporary files, and what is small in memory.

    Attributes:
        selected: int64 [G, L, E], little-endian, C order; from the beginning.
        weight_sum: float64 of the same shape.
        keys: The groups.
        tokens: Tokens computed, by group.
        cached_tokens: Tokens from the prefix cache, by group.
    """

    selected: IO[bytes]
    weight_sum: IO[bytes]
    keys: list[GroupKey] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    cached_tokens: list[int] = field(default_factory=list)

    def labels(self, column: Column) -> list[str]:
        """Give one column of all groups."""
        return [key[COLUMNS.index(column)] for key in self.keys]

    def add(self, group: GroupSums) -> None:
        """Take one group."""
        self.selected.write(np.ascontiguousarray(group.selected_LE, "<i8").data)
        self.weight_sum.write(np.ascontiguousarray(group.weight_sum_LE, "<f8").data)
        self.keys.append(group.key)
        self.tokens.append(group.tokens)
        self.cached_tokens.append(group.cached_tokens)


@contextmanager
def spooled(snapshot: Snapshot) -> Iterator[Spool]:
    """Walk a snapshot once; the files are gone afterwards."""
    with ExitStack() as files:
        spool = Spool(
            selected=files.enter_context(tempfile.TemporaryFile()),
            weight_sum=files.enter_context(tempfile.TemporaryFile()),
        )
        for group in snapshot.groups:
            spool.add(group)
        spool.selected.seek(0)
        spool.weight_sum.seek(0)
        yield spool


def copy(source: IO[bytes], target: IO[bytes] | BinaryIO) -> None:
    """Copy a file's bytes from where it stands."""
    shutil.copyfileobj(source, target, 1 << 20)
