"""From a `steering` field to the edits in force: default, policy, and what the request names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from polyglyph.contract.edits import check_edits, check_model
from polyglyph.contract.entity_guess import EntityGuess
from polyglyph.contract.errors import (
    ConflictError,
    GuardedExpertError,
    RequestError,
    StartupError,
    UnknownPlanError,
)
from polyglyph.contract.expert_set import ExpertSet
from polyglyph.contract.model import ModelBinding, ModelDescription
from polyglyph.contract.pattern_library import Match
from polyglyph.contract.plan import PHASES, Edit, Phase, Plan
from polyglyph.contract.policy import Policy, PolicyTarget
from polyglyph.contract.probe_guess import ProbeGuess
from polyglyph.contract.steering import SteeringEcho, SteeringRequest, UnsteeredReason, parse_steering
from polyglyph.routing.scripts import is_script_of_text
from polyglyph.server.composing import Composer
from polyglyph.server.expert_sets import ExpertSetRegistry
from polyglyph.server.guessing import Guessed, PendingGuess, guess_by_words
from polyglyph.server.plans import PlanRegistry
from polyglyph.server.policies import PolicyStore

Source = Literal["request", "policy", "default"]
NOTHING_GUESSED = Guessed()


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What one request's steering comes to.

    `plan` and `fingerprint` are None where there is no plan and no edit.

    Attributes of note:
        plan: Name of the plan, or of each of several.
        dials: As asked, by expert set.
        guessed: What the policy guessed.
        reason: Why an `auto` request is not steered.
        pending: What has to be asked of the engine before anything else here is known.
    """

    source: Source
    plan: str | tuple[str, ...] | None = None
    dials: Mapping[str, float] | None = None
    fingerprint: str | None = None
    strength: float = 0.0
    phases: tuple[Phase, ...] = PHASES
    edits: tuple[Edit, ...] = ()
    guessed: Guessed = NOTHING_GUESSED
    reason: UnsteeredReason | None = None
    pending: PendingGuess | None = None

    @property
    def is_steered(self) -> bool:
        """Whether any token's routing may differ."""
        return bool(self.edits) and self.strength != 0.0

    @property
    def label(self) -> str | None:
        """Name for counting requests by: of several plans `a+b`, whatever their order; no plan can be called so."""
        return "+".join(sorted(self.plan)) if isinstance(self.plan, tuple) else self.plan

    @property
    def pattern(self) -> str | None:
        """Name of the pattern that chose; None where none was near enough."""
        match = self.guessed.match
        return match.pattern.name if match and match.pattern else None

    def echo(self, script: str, *, entity_script: str | None = None) -> SteeringEcho:
        """Give the response's `steering` field as far as it is known before the request ran."""
        return SteeringEcho(
            applied=self.is_steered,
            plan=self.plan,
            dials=dict(self.dials) if self.dials else None,
            fingerprint=self.fingerprint,
            strength=self.strength,
            phases=self.phases,
            source=self.source,
            request_script=script,
            entity_script=entity_script,
            guessed_source=self.guessed.source,
            guess=self.guessed.guess,
            reason=self.reason,
            pattern=self.pattern,
            similarity=self.guessed.match.similarity if self.guessed.match else None,
        )


