"""A traced sequence as a response gives it: our arrays beside each token's script, or vLLM's own encoding."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES
from polyglyph.contract.routing import ArrayDocument, RoutingRequest, RoutingTokens
from polyglyph.routing.reports import EngineReport
from polyglyph.routing.wire import WorkerTrace

if TYPE_CHECKING:
    # Brings Numba, which is not needed to encode for vLLM.
    from polyglyph.routing.scripts.labeller import ScriptLabeller


def describe_tokens(
    trace: WorkerTrace, request: RoutingRequest, *, model: ModelDescription, labeller: "ScriptLabeller"
) -> RoutingTokens:
    """Give a sequence in our own form.

    Args:
        trace: What the workers recorded.
        request: Which layers and which columns.
        model: The loaded model.
        labeller: Finds the scripts, exactly: it sees the whole sequence.
    """
    layers = request.layers or tuple(range(model.binding.layers))
    pick = list(layers)
    return RoutingTokens(
        num_tokens=len(trace.token_ids),
        layers=layers,
        ids=ArrayDocument.from_numpy(trace.ids[:, pick]),
        weights=ArrayDocument.from_numpy(trace.weights[:, pick]) if request.weights else None,
        runner_up=_optional(trace.runner_up, pick, is_wanted=request.runner_up),
        probabilities=_optional(trace.probabilities, pick, is_wanted=request.probabilities),
        token_ids=tuple(trace.token_ids.tolist()),
        scripts=scripts_of(trace, labeller),
        phases=tuple(PHASES[phase] for phase in trace.phases.tolist()),
        computed=tuple(trace.computed.tolist()),
        steered=tuple(trace.steered.tolist()),
    )


def scripts_of(trace: WorkerTrace, labeller: "ScriptLabeller") -> tuple[str, ...]:
    """Give the ISO 15924 code of each token."""
    return tuple(labeller.codes(labeller.exact(trace.token_ids)))


def encode_for_vllm(trace: WorkerTrace, report: EngineReport, *, prompt_start: int) -> str:
    """Give a sequence as vLLM's `routed_experts` of a choice: base64 of an `.npy` file.

    Its array is uint8, or uint16 where there are more than 256 experts, [tokens, hidden layers, k]; layers without a
    router hold zeros (vLLM 0.32, `model_executor/layers/fused_moe/routed_experts_capturer.py`).

    Args:
        trace: What the workers recorded, every row computed.
        report: The model as loaded.
        prompt_start: Prompt tokens to leave out at the beginning, vLLM's `routed_experts_prompt_start`.
    """
    binding = report.model.binding
    dtype = np.uint8 if binding.experts <= 256 else np.uint16
    ids_NLK = np.zeros((len(trace.ids), report.num_hidden_layers, binding.top_k), dtype)
    ids_NLK[:, [router.model_layer for router in report.model.routers]] = trace.ids
    buffer = io.BytesIO()
    np.save(buffer, ids_NLK[prompt_start:], allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode()


def _optional(array: np.ndarray | None, pick: list[int], *, is_wanted: bool) -> ArrayDocument | None:
    return ArrayDocument.from_numpy(array[:, pick]) if is_wanted and array is not None else None
