"""Auto: rules fitted on development items, tried on them out of fold, and the policy that puts the best on a server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.rules.away import AwayRule
from polyglyph.analysis.rules.entities import EntitiesRule, fit_entities
from polyglyph.analysis.rules.errors import RuleError
from polyglyph.analysis.rules.example import Example, example_of, guesses_out_of_fold
from polyglyph.analysis.rules.probe import PENALTIES, ProbeRule, fit_probe
from polyglyph.analysis.rules.rule import ANY_SOURCE, FirstPass, Rule, Seen
from polyglyph.analysis.rules.rule_file import GuessingRule, PlansRule
from polyglyph.analysis.search.direction import field_of
from polyglyph.analysis.search.objective import Bench, Measured
from polyglyph.analysis.search.sample import KNOWLEDGE, Sample
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import Plan
from polyglyph.contract.policy import Policy, PolicyRule, PolicyTarget, parse_policy

Fit = Callable[[Sequence[Example]], Rule]


@dataclass(frozen=True, eq=False, kw_only=True)
class RuleTrial:
    """A rule on development items.

    Attributes:
        rule: Fitted on all of them.
        guess_rate: Share of the knowledge items whose source script it guessed, out of fold; None for a rule that
            does not guess.
        measured: What the answers were when its guesses, out of fold, chose the plans.
        value: The objective; guards are steered as it has them.
    """

    rule: Rule
    guess_rate: float | None
    measured: Measured
    value: float

    def to_json(self) -> dict[str, Any]:
        """Give the figures as plain JSON types."""
        guessed = {} if self.guess_rate is None else {"guessed_right": round(self.guess_rate, 4)}
        return {"objective": round(self.value, 5), **guessed, **self.measured.to_json()}

    @property
    def document(self) -> GuessingRule | PlansRule:
        """The rule as a rule file holds it."""
        development = self.to_json()
        if isinstance(self.rule, EntitiesRule):
            return GuessingRule(name=self.rule.name, guess=self.rule.table, development=development)
        if isinstance(self.rule, ProbeRule):
            return GuessingRule(name=self.rule.name, guess=self.rule.classifier, development=development)
        plans = {query: plan for (query, _), plan in self.rule.plans.items()}
        return PlansRule(name=self.rule.name, plans=plans, development=development)


async def try_rules(
    bench: Bench,
    development: Sample,
    asked: Sample,
    unsteered: Measured,
    *,
    fields: Mapping[Pair, Any],
    away: Mapping[str, Plan],
    model: ModelBinding,
    guard_weight: float,
) -> tuple[list[RuleTrial], dict[str, str]]:
    """Fit every rule and try it.

    Args:
        bench: Asks.
        development: All development items: what rules are fitted on, and guess out of fold.
        asked: Those of them that are asked with the plans that were guessed.
        unsteered: The same without steering.
        fields: The `steering` field of every pair.
        away: Plans of the rule that needs no source, by query script; empty for no such rule.
        model: Whose routing is probed.
        guard_weight: Of the objective.

    Returns:
        The trials, best first, and by name why a rule could not be had.
    """
    items = (*development.aims, *development.guards)
    seen = dict(zip((item.id for item in items), await _probes(bench, items), strict=True))
    examples = [example_of(item, seen[item.id]) for item in items]
    makers: dict[str, Callable[[], tuple[Rule, list[str | None]]]] = {
        "entities": lambda: _fitted(items, examples, fit_entities),
        "probe": lambda: _fitted(items, examples, _probe_fit(items, examples, model)),
    }
    if away:
        makers["away"] = lambda: (
            AwayRule(away),
            [ANY_SOURCE if item.target_script in away else None for item in items],
        )
    own = {(query, ANY_SOURCE): field_of(plan) for query, plan in away.items()}
    trials, left_out = [], {}
    for name, make in makers.items():
        try:
            rule, guesses = make()
        except RuleError as error:
            left_out[name] = str(error)
            continue
        steering = {
            item.id: None if guess is None else {**fields, **own}.get((item.target_script, guess))
            for item, guess in zip(items, guesses, strict=True)
        }
        measured = await bench.ask(asked, steering)
        trials.append(
            RuleTrial(
                rule=rule,
                guess_rate=None if rule.plans else _guess_rate(items, guesses),
                measured=measured,
                value=measured.value(unsteered, guard_weight=guard_weight),
            )
        )
    return sorted(trials, key=lambda trial: -trial.value), left_out


def policy_of(trial: RuleTrial, plans: Mapping[Pair, Plan]) -> Policy:
    """Give the policy that serves `auto` requests by a rule; its plans must be on the server under their names."""
    document = trial.document
    if isinstance(document, PlansRule):
        scripts = {query: PolicyRule(plan=plan.name) for query, plan in document.plans.items()}
        return Policy(scripts=scripts)
    can_guess = document.guess.sources()
    sources: dict[str, dict[str, PolicyTarget]] = {}
    for (query, source), plan in sorted(plans.items()):
        if can_guess is None or source in can_guess:
            sources.setdefault(query, {})[source] = PolicyTarget(plan=plan.name)
    policy = Policy(
        scripts={query: PolicyRule(sources=targets) for query, targets in sources.items()}, guess=document.guess
    )
    return parse_policy(policy.to_json())


async def _probes(bench: Bench, items: Sequence[Item]) -> list[Seen]:
    return await bench.asker.first_passes(items, FirstPass(max_tokens=1, wants_routing=True))


def _fitted(items: Sequence[Item], examples: Sequence[Example], fit: Fit) -> tuple[Rule, list[str | None]]:
    """Fit on knowledge; items of other tasks, which no source script belongs to, are guessed by the whole fit."""
    known = [index for index, item in enumerate(items) if item.task == KNOWLEDGE]
    rule = fit([examples[index] for index in known])
    out_of_fold = dict(zip(known, guesses_out_of_fold([examples[index] for index in known], fit), strict=True))
    return rule, [
        out_of_fold[index]
        if index in out_of_fold
        else rule.guess(example.question, query_script=example.query_script, seen=example.seen)
        for index, example in enumerate(examples)
    ]


def _probe_fit(items: Sequence[Item], examples: Sequence[Example], model: ModelBinding) -> Fit:
    """Choose the probe's penalty out of fold."""
    known = [example for item, example in zip(items, examples, strict=True) if item.task == KNOWLEDGE]

    def fit_with(penalty: float) -> Fit:
        return lambda chosen: fit_probe(chosen, model=model, penalty=penalty)

    def num_right(penalty: float) -> int:
        guesses = guesses_out_of_fold(known, fit_with(penalty))
        return sum(guess == example.source_script for guess, example in zip(guesses, known, strict=True))

    return fit_with(max(PENALTIES, key=num_right))


def _guess_rate(items: Sequence[Item], guesses: Sequence[str | None]) -> float:
    right = [guess == item.source_script for item, guess in zip(items, guesses, strict=True) if item.task == KNOWLEDGE]
    return sum(right) / len(right)
