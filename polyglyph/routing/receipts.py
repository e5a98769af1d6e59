"""What the engine did for finished requests, kept until the front end fetches it."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

MAX_RECEIPTS = 4096
"""Receipts that nobody fetched (the client went away); the oldest go first."""


@dataclass
class WorkerReceipt:
    """One HTTP request's account on one worker, summed over its choices.

    `num_tokens` is int64 [3]; `selected` int64 [3, layers, experts]; `weight_sum` float64 of that shape; None unless
    the request asked for a summary.
    """

    tokens_steered: int = 0
    selections_changed: int = 0
    num_tokens: np.ndarray | None = None
    selected: np.ndarray | None = None
    weight_sum: np.ndarray | None = None

    def add(self, other: "WorkerReceipt") -> None:
        """Add another choice's account."""
        self.tokens_steered += other.tokens_steered
        self.selections_changed += other.selections_changed
        for name in ("num_tokens", "selected", "weight_sum"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if theirs is not None:
                setattr(self, name, theirs if mine is None else mine + theirs)

    def to_wire(self) -> dict[str, object]:
        """Give plain values: arrays as bytes of int64 and float64."""
        wire: dict[str, object] = {"tokens_steered": self.tokens_steered, "selections_changed": self.selections_changed}
        if self.selected is not None and self.weight_sum is not None and self.num_tokens is not None:
            wire["num_tokens"] = self.num_tokens.astype(np.int64).tobytes()
            wire["selected"] = self.selected.astype(np.int64).tobytes()
            wire["weight_sum"] = self.weight_sum.astype(np.float64).tobytes()
        return wire


@dataclass
class ReceiptBook:
    """Receipts by key, bounded."""

    _receipts: OrderedDict[str, WorkerReceipt] = field(default_factory=OrderedDict)

    def add(self, key: str, receipt: WorkerReceipt) -> None:
        """Add a finished choice to its request's receipt."""
        self._receipts.setdefault(key, WorkerReceipt()).add(receipt)
        if len(self._receipts) > MAX_RECEIPTS:
            self._receipts.popitem(last=False)

    def take(self, key: str) -> WorkerReceipt | None:
        """Give a receipt and forget it."""
        return self._receipts.pop(key, None)
