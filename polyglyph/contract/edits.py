"""Which edits a model can honour: the hard limits of methods section 4, checked before anything is scheduled."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from polyglyph.contract.errors import ImpossibleEditError, PlanMismatchError
from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import Edit, Plan

MAX_STRENGTH = 16.0


def check_binding(plan: Plan, loaded: ModelBinding, *, param: str) -> None:
    """Refuse a plan that was made for another model.

    Raises:
        PlanMismatchError: Names both models, and both fingerprints where the shapes agree.
    """
    advice = "use a plan for the loaded model (GET /v1/steering/plans lists them)"
    check_model(plan.model, loaded, what=f"plan '{plan.name}'", advice=advice, param=param)


def check_model(made_for: ModelBinding, loaded: ModelBinding, *, what: str, advice: str, param: str) -> None:
    """Refuse what was made for another model.

    Args:
        made_for: As it says.
        loaded: What the server runs.
        what: What was made, for the error's text.
        advice: What to do, for the error's text.
        param: Field path that it came from.

    Raises:
        PlanMismatchError: Names both models, and both fingerprints where the shapes agree.
    """
    if made_for != loaded:
        raise PlanMismatchError(
            f"{param}: {what} was made for {_describe(made_for)}, but the loaded model is {_describe(loaded)}; "
            f"{advice}",
            param=param,
        )


def check_edits(
    edits: Sequence[Edit], model: ModelDescription, *, strength: float, param: str, after: Sequence[Edit] = ()
) -> None:
    """Refuse edits that the loaded model cannot honour together.

    Args:
        edits: Edits of a plan or of a request.
        model: The loaded model.
        strength: The request's dial; `ban` and `force` have no negative.
        param: Field path the edits came from; an edit's index is appended.
        after: Edits they are added to, which were found possible by themselves.

    Raises:
        ImpossibleEditError: `param` names the first edit that cannot be honoured.
    """
    by_layer: dict[int, list[tuple[int, Edit]]] = defaultdict(list)
    # Edits of `after` have negative indices: what they cannot do together with the new ones is reported at a new one.
    for index, edit in enumerate((*after, *edits), start=-len(after)):
        where = f"{param}[{index}]"
        if edit.layer >= len(model.routers):
            raise ImpossibleEditError(
                f"{where}.layer: the model has MoE layers 0 to {len(model.routers) - 1}, got {edit.layer}",
                param=f"{where}.layer",
            )
        _check_edit(edit, model.routers[edit.layer], strength=strength, where=where)
        by_layer[edit.layer].append((index, edit))
    for layer, indexed in by_layer.items():
        _check_layer(indexed, model.routers[layer], param=param)


def _check_edit(edit: Edit, router: RouterDescription, *, strength: float, where: str) -> None:
    if edit.op not in router.ops:
        raise ImpossibleEditError(
            f"{where}.op: layer {router.layer} ({router.name}) has a {router.kind} router, which cannot honour "
            f"'{edit.op}'; it honours {', '.join(router.ops) or 'no operation'}",
            param=f"{where}.op",
        )
    for expert in edit.experts:
        if expert >= router.experts:
            raise ImpossibleEditError(
                f"{where}.experts: layer {router.layer} has experts 0 to {router.experts - 1}, got {expert}",
                param=f"{where}.experts",
            )
    if strength < 0 and edit.op in ("ban", "force"):
        raise ImpossibleEditError(
            f"{where}.op: '{edit.op}' has no opposite, so it cannot be applied with strength {strength}; "
            "use a strength of 0 or more",
            param=f"{where}.op",
        )
    if strength < 0 and edit.op == "scale" and edit.value == 0:
        raise ImpossibleEditError(
            f"{where}.value: scaling by 0 cannot be inverted by strength {strength}; use a strength of 0 or more",
            param=f"{where}.value",
        )


def _check_layer(indexed: Sequence[tuple[int, Edit]], router: RouterDescription, *, param: str) -> None:
    banned: set[int] = set()
    forced: set[int] = set()
    renormalize: bool | None = None
    for index, edit in indexed:
        where = f"{param}[{index}]"
        banned |= set(edit.experts) if edit.op == "ban" else set()
        forced |= set(edit.experts) if edit.op == "force" else set()
        if banned & forced:
            raise ImpossibleEditError(
                f"{where}.experts: layer {router.layer} has expert {min(banned & forced)} both banned and forced",
                param=f"{where}.experts",
            )
        if len(forced) > router.top_k:
            raise ImpossibleEditError(
                f"{where}.experts: layer {router.layer} selects {router.top_k} experts per token, so at most "
                f"{router.top_k} can be forced, got {len(forced)}",
                param=f"{where}.experts",
            )
        if router.experts - len(banned) < router.top_k:
            raise ImpossibleEditError(
                f"{where}.experts: layer {router.layer} selects {router.top_k} of {router.experts} experts, so at most "
                f"{router.experts - router.top_k} can be banned, got {len(banned)}",
                param=f"{where}.experts",
            )
        if edit.op == "scale":
            if renormalize is not None and renormalize != bool(edit.renormalize):
                raise ImpossibleEditError(
                    f"{where}.renormalize: the scale edits of layer {router.layer} must agree on renormalize",
                    param=f"{where}.renormalize",
                )
            renormalize = bool(edit.renormalize)
    if router.groups > 1:
        _check_groups(banned, forced, router, param=f"{param}[{indexed[-1][0]}].experts")


def _check_groups(banned: Iterable[int], forced: Iterable[int], router: RouterDescription, *, param: str) -> None:
    size = router.experts // router.groups
    alive = [size] * router.groups
    for expert in banned:
        alive[expert // size] -= 1
    # The router prefers living groups, so the worst case is the top_groups living ones with the fewest experts.
    fewest = sorted(count for count in alive if count)[: router.top_groups]
    if sum(fewest) < router.top_k:
        raise ImpossibleEditError(
            f"{param}: layer {router.layer} selects {router.top_k} experts from {router.top_groups} of {router.groups} "
            f"groups; with these bans it can meet groups with only {sum(fewest)} experts left",
            param=param,
        )
    groups = {expert // size for expert in forced}
    if len(groups) > router.top_groups:
        raise ImpossibleEditError(
            f"{param}: layer {router.layer} selects from {router.top_groups} groups, but the forced experts lie in "
            f"{len(groups)}",
            param=param,
        )
    # Groups chosen beside the forced ones may be any; only the forced experts' own groups are certain.
    if groups:
        certain = sorted(alive[group] for group in groups)
        others = sorted(count for group, count in enumerate(alive) if group not in groups and count)
        if sum(certain) + sum(others[: router.top_groups - len(groups)]) < router.top_k:
            raise ImpossibleEditError(
                f"{param}: layer {router.layer} selects {router.top_k} experts; the groups of the forced experts and "
                "the bans leave too few",
                param=param,
            )


def _describe(model: ModelBinding) -> str:
    return (
        f"{model.architecture} with {model.layers} MoE layers, {model.experts} experts, top-{model.top_k} "
        f"({model.fingerprint})"
    )
