"""From what a request names (plans, dials, edits of its own) to the edits in force on the loaded model."""

from dataclasses import dataclass
from typing import NamedTuple

from polyglyph.contract.composition import Part, check_pair, check_together
from polyglyph.contract.edits import check_binding, check_edits
from polyglyph.contract.errors import ImpossibleEditError, RequestError
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES, Edit, Phase, Plan
from polyglyph.contract.steering import SteeringRequest
from polyglyph.server.expert_sets import ExpertSetRegistry
from polyglyph.server.plans import PlanRegistry, StoredPlan

INLINE_NAME = "inline"
"""Name of the plan document that composed and inline edits are fingerprinted as; a name is outside the fingerprint."""
MAX_REMEMBERED = 4096


@dataclass(frozen=True, kw_only=True)
class Composed:
    """What a request's plans, dials and edits come to.

    Attributes:
        plan: Name of the plan, names of several in the order of the request, or None.
        fingerprint: Of a plan of all these edits; None without any.
        phases: Where they apply.
        edits: Of the plans by name, of the dials by name, then the request's own.
    """

    plan: str | tuple[str, ...] | None
    fingerprint: str | None
    phases: tuple[Phase, ...]
    edits: tuple[Edit, ...]


class Named(NamedTuple):
    """A plan of the registry, and the field path that it was named at."""

    stored: StoredPlan
    param: str

    @property
    def part(self) -> Part:
        """Give its edits as a part of a composition."""
        return Part(f"the plan '{self.stored.plan.name}'", self.param, self.stored.plan.edits)