class Resolver:
    """Resolves `steering` fields against the loaded model, the registries and the policy.

    Args:
        model: The loaded model.
        plans: The registry of plans.
        expert_sets: The registry of expert sets.
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
        expert_sets: ExpertSetRegistry,
        policies: PolicyStore,
        default: str = "off",
        allows_inline_edits: bool = True,
    ) -> None:
        self.model = model
        self.expert_sets = expert_sets
        self._plans = plans
        self._policies = policies
        self._default = parse_steering(default)
        self._composer = Composer(model, plans=plans, expert_sets=expert_sets, allows_inline_edits=allows_inline_edits)
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

    def settle(self, pending: PendingGuess, guessed: Guessed) -> Resolution:
        """Resolve a request whose probe has been read.

        Args:
            pending: What was asked.
            guessed: What the probe said.

        Raises:
            RequestError: The plan is gone or has become impossible.
        """
        return self._settle(pending.policy, pending.script, guessed)

    def suppose(self, *, script: str, source: str | None = None, pattern: str | None = None) -> Resolution:
        """Resolve an `auto` request as if its source script had been guessed, or a pattern matched; for dry runs.

        Raises:
            RequestError: There is no such pattern, or the plan is gone or has become impossible.
        """
        policy = self._policies.policy
        if pattern is not None:
            return self._settle(policy, script, Guessed(match=_match_of(policy, pattern)))
        guess = policy.guess_for(script)
        return self._settle(policy, script, Guessed(guess=guess.kind, source=source) if guess else NOTHING_GUESSED)

    def check_plan(self, plan: Plan, *, root: str = "plan") -> None:
        """Refuse a plan that the loaded model cannot be steered by.

        Raises:
            RequestError: `param` names the field path.
        """
        self._composer.check_plan(plan, root=root)

    def check_policy(self, policy: Policy, *, root: str = "policy") -> None:
        """Refuse a policy that names a plan or a script in vain, or reads the routing of another model.

        Raises:
            RequestError: `param` names the rule.
        """
        self._check_models(policy, root=root)
        for path, rule in policy.targets().items():
            param = f"{root}.{path}.plan"
            self._composer.check_stored(self._plans.find(rule.plan, param=param), rule.strength, param=param)
        for script in policy.scripts:
            if not is_script_of_text(script):
                raise RequestError(
                    f"{root}.scripts.{script}: no character has the script '{script}', so the rule would never apply; "
                    "Japanese text is Hira, Kana or Hani",
                    param=f"{root}.scripts.{script}",
                )

    def uses_of(self, name: str) -> tuple[str, ...]:
        """Say what names a plan: rules of the policy and the server's default."""
        return tuple(path for path, target in self._targets().items() if target.plan == name)

    def check_uses(self, plan: Plan) -> None:
        """Refuse to repoint a name whose rules in the policy the new content could not honour."""
        for rule in self._policies.policy.targets().values():
            if rule.plan == plan.name:
                check_edits(plan.edits, self.model, strength=rule.strength, param="plan.edits")

    def check_guard(self, experts: ExpertSet) -> None:
        """Refuse a guard that the policy's or the default's plans would run into, at every request.

        Raises:
            ConflictError: Names the plan and what names it.
        """
        guard = self.expert_sets.guard_with(experts)
        for path, target in self._targets().items():
            try:
                guard.check_plan(self._plans.find(target.plan, param=path).plan, root="plan")
            except UnknownPlanError:
                continue
            except GuardedExpertError as error:
                raise ConflictError(
                    f"experts.guard: the plan '{target.plan}' is in use by {path}: {error}", param="experts.guard"
                ) from error

    def _targets(self) -> dict[str, PolicyTarget]:
        """Give every plan that requests get without naming it, by what names it."""
        targets = {f"policy.{path}": target for path, target in self._policies.policy.targets().items()}
        if isinstance(self._default, SteeringRequest) and isinstance(self._default.plan, str):
            targets["--steering-default"] = PolicyTarget(plan=self._default.plan)
        return targets

    def _resolve(
        self, field: SteeringRequest | Literal["off"], source: Source, *, root: str, plan_param: str
    ) -> Resolution:
        if field == "off":
            return Resolution(source=source)
        composed = self._composer.compose(field, root=root, plan_param=plan_param)
        return Resolution(
            source=source,
            plan=composed.plan,
            dials=field.dials,
            fingerprint=composed.fingerprint,
            strength=field.strength,
            phases=composed.phases,
            edits=composed.edits,
        )

    def _by_policy(self, script: str, text: str) -> Resolution:
        policy = self._policies.policy
        self._check_models(policy, root="policy")
        guess = policy.guess_for(script)
        probe = guess if isinstance(guess, ProbeGuess) else None
        by_words = NOTHING_GUESSED
        if isinstance(guess, EntityGuess):
            by_words = Guessed(guess=guess.kind, source=guess_by_words(guess, text))
        if probe is None and policy.patterns is None:
            return self._settle(policy, script, by_words)
        pending = PendingGuess(policy=policy, script=script, by_words=by_words, probe=probe)
        return Resolution(source="policy", pending=pending)

    def _settle(self, policy: Policy, script: str, guessed: Guessed) -> Resolution:
        pattern = guessed.match.pattern if guessed.match else None
        choice = policy.choose_by_pattern(pattern) if pattern else policy.choose(script, source=guessed.source)
        guessed = replace(guessed, guess=None, source=None) if pattern else guessed
        if choice.target is None:
            return Resolution(source="policy", guessed=guessed, reason=choice.reason)
        target = choice.target
        request = SteeringRequest(plan=target.plan, strength=target.strength, phases=target.phases)
        resolution = self._resolve(request, "policy", root="policy", plan_param="policy")
        return replace(resolution, guessed=guessed)

    def _check_models(self, policy: Policy, *, root: str) -> None:
        """Refuse what reads the routing of another model."""
        if isinstance(policy.guess, ProbeGuess):
            self._check_model(policy.guess.model, what="the probe", param=f"{root}.guess.model")
        if policy.patterns is not None:
            self._check_model(policy.patterns.model, what="the pattern library", param=f"{root}.patterns.model")

    def _check_model(self, made_for: ModelBinding, *, what: str, param: str) -> None:
        advice = "fit one on the loaded model"
        check_model(made_for, self.model.binding, what=what, advice=advice, param=param)

    def _check_start(self) -> None:
        try:
            self.check_policy(self._policies.policy)
            self.resolve_default(script="Zyyy")
        except RequestError as error:
            raise StartupError(f"the settings do not fit the loaded model: {error}") from error


def _match_of(policy: Policy, name: str) -> Match:
    pattern = policy.patterns.find(name) if policy.patterns else None
    if pattern is None:
        names = ", ".join(pattern.name for pattern in policy.patterns.library) if policy.patterns else "none"
        raise RequestError(f"pattern: there is no pattern {name!r:.80}; the policy has {names}", param="pattern")
    return Match(pattern, 1.0)
