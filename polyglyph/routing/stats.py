"""The worker's stats: sums by group, token script and phase, handed to the front end interval by interval.

Letters: L MoE layers, E experts, T tokens, K selected experts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from polyglyph.contract.plan import PHASES
from polyglyph.kernels.tally import IntervalSums
from polyglyph.routing.groups import GroupSlots, RequestGroup
from polyglyph.routing.host_copy import HostCopier, HostCopy

NUM_GROUPS = 1024
"""Groups (request script, plan, tag) kept apart in one interval; further ones share the overflow group."""
MAX_BYTES = 256 << 20
"""Largest size of the sums of both intervals together, on the device."""
MAX_ROWS = 8192


@dataclass
class Interval:
    """One interval's sums, on the device, and what only the host knows of it.

    Attributes:
        device: The sums by row.
        cached: Prompt tokens served from the prefix cache, by group slot and script index.
        groups: The groups by slot, known at its end.
        serial: Its number; 0 while it runs.
    """

    device: IntervalSums
    cached: Counter[tuple[int, int]] = field(default_factory=Counter)
    groups: dict[int, RequestGroup] = field(default_factory=dict)
    serial: int = 0
    num_used: HostCopy | None = None
    rows: HostCopy | None = None


class StatsRecorder:
    """Adds steps to the running interval while the one before it goes to the front end.

    Args:
        num_layers: L.
        num_experts: E.
        scripts: ISO 15924 codes by script index.
        device: Where the model runs.
    """

    def __init__(self, *, num_layers: int, num_experts: int, scripts: Sequence[str], device: torch.device) -> None:
        self._scripts = tuple(scripts)
        self._slots = GroupSlots(NUM_GROUPS)
        self._copier = HostCopier(device)
        sizes: dict[str, Any] = {
            "num_groups": NUM_GROUPS,
            "num_scripts": len(self._scripts),
            "num_rows": num_rows(num_layers, num_experts),
            "num_layers": num_layers,
            "num_experts": num_experts,
            "device": device,
        }
        self._running = Interval(IntervalSums(**sizes))
        self._spare = IntervalSums(**sizes)
        self._ended: Interval | None = None
        self._serial = 0

    def open(self, group: RequestGroup) -> int:
        """Give a request the slot of its group."""
        return self._slots.open(group)

    def close(self, slot: int) -> None:
        """Take note that a request of the slot has ended."""
        self._slots.close(slot)

    @property
    def running(self) -> IntervalSums:
        """The sums that steps are added to."""
        return self._running.device

    def add_cached(self, slot: int, script_T: np.ndarray) -> None:
        """Count prompt tokens that the prefix cache served, by their scripts."""
        for script, count in enumerate(np.bincount(script_T)):
            if count:
                self._running.cached[slot, script] += int(count)

    def drain(self, acknowledged: int) -> dict[str, Any]:
        """End the running interval and give its sums, or give again those that were not acknowledged.

        Nothing here waits for the device: while the sums are on their way, the answer says that they are not ready.

        Args:
            acknowledged: Number of the last interval that the front end has, 0 for none.

        Returns:
            Plain values and bytes: `serial`, `is_ready`, and when ready what `decode_drain` reads.
        """
        if self._ended is not None and self._ended.serial == acknowledged:
            self._recycle(self._ended)
        if self._ended is None:
            self._end_interval()
        assert self._ended is not None
        if not self._copy(self._ended):
            return {"serial": self._ended.serial, "is_ready": False}
        return {"serial": self._ended.serial, "is_ready": True, **self._to_wire(self._ended)}

    def clear(self) -> None:
        """Drop everything counted so far."""
        answer = self.drain(self._serial)
        while not answer["is_ready"]:
            answer = self.drain(0)
        assert self._ended is not None
        self._recycle(self._ended)

    def _end_interval(self) -> None:
        self._serial += 1
        self._ended = self._running
        self._ended.serial = self._serial
        self._ended.groups = self._slots.end_interval()
        self._ended.num_used = self._copier.start([self._ended.device.num_used])
        self._running = Interval(self._spare)

    def _copy(self, ended: Interval) -> bool:
        """Go on with the copy to the host: first how many rows there are, then the rows."""
        assert ended.num_used is not None
        if ended.rows is None:
            if not ended.num_used.is_ready():
                return False
            used = slice(0, _count(ended.num_used))
            sums = ended.device.sums
            ended.rows = self._copier.start(
                [
                    ended.device.cell_of_row_G[used],
                    sums.tokens_G[used],
                    sums.selected_GLE[used],
                    sums.weight_sum_GLE[used],
                ]
            )
        return ended.rows.is_ready()

    def _to_wire(self, ended: Interval) -> dict[str, Any]:
        assert ended.rows is not None
        cell_G, tokens_G, selected_GLE, weight_sum_GLE = ended.rows.arrays()
        has_tokens = tokens_G > 0
        return {
            "scripts": list(self._scripts),
            "groups": {slot: list(group) for slot, group in ended.groups.items()},
            "overflow_slot": self._slots.overflow,
            "rows": np.flatnonzero(has_tokens).astype(np.int64).tobytes(),
            "cells": cell_G[has_tokens].tobytes(),
            "tokens": tokens_G[has_tokens].tobytes(),
            "selected": selected_GLE[has_tokens].tobytes(),
            "weight_sum": weight_sum_GLE[has_tokens].tobytes(),
            "cached": [[slot, script, count] for (slot, script), count in ended.cached.items()],
        }

    def _recycle(self, ended: Interval) -> None:
        assert ended.num_used is not None
        ended.device.clear(_count(ended.num_used))
        self._spare, self._ended = ended.device, None


def num_rows(num_layers: int, num_experts: int) -> int:
    """Give the rows that fit `MAX_BYTES`, twice, for int64 counts and float64 weights."""
    row_bytes = num_layers * num_experts * 16
    return max(len(PHASES) + 1, min(MAX_ROWS, MAX_BYTES // 2 // row_bytes))


def _count(num_used: HostCopy) -> int:
    return int(num_used.arrays()[0][0])
