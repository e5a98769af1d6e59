"""The hooked layers of one worker and the persistent tensors that their hooks read and write.

Letters: L MoE layers, T tokens of the largest step, E experts, K selected experts, S slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyglyph.contract.model import RouterDescription
from polyglyph.kernels.annotate import TokenNotes
from polyglyph.kernels.steer_route import (
    LayerSteering,
    RouteLog,
    SelectionRule,
    router_scores,
    runner_up,
    steering_of,
)
from polyglyph.routing.edit_table import EditTable


@dataclass(frozen=True)
class RoutedLayer:
    """One MoE layer: what its router is, and what steers and logs it."""

    router: RouterDescription
    steering: LayerSteering


@dataclass(frozen=True, eq=False)
class StepLog:
    """What the routers of the last step's n tokens did.

    Attributes:
        ids_LTK: int32 selected experts; -1 past a layer's k.
        weights_LTK: float32 routing weights.
        runner_up_LTK: int32, the experts that would have come next; None unless the step asked for scores.
        scores_LTE: float16, the routers' own scores before any edit; None unless the step asked for scores.
    """

    ids_LTK: Tensor
    weights_LTK: Tensor
    runner_up_LTK: Tensor | None = None
    scores_LTE: Tensor | None = None


class ScoreLog:
    """Persistent tensors for scores and runners-up, which few requests ask for and which are large."""

    def __init__(
        self, num_layers: int, max_num_tokens: int, num_experts: int, top_k: int, device: torch.device
    ) -> None:
        shape = (num_layers, max_num_tokens)
        self.runner_up_LTK = torch.full((*shape, top_k), -1, dtype=torch.int32, device=device)
        self.scores_LTE = torch.zeros((*shape, num_experts), dtype=torch.float16, device=device)

    def write(self, layer: int, logits: Tensor, ids: Tensor, rule: SelectionRule) -> None:
        """Log one layer."""
        num_tokens, top_k = ids.shape
        self.runner_up_LTK[layer, :num_tokens, :top_k] = runner_up(logits, ids, rule)
        if rule.scoring != "custom":
            self.scores_LTE[layer, :num_tokens, : logits.shape[1]] = router_scores(logits, rule)


class RoutedLayers:
    """All MoE layers of the model on this worker.

    Args:
        routers: One description and rule per layer, in the model's order.
        num_slots: S.
        max_num_tokens: T, padding included.
        device: Where the model runs.
        is_captured: CUDA graphs replay the forward pass: it always does all, since what is left out once is never done.
        logs_scores: Log scores in captured graphs; without graphs they are logged in steps that ask.

    Attributes:
        ids_LTK: int32 selected experts of the last step; -1 past a layer's k.
        weights_LTK: float32 routing weights.
        changed_LT: bool, selections that steering changed.
    """

    def __init__(
        self,
        routers: Sequence[tuple[RouterDescription, SelectionRule]],
        *,
        num_slots: int,
        max_num_tokens: int,
        device: torch.device,
        is_captured: bool = False,
        logs_scores: bool = False,
    ) -> None:
        self.device = device
        self.num_layers = len(routers)
        self.num_experts = max(router.experts for router, _ in routers)
        self.top_k = max(router.top_k for router, _ in routers)
        self.table = EditTable(self.num_layers, num_slots, self.num_experts, device)
        self.notes = TokenNotes.allocate(max_num_tokens, device=device)
        shape = (self.num_layers, max_num_tokens, self.top_k)
        self.ids_LTK = torch.full(shape, -1, dtype=torch.int32, device=device)
        self.weights_LTK = torch.zeros(shape, dtype=torch.float32, device=device)
        self.changed_LT = torch.zeros(shape[:2], dtype=torch.bool, device=device)
        self.layers = tuple(
            RoutedLayer(
                router,
                steering_of(
                    rule,
                    slot_T=self.notes.slot_T,
                    edits=self.table.layer(index, router.experts),
                    log=RouteLog(self.ids_LTK[index], self.weights_LTK[index], self.changed_LT[index]),
                ),
            )
            for index, (router, rule) in enumerate(routers)
        )
        self._score_sizes = (self.num_layers, max_num_tokens, self.num_experts, self.top_k, device)
        self._score_log = ScoreLog(*self._score_sizes) if is_captured and logs_scores else None
        self._is_captured = is_captured
        self._is_steered = False
        self._is_logged = True
        self._is_scored = False
        self._has_notes = False

    @property
    def can_log_scores(self) -> bool:
        """Whether requests may ask for scores and runners-up."""
        return not self._is_captured or self._score_log is not None

    def set_step(self, *, is_steered: bool, is_logged: bool, is_scored: bool = False) -> None:
        """Say what the next forward pass needs; a captured graph always does all."""
        self._is_steered = is_steered
        self._is_logged = is_logged
        self._is_scored = is_scored
        if is_scored and self._score_log is None:
            self._score_log = ScoreLog(*self._score_sizes)

    def mark_notes(self) -> None:
        """Say that the notes are about to be written."""
        self._has_notes = True

    def clear_notes(self) -> None:
        """Make every token neutral; free when the notes are neutral already."""
        if self._has_notes:
            for note_T in (self.notes.row_T, self.notes.position_T, self.notes.phase_T, self.notes.slot_T):
                note_T.zero_()
            self._has_notes = False

    def warm_up(self) -> None:
        """Compile what a step that nobody steers needs; dummy steps see to the others."""
        for index, routed in enumerate(self.layers):
            top_k = routed.router.top_k
            routed.steering.log_selection(self.weights_LTK[index, :0, :top_k], self.ids_LTK[index, :0, :top_k])

    def route(self, layer: int, logits: Tensor, weights: Tensor, ids: Tensor, hidden: Tensor) -> None:
        """Steer one layer's selection in place, and log it; what the custom op runs.

        Args:
            layer: Index among the MoE layers.
            logits: Router logits [T, E].
            weights: vLLM's routing weights [T, K]; rows without edits are left as they are.
            ids: vLLM's selected experts [T, K]; likewise.
            hidden: The layer's input [T, H].
        """
        if not (self._is_captured or self._is_steered or self._is_logged):
            return
        steering = self.layers[layer].steering
        if not (self._is_captured or self._is_steered):
            steering.log_selection(weights, ids)
        else:
            steering.steer(logits, weights, ids, hidden)
        if self._score_log is not None and (self._is_scored or self._is_captured):
            self._score_log.write(layer, logits, ids, steering.rule)

    def log(self, num_tokens: int) -> StepLog:
        """Give what was logged of the last step's first tokens."""
        ids, weights = self.ids_LTK[:, :num_tokens], self.weights_LTK[:, :num_tokens]
        if self._score_log is None or not self._is_scored:
            return StepLog(ids, weights)
        scores = self._score_log
        return StepLog(ids, weights, scores.runner_up_LTK[:, :num_tokens], scores.scores_LTE[:, :num_tokens])

    def has_run(self, layer: int) -> bool:
        """Whether this layer's hook was executed since the worker started."""
        return bool((self.ids_LTK[layer, 0, 0] != -1).item())
