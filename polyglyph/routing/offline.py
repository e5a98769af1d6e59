"""Steering vLLM's offline `LLM`: payloads for `SamplingParams.extra_args`, and what the engine did."""

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from polyglyph.contract.edits import check_edits
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES, Edit, Phase
from polyglyph.contract.steering import PAYLOAD_KEY, SteeringPayload, TraceOptions
from polyglyph.contract.sums import GroupKey, GroupSums
from polyglyph.routing.compat.input_processor import set_loaded_model
from polyglyph.routing.reports import EngineReport, merge_reports
from polyglyph.routing.wire import Receipt, decode_drain, merge_receipts


class OfflineSteering:
    """Makes payloads for one `LLM`, checked against its model.

    Args:
        llm: A `vllm.LLM` with the plugin loaded.

    Raises:
        MissingHooksError: A worker lacks a hook.
    """

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self.report: EngineReport = merge_reports(llm.collective_rpc("polyglyph_report"))
        set_loaded_model(self.report.model)
        self._serial = 0
        self._sums: dict[GroupKey, GroupSums] = {}

    @property
    def model(self) -> ModelDescription:
        """The loaded model."""
        return self.report.model

    def extra_args(
        self,
        edits: Sequence[Edit] = (),
        *,
        strength: float = 1.0,
        phases: Sequence[Phase] = PHASES,
        script: str = "Zyyy",
        tag: str = "",
        wants_summary: bool = False,
        trace: TraceOptions | None = None,
        recomputes_prefix: bool = False,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Give `extra_args` for one request.

        Raises:
            ImpossibleEditError: An edit that the model cannot honour.
        """
        check_edits(edits, self.model, strength=strength, param="edits")
        payload = SteeringPayload(
            key=key or uuid.uuid4().hex,
            edits=tuple(edits),
            strength=strength,
            phases=tuple(phases),
            script=script,
            tag=tag,
            wants_summary=wants_summary,
            trace=trace,
            recomputes_prefix=recomputes_prefix,
        )
        return {PAYLOAD_KEY: payload.model_dump_json()}

    def take_receipt(self, key: str) -> Receipt | None:
        """Fetch and forget what the engine did for a finished request."""
        answers = self._llm.collective_rpc("polyglyph_take_receipts", args=([key],))
        return merge_receipts(answers, self.model).get(key)

    def read_stats(self) -> dict[GroupKey, GroupSums]:
        """Give the sums of all groups since the last reset."""
        self._sums = self._drain(self._sums)
        return dict(self._sums)

    def reset_stats(self) -> None:
        """Set all sums to zero."""
        self._drain({})
        self._sums = {}

    def read_selected(self) -> np.ndarray:
        """Give int64 [layers, experts]: selections of all groups since the last reset."""
        binding = self.model.binding
        total = np.zeros((binding.layers, binding.experts), np.int64)
        for sums in self.read_stats().values():
            total += sums.selected_LE
        return total

    def _drain(self, sums: dict[GroupKey, GroupSums]) -> dict[GroupKey, GroupSums]:
        """Give sums with those of the interval that ends now added."""
        drained = None
        while drained is None or drained.groups is None:
            wire = self._llm.collective_rpc("polyglyph_drain_stats", args=(self._serial,))[0]
            drained = decode_drain(wire, self.model)
        self._serial = drained.serial
        added = {group.key: sums[group.key] + group if group.key in sums else group for group in drained.groups}
        return sums | added
