"""What a step leaves out when nobody asks for it, and what a captured graph never leaves out."""

import pytest
import torch

from polyglyph.contract.model import RouterDescription
from polyglyph.kernels.steer_route import SelectionRule
from polyglyph.routing.layers import RoutedLayers

E, K, T = 8, 2, 5
ROUTER = RouterDescription(layer=0, model_layer=0, name="layer", kind="softmax", experts=E, top_k=K)


def make_layers(*, is_captured: bool, logs_scores: bool = False) -> RoutedLayers:
    return RoutedLayers(
        [(ROUTER, SelectionRule("softmax", K))],
        num_slots=2,
        max_num_tokens=T,
        device=torch.device("cpu"),
        is_captured=is_captured,
        logs_scores=logs_scores,
    )


def route(layers: RoutedLayers) -> torch.Tensor:
    logits = torch.randn(T, E, generator=torch.Generator().manual_seed(0))
    weights, ids = logits.softmax(dim=-1).topk(K, dim=-1)
    ids = ids.int()
    layers.route(0, logits, weights, ids, torch.zeros(T, 1))
    return ids


@pytest.mark.parametrize(
    ("is_captured", "is_logged", "is_written"),
    [(True, False, True), (True, True, True), (False, False, False), (False, True, True)],
)
def test_a_step_of_which_nobody_asks_anything_is_logged_only_where_a_graph_may_replay_it(
    is_captured: bool, is_logged: bool, is_written: bool
) -> None:
    layers = make_layers(is_captured=is_captured)
    layers.set_step(is_steered=False, is_logged=is_logged)
    ids = route(layers)
    assert layers.has_run(0) == is_written
    assert torch.equal(layers.ids_LTK[0], ids) == is_written


@pytest.mark.parametrize(
    ("is_captured", "logs_scores", "can"),
    [(False, False, True), (False, True, True), (True, False, False), (True, True, True)],
)
def test_a_captured_graph_logs_scores_only_if_it_was_captured_so(
    is_captured: bool, logs_scores: bool, can: bool
) -> None:
    layers = make_layers(is_captured=is_captured, logs_scores=logs_scores)
    assert layers.can_log_scores == can
    layers.set_step(is_steered=False, is_logged=True, is_scored=can)
    route(layers)
    scores = layers.log(T).scores_LTE
    assert (scores is not None) == can
    assert scores is None or torch.allclose(scores[0].float().sum(dim=-1), torch.ones(T), atol=1e-2)
