"""What happened token by token in the requests that are traced: collected on the worker's host as the steps run.

Letters: n tokens of a request or a step, T tokens of a step, L MoE layers, E experts, K selected experts.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyglyph.contract.steering import TraceOptions
from polyglyph.routing.host_copy import HostCopier, HostCopy

DEFAULT_MAX_BYTES = 1 << 30
"""Traces held at a time, running requests' included; a request that would exceed it loses its trace, and is told."""
_FIRST_CAPACITY = 256
_EMBEDDING = -1


def id_dtype(num_experts: int) -> np.dtype[Any]:
    """Give the narrowest dtype whose largest value is no expert: that value fills what was not computed."""
    return np.dtype(np.uint8 if num_experts <= 255 else np.uint16)


@dataclass(frozen=True)
class TraceShape:
    """Sizes of the model: L, E and K."""

    num_layers: int
    num_experts: int
    top_k: int


class TokenTrace:
    """The tokens of one engine request, by position; rows that were never written were not computed.

    Args:
        shape: Sizes of the model.
        options: What is kept beside ids and weights.

    Attributes:
        num_tokens: Rows so far.
        num_bytes: Memory held.
        is_dropped: It was given up because all traces together held too much.
    """

    def __init__(self, shape: TraceShape, options: TraceOptions) -> None:
        self.options = options
        self.num_tokens = 0
        self.is_dropped = False
        self._none = np.iinfo(id_dtype(shape.num_experts)).max
        self._columns: dict[str, tuple[Any, tuple[int, ...], Any]] = {
            "token_ids": (np.int32, (), _EMBEDDING),
            "phases": (np.uint8, (), 0),
            "steered": (np.bool_, (), False),
            "computed": (np.bool_, (), False),
            "ids": (id_dtype(shape.num_experts), (shape.num_layers, shape.top_k), self._none),
            "weights": (np.float16, (shape.num_layers, shape.top_k), 0),
        }
        if options.runner_up:
            self._columns["runner_up"] = self._columns["ids"]
        if options.probabilities:
            self._columns["probabilities"] = (np.float16, (shape.num_layers, shape.num_experts), 0)
        self._arrays: dict[str, np.ndarray] = {}
        self._capacity = 0
        self.num_bytes = 0

    def set_cached(self, token_ids: Sequence[int] | None, num_cached: int) -> None:
        """Take note of the prompt tokens that the prefix cache served; None for a prompt of embeddings."""
        self._reserve(num_cached)
        if token_ids is not None:
            self._arrays["token_ids"][:num_cached] = token_ids[:num_cached]
        self.num_tokens = max(self.num_tokens, num_cached)

    def write(self, start: int, rows: dict[str, np.ndarray]) -> None:
        """Write computed tokens.

        Args:
            start: Position of the first; the others follow it.
            rows: By column, [n, ...].
        """
        if self.is_dropped:
            return
        stop = start + len(rows["token_ids"])
        self._reserve(stop)
        for name, array in self._arrays.items():
            if name in rows:
                array[start:stop] = rows[name]
        self._arrays["computed"][start:stop] = True
        self.num_tokens = max(self.num_tokens, stop)

    def drop(self) -> None:
        """Give the memory back; the trace is lost."""
        self.is_dropped = True
        self._arrays, self._capacity, self.num_tokens, self.num_bytes = {}, 0, 0, 0

    def to_wire(self) -> dict[str, Any]:
        """Give plain values: by column bytes in C order; shapes follow from the model."""
        if self.is_dropped:
            return {"is_dropped": True}
        self._reserve(0)
        columns = {name: array[: self.num_tokens].tobytes() for name, array in self._arrays.items()}
        return {"is_dropped": False, "num_tokens": self.num_tokens, "columns": columns}

    def _reserve(self, num_tokens: int) -> None:
        if self.is_dropped or (self._arrays and num_tokens <= self._capacity):
            return
        self._capacity = max(_FIRST_CAPACITY, 2 * self._capacity, num_tokens)
        for name, (dtype, shape, fill) in self._columns.items():
            fresh = np.full((self._capacity, *shape), fill, dtype)
            if name in self._arrays:
                fresh[: self.num_tokens] = self._arrays[name][: self.num_tokens]
            self._arrays[name] = fresh
        self.num_bytes = sum(array.nbytes for array in self._arrays.values())


