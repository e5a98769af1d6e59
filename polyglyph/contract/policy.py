"""The policy: which plan an `auto` request gets, by its routing, its request script and its guessed source script."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from polyglyph.contract.base import Document, Location, ScriptCode, as_request_error, read_json
from polyglyph.contract.errors import RequestError
from polyglyph.contract.guess import Guess
from polyglyph.contract.pattern_library import Pattern, PatternLibrary
from polyglyph.contract.plan import PLAN_NAME_PATTERN
from polyglyph.contract.probe_guess import ProbeGuess
from polyglyph.contract.steering import DistinctPhases, Strength, UnsteeredReason

__all__ = [
    "Policy",
    "PolicyChoice",
    "PolicyRule",
    "PolicyTarget",
    "ScriptCode",
    "load_policy",
    "parse_policy",
]


class PolicyTarget(Document):
    """A plan and how it is applied."""

    plan: str = Field(pattern=PLAN_NAME_PATTERN)
    strength: Strength = 1.0
    phases: DistinctPhases | None = None


class PolicyRule(Document):
    """What one request script gets.

    Attributes:
        plan: Plan of requests whose source script is not guessed; None for no steering.
        strength: Of that plan.
        phases: Of that plan.
        sources: Plans by guessed source script, chosen before `plan`.
    """

    plan: str | None = Field(default=None, pattern=PLAN_NAME_PATTERN)
    strength: Strength = 1.0
    phases: DistinctPhases | None = None
    sources: dict[ScriptCode, PolicyTarget] | None = Field(default=None, min_length=1, max_length=200)

    @property
    def fall_back(self) -> PolicyTarget | None:
        """What requests without a guess get; None for no steering."""
        if self.plan is None:
            return None
        return PolicyTarget(plan=self.plan, strength=self.strength, phases=self.phases)


@dataclass(frozen=True)
class PolicyChoice:
    """What a policy comes to for one request.

    Attributes:
        target: The plan; None for no steering.
        reason: Why there is no steering; None where there is.
    """

    target: PolicyTarget | None
    reason: UnsteeredReason | None = None


class Policy(Document):
    """A policy document, `polyglyph.policy/1`; a script without a rule gets `otherwise`, or no steering.

    Attributes:
        scripts: Rules by request script.
        otherwise: The rule of every other request script.
        guess: How the source script is guessed; needed where a rule has `sources`.
        patterns: Asked before the rules, whatever the request script: the nearest pattern's plan, where one is near.
    """

    schema_: Literal["polyglyph.policy/1"] = Field(default="polyglyph.policy/1", alias="schema")
    scripts: dict[ScriptCode, PolicyRule] = Field(default_factory=dict)
    otherwise: PolicyRule | None = None
    guess: Guess | None = None
    patterns: PatternLibrary | None = None

    def rule_for(self, script: str) -> PolicyRule | None:
        """Give the rule of a request script, or None for no steering."""
        return self.scripts.get(script, self.otherwise)

    def guess_for(self, script: str) -> Guess | None:
        """Give how the source of requests in a script is guessed; None where no plan hangs on it."""
        rule = self.rule_for(script)
        if rule is None or rule.sources is None:
            return None
        is_blind = isinstance(self.guess, ProbeGuess) and self.guess.classifier_of(script) is None
        return None if is_blind else self.guess

    def choose(self, script: str, *, source: str | None = None) -> PolicyChoice:
        """Choose the plan of a request.

        A guessed source that the rule does not name is not steered: a plan towards another script would only do harm.
        Neither is, under `otherwise`, a request in the guessed source's own script, whose knowledge is within reach.

        Args:
            script: The request script.
            source: The guessed source script; None where nothing was guessed.
        """
        rule = self.rule_for(script)
        if rule is None:
            return PolicyChoice(None, "no_rule")
        if source is None:
            return PolicyChoice(rule.fall_back, None if rule.plan else "no_guess")
        if source == script and script not in self.scripts:
            return PolicyChoice(None, "same_script")
        target = (rule.sources or {}).get(source)
        unlisted: UnsteeredReason = "same_script" if source == script else "no_plan_for_source"
        return PolicyChoice(target, None if target else unlisted)

    def choose_by_pattern(self, pattern: Pattern) -> PolicyChoice:
        """Choose the plan of a request whose routing is near a pattern's."""
        target = _target_of(pattern)
        return PolicyChoice(target, None if target else "no_plan_for_pattern")

    def rules(self) -> dict[str, PolicyRule]:
        """Give every rule by its field path."""
        named = {f"scripts.{script}": rule for script, rule in self.scripts.items()}
        return named | ({"otherwise": self.otherwise} if self.otherwise else {})

    def targets(self) -> dict[str, PolicyTarget]:
        """Give every plan that may be chosen, by its field path."""
        found = {}
        for path, rule in self.rules().items():
            if rule.fall_back is not None:
                found[path] = rule.fall_back
            found |= {f"{path}.sources.{source}": target for source, target in (rule.sources or {}).items()}
        for index, pattern in enumerate(self.patterns.library if self.patterns else ()):
            if (target := _target_of(pattern)) is not None:
                found[f"patterns.library[{index}]"] = target
        return found

    def to_json(self) -> dict[str, Any]:
        """Give the document as plain JSON values, what is absent left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def parse_policy(document: Any, *, root: str = "policy") -> Policy:
    """Read a policy from JSON values.

    Raises:
        RequestError: `param` names the field path.
    """
    try:
        policy = Policy.model_validate(document)
    except ValidationError as error:
        raise as_request_error(error, root=root, locate=_without_kind) from error
    _refuse_without_effect(policy, root=root)
    return policy


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        RequestError: The file is no JSON or no policy; the text names the file.
    """
    return parse_policy(read_json(path, kind="policy"), root=path.name)