class Composer:
    """Finds and checks what requests name.

    Args:
        model: The loaded model.
        plans: The registry of plans.
        expert_sets: The registry of expert sets, for dials and guards.
        allows_inline_edits: Whether requests may carry edits.
    """

    def __init__(
        self,
        model: ModelDescription,
        *,
        plans: PlanRegistry,
        expert_sets: ExpertSetRegistry,
        allows_inline_edits: bool = True,
    ) -> None:
        self._model = model
        self._plans = plans
        self._expert_sets = expert_sets
        self._allows_inline_edits = allows_inline_edits
        self._guard = expert_sets.guard
        self._possible: set[tuple[tuple[str, ...], bool]] = set()

    def compose(self, request: SteeringRequest, *, root: str, plan_param: str) -> Composed:
        """Give the edits of a request.

        Args:
            request: What it names.
            root: Field path of the steering field.
            plan_param: Field path of the plan's name.

        Raises:
            RequestError: `param` names the field path.
        """
        self._refuse_edits(request, root=root)
        found = self._find_plans(request, plan_param=plan_param)
        for named in found:
            self.check_stored(named.stored, request.strength, param=named.param)
        # In one order, so that one composition has one fingerprint and one place in the prefix cache.
        in_order = sorted(found, key=lambda named: (named.stored.plan.name, named.stored.fingerprint))
        plans = [named.part for named in in_order]
        self._check_plans(in_order, request.strength, param=plan_param)
        dials = self._parts_of_dials(request, root=root)
        own = self._own_part(request, root=root)
        self._check_dials(dials, plans=plans, own=own, request=request, root=root)
        before = tuple(edit for part in (*plans, *dials) for edit in part.edits)
        check_edits(own.edits, self._model, strength=request.strength, param=own.param, after=before)
        phases = _phases_of(in_order, request, param=plan_param)
        edits = (*before, *own.edits)
        return Composed(
            plan=_names_of(found),
            fingerprint=self._fingerprint(in_order, request, edits, phases),
            phases=phases,
            edits=edits,
        )

    def check_plan(self, plan: Plan, *, strength: float = 1.0, root: str = "plan") -> None:
        """Refuse a plan that the loaded model cannot be steered by, or that bans what is guarded.

        Raises:
            RequestError: `param` names the field path.
        """
        check_binding(plan, self._model.binding, param=f"{root}.model")
        check_edits(plan.edits, self._model, strength=strength, param=f"{root}.edits")
        self._expert_sets.guard.check_plan(plan, root=root)

    def check_stored(self, stored: StoredPlan, strength: float, *, param: str) -> None:
        """Refuse a plan of the registry that the loaded model cannot be steered by, or that bans what is guarded."""
        # Checking thousands of edits takes milliseconds, and of the strength only the sign matters.
        case = ((stored.fingerprint,), strength < 0)
        if self._knows(case):
            return
        check_binding(stored.plan, self._model.binding, param=param)
        try:
            check_edits(stored.plan.edits, self._model, strength=strength, param="edits")
            self._guard.check_plan(stored.plan, root="plan")
        except ImpossibleEditError as error:
            raise type(error)(f"{param}: the plan '{stored.plan.name}': {error}", param=param) from error
        self._remember(case)

    def _refuse_edits(self, request: SteeringRequest, *, root: str) -> None:
        if request.edits and not self._allows_inline_edits:
            raise RequestError(
                f"{root}.edits: this server takes no inline edits (it was started with --no-inline-edits); name a plan",
                param=f"{root}.edits",
            )

    def _find_plans(self, request: SteeringRequest, *, plan_param: str) -> list[Named]:
        if isinstance(request.plan, str):
            return [Named(self._plans.find(request.plan, param=plan_param), plan_param)]
        found: list[Named] = []
        for index, name in enumerate(request.plans):
            param = f"{plan_param}[{index}]"
            stored = self._plans.find(name, param=param)
            if any(stored == other for other, _ in found):
                raise RequestError(
                    f"{param}: {name!r:.80} is the plan '{stored.plan.name}', which the list names already",
                    param=param,
                )
            found.append(Named(stored, param))
        return found

    def _check_plans(self, named: list[Named], strength: float, *, param: str) -> None:
        case = (tuple(plan.stored.fingerprint for plan in named), strength < 0)
        if len(named) < 2 or self._knows(case):
            return
        check_together([plan.part for plan in named], self._model, strength=strength, param=param)
        self._remember(case)

    def _parts_of_dials(self, request: SteeringRequest, *, root: str) -> list[Part]:
        parts = []
        for name, value in sorted((request.dials or {}).items()):
            param = f"{root}.dials.{name}"
            experts = self._expert_sets.find_fitting(name, param=param)
            try:
                edits = experts.pushed(value)
            except ValueError as error:
                raise RequestError(
                    f"{param}: {value} times a weight of the expert set '{name}' is out of an edit's range; use a "
                    "smaller value",
                    param=param,
                ) from error
            try:
                check_edits(edits, self._model, strength=request.strength, param="edits")
            except ImpossibleEditError as error:
                raise ImpossibleEditError(f"{param}: the expert set '{name}': {error}", param=param) from error
            parts.append(Part(f"the dial '{name}'", param, edits))
        return parts

    def _own_part(self, request: SteeringRequest, *, root: str) -> Part:
        part = Part("the request's own edits", f"{root}.edits", request.edits)
        if not request.allow_super_experts:
            self._expert_sets.guard.check(part.edits, param=part.param, allowed_by=f"'{root}'")
        return part

    def _check_dials(
        self, dials: list[Part], *, plans: list[Part], own: Part, request: SteeringRequest, root: str
    ) -> None:
        if not dials:
            return
        check_together([*plans, *dials], self._model, strength=request.strength, param=f"{root}.dials")
        # A request's own edits may go against its plans: they are its last word. A dial is its word too.
        for dial in dials:
            check_pair(dial, own)

    def _fingerprint(
        self, named: list[Named], request: SteeringRequest, edits: tuple[Edit, ...], phases: tuple[Phase, ...]
    ) -> str | None:
        if len(named) == 1 and not request.edits and not request.dials:
            return named[0].stored.fingerprint
        if not edits:
            return None
        document = {"schema": "polyglyph.plan/1", "name": INLINE_NAME, "phases": phases, "edits": edits}
        allows = request.allow_super_experts or any(plan.stored.plan.allow_super_experts for plan in named)
        binding = self._model.binding
        return Plan.model_validate({**document, "model": binding, "allow_super_experts": allows}).fingerprint

    def _knows(self, case: tuple[tuple[str, ...], bool]) -> bool:
        if self._guard is not self._expert_sets.guard:
            self._guard = self._expert_sets.guard
            self._possible.clear()
        return case in self._possible

    def _remember(self, case: tuple[tuple[str, ...], bool]) -> None:
        if len(self._possible) >= MAX_REMEMBERED:
            self._possible.clear()
        self._possible.add(case)


def _names_of(named: list[Named]) -> str | tuple[str, ...] | None:
    names = tuple(plan.stored.plan.name for plan in named)
    return names if len(names) > 1 else next(iter(names), None)


def _phases_of(named: list[Named], request: SteeringRequest, *, param: str) -> tuple[Phase, ...]:
    if request.phases is not None or not named:
        return request.phases or PHASES
    first, *others = (plan.stored.plan for plan in named)
    for other in others:
        if set(other.phases) != set(first.phases):
            raise RequestError(
                f"{param}: the plan '{first.name}' applies to {', '.join(first.phases)} and the plan '{other.name}' to "
                f"{', '.join(other.phases)}; name 'phases' for both",
                param=param,
            )
    return first.phases
