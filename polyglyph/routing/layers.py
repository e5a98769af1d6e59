"""The hooked layers of one worker and the persistent tensors that their hooks read and write.

Letters: L MoE layers, T tokens of the largest step, E experts, K selected experts, S slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyglyph.contract.model import RouterDescription
from polyglyph.kernels.annotate import TokenNotes
from polyglyph.kernels.steer_route import LayerEdits, SelectionRule, router_scores, runner_up, steer_route
from polyglyph.routing.edit_table import EditTable


@dataclass(frozen=True)
class RoutedLayer:
    """One MoE layer: how its router selects, and its rows of the edit table."""

    router: RouterDescription
    rule: SelectionRule
    edits: LayerEdits


@dataclass(frozen=True, eq=False)
class StepLog:
    """What the routers of the last step's n tokens did.

    Attributes:
        ids_LTK: int32 selected experts; -1 past a layer's k.
        weights_LTK: float32 routing weights.
        changed_LT: bool, selections that steering changed.
        runner_up_LTK: int32, the experts that would have come next; None unless the step asked for scores.
        scores_LTE: float16, the routers' own scores before any edit; None unless the step asked for scores.
    """

    ids_LTK: Tensor
    weights_LTK: Tensor
    changed_LT: Tensor
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
        logs_scores: Log scores in every step, so that a captured graph does; a CPU logs them in steps that ask.
    """

    def __init__(
        self,
        routers: Sequence[tuple[RouterDescription, SelectionRule]],
        *,
        num_slots: int,
        max_num_tokens: int,
        device: torch.device,
        logs_scores: bool = False,
    ) -> None:
        self.device = device
        self.num_layers = len(routers)
        self.num_experts = max(router.experts for router, _ in routers)
        self.top_k = max(router.top_k for router, _ in routers)
        self.table = EditTable(self.num_layers, num_slots, self.num_experts, device)
        self.notes = TokenNotes.allocate(max_num_tokens, device=device)
        self.layers = tuple(
            RoutedLayer(router, rule, self.table.layer(index, router.experts))
            for index, (router, rule) in enumerate(routers)
        )
        shape = (self.num_layers, max_num_tokens, self.top_k)
        self._ids = torch.full(shape, -1, dtype=torch.int32, device=device)
        self._weights = torch.zeros(shape, dtype=torch.float32, device=device)
        self._changed = torch.zeros(shape[:2], dtype=torch.bool, device=device)
        self._has_changed = False
        self._score_sizes = (self.num_layers, max_num_tokens, self.num_experts, self.top_k, device)
        self._score_log = ScoreLog(*self._score_sizes) if logs_scores else None
        self._on_host = device.type == "cpu"
        self._is_steered = False
        self._is_logged = True
        self._is_scored = False
        self._has_notes = False

    @property
    def can_log_scores(self) -> bool:
        """Whether requests may ask for scores and runners-up."""
        return self._on_host or self._score_log is not None

    def set_step(self, *, is_steered: bool, is_logged: bool, is_scored: bool = False) -> None:
        """Say what the next forward pass needs; only a CPU may skip the rest, a captured graph always does all."""
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

    def route(self, layer: int, logits: Tensor, weights: Tensor, ids: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Steer one layer's selection and log it; what the custom op runs.

        Args:
            layer: Index among the MoE layers.
            logits: Router logits [T, E].
            weights: vLLM's routing weights [T, K].
            ids: vLLM's selected experts [T, K].
            hidden: The layer's input [T, H].

        Returns:
            Fresh weights and ids; rows without edits hold vLLM's values bit for bit.
        """
        num_tokens = ids.shape[0]
        if self._on_host and not self._is_steered:
            weights, ids = weights.clone(), ids.clone()
            changed: Tensor | None = None
        else:
            routed = self.layers[layer]
            weights, ids, changed = steer_route(
                logits,
                weights,
                ids,
                hidden_TH=hidden,
                slot_T=self.notes.slot_T[:num_tokens],
                edits=routed.edits,
                rule=routed.rule,
            )
        if self._is_logged or not self._on_host:
            self._write_log(layer, weights, ids, changed)
        if self._score_log is not None and (self._is_scored or not self._on_host):
            self._score_log.write(layer, logits, ids, self.layers[layer].rule)
        return weights, ids

    def log(self, num_tokens: int) -> StepLog:
        """Give what was logged of the last step's first tokens."""
        ids, weights, changed = (log[:, :num_tokens] for log in (self._ids, self._weights, self._changed))
        if self._score_log is None or not self._is_scored:
            return StepLog(ids, weights, changed)
        scores = self._score_log
        return StepLog(ids, weights, changed, scores.runner_up_LTK[:, :num_tokens], scores.scores_LTE[:, :num_tokens])

    def has_run(self, layer: int) -> bool:
        """Whether this layer's hook was executed since the worker started."""
        return bool((self._ids[layer, 0, 0] != -1).item())

    def _write_log(self, layer: int, weights: Tensor, ids: Tensor, changed: Tensor | None) -> None:
        num_tokens, top_k = ids.shape
        self._ids[layer, :num_tokens, :top_k] = ids
        self._weights[layer, :num_tokens, :top_k] = weights
        if changed is not None:
            self._changed[layer, :num_tokens] = changed
            self._has_changed = True
        elif self._has_changed:
            # Steps without steering follow each other: the first one's first layer clears for all.
            self._changed.zero_()
            self._has_changed = False
