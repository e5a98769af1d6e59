"""Sums copied out of a transaction, so that a reader who is slow keeps no transaction of the store open.

Letters: L MoE layers, E experts.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np

from polyglyph.contract.sums import GroupKey, GroupSums

MEMORY_BYTES = 16 << 20
"""Above this the copy lies in a temporary file."""


class SumsSpool:
    """Groups in the order they came, in bounded memory.

    Args:
        file: An empty file.
        shape: L, E.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, int]) -> None:
        self._file = file
        self._shape = shape
        self._num_groups = 0

    def fill(self, groups: Iterable[GroupSums]) -> None:
        """Take all groups.

        Raises:
            OSError: There is no room for the temporary file.
        """
        for group in groups:
            head = [list(group.key), group.tokens, group.cached_tokens]
            self._file.write(json.dumps(head).encode() + b"\n")
            self._file.write(group.selected_LE.astype("<i8").tobytes())
            self._file.write(group.weight_sum_LE.astype("<f8").tobytes())
            self._num_groups += 1
        self._file.flush()

    def __iter__(self) -> Iterator[GroupSums]:
        self._file.seek(0)
        for _ in range(self._num_groups):
            key, tokens, cached_tokens = json.loads(self._file.readline())
            yield GroupSums(
                key=GroupKey(*key),
                tokens=tokens,
                cached_tokens=cached_tokens,
                selected_LE=self._array("<i8").astype(np.int64),
                weight_sum_LE=self._array("<f8").astype(np.float64),
            )

    def _array(self, dtype: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
        num_layers, num_experts = self._shape
        return np.frombuffer(self._file.read(8 * num_layers * num_experts), dtype=dtype).reshape(self._shape)


@contextmanager
def open_spool(shape: tuple[int, int]) -> Iterator[SumsSpool]:
    """Give a spool that is gone at the end."""
    with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES) as file:
        yield SumsSpool(file, shape)
