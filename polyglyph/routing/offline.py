"""Steering vLLM's offline `LLM`: payloads for `SamplingParams.extra_args`, and what the engine did."""

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from polyglyph.contract.edits import check_edits
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES, Edit, Phase
from polyglyph.contract.steering import PAYLOAD_KEY, SteeringPayload
from polyglyph.routing.compat.input_processor import set_loaded_model
from polyglyph.routing.reports import EngineReport, merge_reports
from polyglyph.routing.wire import Receipt, merge_receipts


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
        )
        return {PAYLOAD_KEY: payload.model_dump_json()}

    def take_receipt(self, key: str) -> Receipt | None:
        """Fetch and forget what the engine did for a finished request."""
        answers = self._llm.collective_rpc("polyglyph_take_receipts", args=([key],))
        return merge_receipts(answers, self.model).get(key)

    def reset_stats(self) -> None:
        """Set all sums to zero."""
        self._llm.collective_rpc("polyglyph_reset_stats")

    def read_selected(self) -> np.ndarray:
        """Give int64 [layers, experts]: selections of all groups since the last reset."""
        wire = self._llm.collective_rpc("polyglyph_read_stats")[0]
        binding = self.model.binding
        selected = np.frombuffer(wire["selected"], np.int64).reshape(-1, binding.layers, binding.experts)
        total: np.ndarray = selected.sum(axis=0)
        return total
