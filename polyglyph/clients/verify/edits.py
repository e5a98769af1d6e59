"""Edits that are sure to change a model's routing, chosen by what it selected without them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from polyglyph.clients.answers import LoadedModel
from polyglyph.clients.verify.line import NotCheckedError
from polyglyph.contract.model import RouterDescription
from polyglyph.contract.routing import RoutingSummary

if TYPE_CHECKING:
    import numpy as np

MAX_BANNED = 3


def ban_most_used(routing: RoutingSummary, model: LoadedModel) -> list[dict[str, Any]]:
    """Ban the most selected experts of every layer that can ban."""
    return [
        {"layer": router.layer, "experts": _most_used(counts_E)[: _num_banned(router)], "op": "ban"}
        for router, counts_E in _layers(routing, model, op="ban")
        if _num_banned(router) > 0
    ]


def force_least_used(routing: RoutingSummary, model: LoadedModel) -> list[dict[str, Any]]:
    """Force the least selected expert of every layer that can force."""
    return [
        {"layer": router.layer, "experts": _most_used(counts_E)[-1:], "op": "force"}
        for router, counts_E in _layers(routing, model, op="force")
        if router.experts > router.top_k
    ]


def counts_PLE(summary: RoutingSummary, model: LoadedModel) -> "np.ndarray":
    """Give a summary's selections: int32 by phase (P), MoE layer (L) and expert (E).

    Raises:
        NotCheckedError: The summary leaves layers out, so that nothing can be said of them.
    """
    selected = summary.selected.to_numpy()
    missing = {router.layer for router in model.routers} - set(summary.layers)
    if missing or selected.shape[:2] != (len(summary.phases), len(summary.layers)):
        raise NotCheckedError(f"the routing summary lacks MoE layers {sorted(missing)}")
    order = [summary.layers.index(router.layer) for router in model.routers]
    return selected[:, order]


def _layers(
    routing: RoutingSummary, model: LoadedModel, *, op: str
) -> "Iterator[tuple[RouterDescription, np.ndarray]]":
    counts_LE = counts_PLE(routing, model).sum(axis=0)
    for router in model.routers:
        if op in router.ops:
            yield router, counts_LE[router.layer, : router.experts]


def _most_used(counts_E: "np.ndarray") -> list[int]:
    return [int(expert) for expert in (-counts_E).argsort(kind="stable")]


def _num_banned(router: RouterDescription) -> int:
    """Give how many experts can be banned beside a forced one; grouped routers are left one ban from their limit."""
    spare = router.experts - router.top_k
    return min(1 if router.groups > 1 else MAX_BANNED, spare)