def _target_of(pattern: Pattern) -> PolicyTarget | None:
    if pattern.plan is None:
        return None
    return PolicyTarget(plan=pattern.plan, strength=pattern.strength, phases=pattern.phases)


def _without_kind(location: Location) -> Location:
    """Take out the guess's kind, which pydantic puts into the path though no field is called so."""
    return location[:1] + location[2:] if location[:1] == ("guess",) else location


def _refuse_without_effect(policy: Policy, *, root: str) -> None:
    """An option that would change nothing is an error."""
    for path, rule in policy.rules().items():
        _refuse_idle_rule(policy, rule, path=f"{root}.{path}", script=path.removeprefix("scripts."))
    if policy.guess is not None and not any(rule.sources for rule in policy.rules().values()):
        raise RequestError(
            f"{root}.guess: no rule has 'sources', so that nothing would hang on the guess", param=f"{root}.guess"
        )


def _refuse_idle_rule(policy: Policy, rule: PolicyRule, *, path: str, script: str) -> None:
    if rule.plan is None and rule.sources is None:
        raise RequestError(f"{path}.plan: a rule needs 'plan', 'sources', or both", param=f"{path}.plan")
    for field in ("strength", "phases"):
        if rule.plan is None and getattr(rule, field) != PolicyRule.model_fields[field].default:
            raise RequestError(
                f"{path}.{field}: belongs to the rule's own plan, and there is none; those of 'sources' have theirs",
                param=f"{path}.{field}",
            )
    if rule.sources is None:
        return
    if policy.guess is None:
        raise RequestError(
            f"{path}.sources: plans by source script need 'guess', which says how the source is found",
            param=f"{path}.sources",
        )
    if script in policy.scripts and policy.guess_for(script) is None:
        raise RequestError(
            f"{path}.sources: the probe has no classifier for questions in {script}; add one to 'guess.by_query', or "
            "one for all as 'guess.classifier'",
            param=f"{path}.sources",
        )
    can_guess = policy.guess.sources()
    for source in rule.sources:
        if can_guess is not None and source not in can_guess:
            raise RequestError(
                f"{path}.sources.{source}: the guess never gives '{source}', so this would never apply",
                param=f"{path}.sources.{source}",
            )