@dataclass(frozen=True)
class _StepRows:
    """A step's traced tokens on their way to the host, and whose they are."""

    copy: HostCopy
    names: tuple[str, ...]
    owners: tuple[tuple[TokenTrace, int], ...]


class TraceRecorder:
    """Writes each step's tokens into the traces of their requests, without waiting for the device.

    Args:
        shape: Sizes of the model.
        device: Where the model runs.
        max_bytes: Memory of all traces together.
    """

    def __init__(self, shape: TraceShape, *, device: torch.device, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._shape = shape
        self._max_bytes = max_bytes
        self._copier = HostCopier(device)
        self._device = device
        self._pending: deque[_StepRows] = deque()
        self._held: dict[int, TokenTrace] = {}

    def open(self, options: TraceOptions, prompt_token_ids: Sequence[int] | None, num_cached: int) -> TokenTrace:
        """Start a request's trace."""
        trace = TokenTrace(self._shape, options)
        trace.set_cached(prompt_token_ids, num_cached)
        self._held[id(trace)] = trace
        return trace

    def close(self, trace: TokenTrace) -> None:
        """Take note that a trace has gone to the front end, or is wanted by nobody."""
        self._held.pop(id(trace), None)

    def add(self, traces: Sequence[TokenTrace | None], lengths: Sequence[int], columns: dict[str, Tensor]) -> None:
        """Take the rows of a step's traced requests.

        Args:
            traces: Of each request of the step, in batch order; None for those that are not traced.
            lengths: Tokens of each request in the step.
            columns: By name [T, ...]: `counts` (bool: tokens that are new and not rejected), `position`, and the
                columns of a trace.
        """
        ends = np.cumsum(lengths)
        owned = [(trace, end - length, length) for trace, length, end in zip(traces, lengths, ends, strict=True)]
        owners = [
            (trace, start, length) for trace, start, length in owned if trace is not None and not trace.is_dropped
        ]
        if not owners:
            return
        index = np.concatenate([np.arange(start, start + length) for _, start, length in owners])
        index_n = torch.from_numpy(index).to(self._device, non_blocking=True)
        copy = self._copier.start([tensor.index_select(0, index_n) for tensor in columns.values()])
        self._pending.append(_StepRows(copy, tuple(columns), tuple((trace, length) for trace, _, length in owners)))
        self._settle(waits=False)

    def settle(self) -> None:
        """Wait until every row of the steps so far is in its trace."""
        self._settle(waits=True)

    def _settle(self, *, waits: bool) -> None:
        while self._pending and (waits or self._pending[0].copy.is_ready()):
            self._write(self._pending.popleft())
        self._keep_bound()

    def _write(self, step: _StepRows) -> None:
        columns = dict(zip(step.names, step.copy.arrays(), strict=True))
        counts_n, position_n = columns.pop("counts"), columns.pop("position")
        start = 0
        for trace, length in step.owners:
            # One run: what is computed again comes before it, rejected drafts behind it.
            counted = counts_n[start : start + length].nonzero()[0]
            if len(counted):
                own = slice(start + counted[0], start + counted[-1] + 1)
                trace.write(int(position_n[own.start]), {name: column[own] for name, column in columns.items()})
            start += length

    def _keep_bound(self) -> None:
        """Drop the largest trace while all together hold too much: one long request, not many short ones."""
        while sum(trace.num_bytes for trace in self._held.values()) > self._max_bytes:
            largest = max(self._held.values(), key=lambda trace: trace.num_bytes)
            largest.drop()
            self.close(largest)
