"""From a `steering` field to the edits in force: default, policy, plan and inline edits together."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from polyglyph.contract.edits import check_binding, check_edits, check_model
from polyglyph.contract.errors import ImpossibleEditError, RequestError, StartupError
from polyglyph.contract.guess import GuessKind
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.plan import PHASES, Edit, Phase, Plan
from polyglyph.contract.policy import Policy, PolicyTarget
from polyglyph.contract.probe_guess import ProbeGuess
from polyglyph.contract.steering import SteeringEcho, SteeringRequest, UnsteeredReason, parse_steering
from polyglyph.routing.scripts import is_script_of_text
from polyglyph.server.guessing import PendingGuess, guess_by_words
from polyglyph.server.plans import PlanRegistry, StoredPlan
from polyglyph.server.policies import PolicyStore

Source = Literal["request", "policy", "default"]
INLINE_NAME = "inline"
"""Name of the plan document that inline edits are fingerprinted as; a name is outside the fingerprint."""


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What one request's steering comes to.

    `plan` and `fingerprint` are None where there is no plan and no edit.

    Attributes of note:
        guess: How the policy guessed the source script; None where no plan hung on it.
        guessed_source: What it guessed; None where it was not sure.
        reason: Why an `auto` request is not steered.
        pending: What has to be asked of the engine before anything else here is known.
    """

    source: Source
    plan: str | None = None
    fingerprint: str | None = None
    strength: float = 0.0
    phases: tuple[Phase, ...] = PHASES
    edits: tuple[Edit, ...] = ()
    guess: GuessKind | None = None
    guessed_source: str | None = None
    reason: UnsteeredReason | None = None
    pending: PendingGuess | None = None

    @property
    def is_steered(self) -> bool:
        """Whether any token's routing may differ."""
        return bool(self.edits) and self.strength != 0.0

    def echo(self, script: str, *, entity_script: str | None = None) -> SteeringEcho:
        """Give the response's `steering` field as far as it is known before the request ran."""
        return SteeringEcho(
            applied=self.is_steered,
            plan=self.plan,
            fingerprint=self.fingerprint,
            strength=self.strength,
            phases=self.phases,
            source=self.source,
            request_script=script,
            entity_script=entity_script,
            guessed_source=self.guessed_source,
            guess=self.guess,
            reason=self.reason,
        )


