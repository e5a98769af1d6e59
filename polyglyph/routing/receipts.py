"""What the engine did for finished requests, kept until the front end fetches it."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAX_RECEIPTS = 4096
"""Receipts that nobody fetched (the client went away); the oldest go first."""
MAX_TRACE_BYTES = 512 << 20
"""Size of the traces in receipts that wait to be fetched."""


@dataclass
class WorkerReceipt:
    """One HTTP request's account on one worker, summed over its choices.

    `num_tokens` is int64 [3]; `selected` int64 [3, layers, experts]; `weight_sum` float64 of that shape; None unless
    the request asked for a summary. `traces` has an entry for each of its sequences that asked for one.
    """

    tokens_steered: int = 0
    selections_changed: int = 0
    num_tokens: np.ndarray | None = None
    selected: np.ndarray | None = None
    weight_sum: np.ndarray | None = None
    traces: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: "WorkerReceipt") -> None:
        """Add another choice's account."""
        self.tokens_steered += other.tokens_steered
        self.selections_changed += other.selections_changed
        self.traces += other.traces
        for name in ("num_tokens", "selected", "weight_sum"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if theirs is not None:
                setattr(self, name, theirs if mine is None else mine + theirs)

    @property
    def trace_bytes(self) -> int:
        """Size of its traces."""
        return sum(len(column) for trace in self.traces for column in trace.get("columns", {}).values())

    def to_wire(self) -> dict[str, object]:
        """Give plain values: arrays as bytes of int64 and float64."""
        wire: dict[str, object] = {
            "tokens_steered": self.tokens_steered,
            "selections_changed": self.selections_changed,
            "traces": self.traces,
        }
        if self.selected is not None and self.weight_sum is not None and self.num_tokens is not None:
            wire["num_tokens"] = self.num_tokens.astype(np.int64).tobytes()
            wire["selected"] = self.selected.astype(np.int64).tobytes()
            wire["weight_sum"] = self.weight_sum.astype(np.float64).tobytes()
        return wire


@dataclass
class ReceiptBook:
    """Receipts by key, bounded in number and in the size of their traces."""

    _receipts: OrderedDict[str, WorkerReceipt] = field(default_factory=OrderedDict)
    _trace_bytes: int = 0

    def add(self, key: str, receipt: WorkerReceipt) -> None:
        """Add a finished choice to its request's receipt."""
        self._receipts.setdefault(key, WorkerReceipt()).add(receipt)
        self._trace_bytes += receipt.trace_bytes
        while len(self._receipts) > MAX_RECEIPTS or (self._trace_bytes > MAX_TRACE_BYTES and len(self._receipts) > 1):
            _, oldest = self._receipts.popitem(last=False)
            self._trace_bytes -= oldest.trace_bytes

    def take(self, key: str) -> WorkerReceipt | None:
        """Give a receipt and forget it."""
        receipt = self._receipts.pop(key, None)
        if receipt is not None:
            self._trace_bytes -= receipt.trace_bytes
        return receipt