class Resolver:
    """Resolves `steering` fields against the loaded model, the registry and the policy.

    Args:
        model: The loaded model.
        plans: The registry.
        policies: The policy in force.
        default: What an absent field gets: `off`, `auto` or a plan's name.
        allows_inline_edits: Whether requests may carry edits.

    Raises:
        StartupError: The default plan or the policy does not fit the loaded model.
    """

    def __init__(
        self,
        model: ModelDescription,
        *,
        plans: PlanRegistry,
        policies: PolicyStore,
        default: str = "off",
        allows_inline_edits: bool = True,
    ) -> None:
        self.model = model
        self._plans = plans
        self._policies = policies
        self._default = parse_steering(default)
        self._allows_inline_edits = allows_inline_edits
        self._possible: set[tuple[str, bool]] = set()
        self._check_start()

    def resolve(self, value: Any, *, script: str, text: str = "", root: str = "steering") -> Resolution:
        """Resolve the value of a request's `steering` field.

        Args:
            value: The JSON value as it came.
            script: The request script, for `auto`.
            text: The user's text, for a policy that guesses by its words.
            root: Name of the field, for error texts.

        Raises:
            RequestError: `param` names the field path.
        """
        field = parse_steering(value, root=root)
        if field == "auto":
            return self._by_policy(script, text)
        return self._resolve(field, "request", root=root, plan_param=root if isinstance(value, str) else f"{root}.plan")

    def resolve_default(self, *, script: str, text: str = "") -> Resolution:
        """Resolve what a request without a `steering` field gets."""
        if self._default == "auto":
            return self._by_policy(script, text)
        return self._resolve(self._default, "default", root="steering", plan_param="steering")

    def settle(self, pending: PendingGuess, source: str | None) -> Resolution:
        """Resolve a request whose probe has been read.

        Args:
            pending: What was asked.
            source: The guessed source script; None where the probe was not sure.

        Raises:
            RequestError: The plan is gone or has become impossible.
        """
        return self._settle(pending.policy, pending.script, guess=pending.probe.kind, source=source)

    def suppose(self, *, script: str, source: str) -> Resolution:
        """Resolve an `auto` request as if its source script had been guessed; for dry runs.

        Raises:
            RequestError: The plan is gone or has become impossible.
        """
        policy = self._policies.policy
        guess = policy.guess_for(script)
        return self._settle(policy, script, guess=guess.kind if guess else None, source=source if guess else None)

    def check_plan(self, plan: Plan, *, strength: float = 1.0, root: str = "plan") -> None:
        """Refuse a plan that the loaded model cannot be steered by.

        Raises:
            RequestError: `param` names the field path.
        """
        check_binding(plan, self.model.binding, param=f"{root}.model")
        check_edits(plan.edits, self.model, strength=strength, param=f"{root}.edits")

    def check_policy(self, policy: Policy, *, root: str = "policy") -> None:
        """Refuse a policy that names a plan or a script in vain, or probes another model.

        Raises:
            RequestError: `param` names the rule.
        """
        if isinstance(policy.guess, ProbeGuess):
            self._check_probe(policy.guess, root=root)
        for path, rule in policy.targets().items():
            self._check_rule(rule, param=f"{root}.{path}.plan")
        for script in policy.scripts:
            if not is_script_of_text(script):
                raise RequestError(
                    f"{root}.scripts.{script}: no character has the script '{script}', so the rule would never apply; "
                    "Japanese text is Hira, Kana or Hani",
                    param=f"{root}.scripts.{script}",
                )

    def uses_of(self, name: str) -> tuple[str, ...]:
        """Say what names a plan: rules of the policy and the server's default."""
        rules = [f"policy.{path}" for path, rule in self._policies.policy.targets().items() if rule.plan == name]
        is_default = isinstance(self._default, SteeringRequest) and self._default.plan == name
        return (*rules, *(["--steering-default"] if is_default else []))

    def check_uses(self, plan: Plan) -> None:
        """Refuse to repoint a name whose rules in the policy the new content could not honour."""
        for rule in self._policies.policy.targets().values():
            if rule.plan == plan.name:
                check_edits(plan.edits, self.model, strength=rule.strength, param="plan.edits")

    def _resolve(
        self, field: SteeringRequest | Literal["off"], source: Source, *, root: str, plan_param: str
    ) -> Resolution:
        if field == "off":
            return Resolution(source=source)
        return self._combine(field, source, root=root, plan_param=plan_param)

    def _by_policy(self, script: str, text: str) -> Resolution:
        policy = self._policies.policy
        guess = policy.guess_for(script)
        if guess is None:
            return self._settle(policy, script, guess=None, source=None)
        if isinstance(guess, ProbeGuess):
            self._check_probe(guess, root="policy")
            return Resolution(source="policy", pending=PendingGuess(policy=policy, probe=guess, script=script))
        return self._settle(policy, script, guess=guess.kind, source=guess_by_words(guess, text))

    def _settle(self, policy: Policy, script: str, *, guess: GuessKind | None, source: str | None) -> Resolution:
        choice = policy.choose(script, source=source)
        if choice.target is None:
            return Resolution(source="policy", guess=guess, guessed_source=source, reason=choice.reason)
        target = choice.target
        request = SteeringRequest(plan=target.plan, strength=target.strength, phases=target.phases)
        resolution = self._combine(request, "policy", root="policy", plan_param="policy")
        return replace(resolution, guess=guess, guessed_source=source)

    def _combine(self, request: SteeringRequest, source: Source, *, root: str, plan_param: str) -> Resolution:
        if request.edits and not self._allows_inline_edits:
            raise RequestError(
                f"{root}.edits: this server takes no inline edits (it was started with --no-inline-edits); name a plan",
                param=f"{root}.edits",
            )
        stored = None if request.plan is None else self._plans.find(request.plan, param=plan_param)
        plan_edits: tuple[Edit, ...] = ()
        if stored is not None:
            self._check_stored(stored, request.strength, param=plan_param)
            plan_edits = stored.plan.edits
        check_edits(request.edits, self.model, strength=request.strength, param=f"{root}.edits", after=plan_edits)
        phases = request.phases or (stored.plan.phases if stored else PHASES)
        edits = (*plan_edits, *request.edits)
        return Resolution(
            source=source,
            plan=stored.plan.name if stored else None,
            fingerprint=self._fingerprint(stored, request, edits, phases),
            strength=request.strength,
            phases=phases,
            edits=edits,
        )

    def _fingerprint(
        self, stored: StoredPlan | None, request: SteeringRequest, edits: tuple[Edit, ...], phases: tuple[Phase, ...]
    ) -> str | None:
        if stored is not None and not request.edits:
            return stored.fingerprint
        if not edits:
            return None
        document = {"schema": "polyglyph.plan/1", "name": INLINE_NAME, "phases": phases, "edits": edits}
        return Plan.model_validate({**document, "model": self.model.binding}).fingerprint

    def _check_stored(self, stored: StoredPlan, strength: float, *, param: str) -> None:
        # Checking thousands of edits takes milliseconds, and of the strength only the sign matters.
        case = (stored.fingerprint, strength < 0)
        if case in self._possible:
            return
        check_binding(stored.plan, self.model.binding, param=param)
        try:
            check_edits(stored.plan.edits, self.model, strength=strength, param="edits")
        except ImpossibleEditError as error:
            raise ImpossibleEditError(f"{param}: the plan '{stored.plan.name}': {error}", param=param) from error
        self._possible.add(case)

    def _check_rule(self, rule: PolicyTarget, *, param: str) -> None:
        self._check_stored(self._plans.find(rule.plan, param=param), rule.strength, param=param)

    def _check_probe(self, probe: ProbeGuess, *, root: str) -> None:
        advice = "fit one on the loaded model"
        check_model(probe.model, self.model.binding, what="the probe", advice=advice, param=f"{root}.guess.model")

    def _check_start(self) -> None:
        try:
            self.check_policy(self._policies.policy)
            self.resolve_default(script="Zyyy")
        except RequestError as error:
            raise StartupError(f"the settings do not fit the loaded model: {error}") from error
