"""The arms of a run: what was asked for by name, in every mode and at every temperature.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.evaluation.benchmark import Prompts
from polyglyph.analysis.evaluation.errors import ArmError
from polyglyph.analysis.evaluation.fields import Field, Steerable
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.plan_set import Pair, PlanSet
from polyglyph.analysis.evaluation.prompts import has_words, missing_field
from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    import numpy as np

    from polyglyph.analysis.rules.rule import Rule

Mode = Literal["thinking", "direct"]
ALL = "all"
POLICY = "policy"
"""Name of the rule that is the server's own: `"steering": "auto"`."""
ANY_PAIR = ("*", "*")
"""Pair of an arm that carries one field whatever the scripts."""
MAX_WRONG_SCRIPTS = 2


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which arms a run has.

    Attributes:
        names: Kinds (`random`), arms (`random-3`, `plan-direct-t1`), or `all`.
        modes: Thinking, direct or both.
        temperatures: 0 is greedy.
        num_samples: Answers per item above temperature 0.
        strength: Of the plans; the opposite has it negated.
        strengths: Of the sweep.
        num_draws: Random controls.
    """

    names: tuple[str, ...] = (ALL,)
    modes: tuple[Mode, ...] = ("thinking",)
    temperatures: tuple[float, ...] = (0.0,)
    num_samples: int = 1
    strength: float = 1.0
    strengths: tuple[float, ...] = (0.5, 1.5, 2.0)
    num_draws: int = 5


@dataclass(frozen=True, kw_only=True)
class Materials:
    """What arms are made of.

    Attributes:
        items: What is asked.
        prompts: The benchmark's words.
        plan_set: The plans to judge.
        steerable: The server.
        rules: What guesses source scripts, for `auto`.
        has_policy: Whether the server has a policy of its own with rules.
        frequencies_LE: How often each expert is selected, for the random controls; None where nobody measured.
    """

    items: Sequence[Item]
    prompts: Prompts
    plan_set: PlanSet
    steerable: Steerable
    rules: Sequence["Rule"] = ()
    has_policy: bool = False
    frequencies_LE: "np.ndarray[Any, Any] | None" = None

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of the items that have a plan."""
        found = {item.pair for item in self.items} & self.plan_set.plans.keys()
        if not found:
            raise ArmError("there is no plan for any pair of scripts of these items; name some with --plans")
        return tuple(sorted(found))


@dataclass(frozen=True)
class Arms:
    """The arms of a run.

    Attributes:
        arms: In the order of the report.
        left_out: Those that `all` does not hold here, with the reason.
    """

    arms: tuple[Arm, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


def make_arms(choice: Choice, materials: Materials) -> Arms:
    """Make the arms that were chosen.

    `none` is always there, in each mode and at each temperature, because all others are compared with it.

    Raises:
        ArmError: No arm has such a name here, or none of those that a name stands for can be had; the text says why.
            What else cannot be had is left out.
    """
    made: dict[str, Arm] = {}
    left_out: dict[str, str] = {}
    possible = list(_settings(choice, _makers(choice, materials)))
    _check_known(choice, [arm for arm, _ in possible])
    for arm, make in possible:
        if not (arm.kind is ArmKind.NONE or set(_names_of(arm)) & set(choice.names)):
            continue
        try:
            made[arm.name] = replace(arm, steering=make())
        except RequestError as error:
            left_out[arm.name] = str(error)
    for name in choice.names:
        named = [arm.name for arm, _ in possible if name in _names_of(arm)]
        if not made.keys() & set(named):
            raise ArmError(f"arm {named[0]!r}: {left_out[named[0]]}")
    return Arms(tuple(made.values()), left_out)


def _names_of(arm: Arm) -> tuple[str, str, str]:
    return ALL, arm.kind.value, arm.name


def _check_known(choice: Choice, possible: Sequence[Arm]) -> None:
    known = dict.fromkeys([ALL, *(arm.kind.value for arm in possible), *(arm.name for arm in possible)])
    unknown = sorted(set(choice.names) - known.keys())
    if unknown:
        raise ArmError(f"no arm is called {unknown[0]!r} here; there are {', '.join(known)}")


Make = Callable[[], Mapping[Pair, Any]]


def _settings(choice: Choice, makers: Iterable[tuple[Arm, Make]]) -> Iterator[tuple[Arm, Make]]:
    """Give every arm in every mode and at every temperature."""
    bases = [(arm, cache(make)) for arm, make in makers]
    for temperature in choice.temperatures:
        for mode in choice.modes:
            for arm, make in bases:
                if mode == "direct" and arm.kind is ArmKind.THINK_IN_SOURCE:
                    continue
                name = (
                    arm.name + ("-direct" if mode == "direct" else "") + (f"-t{temperature:g}" if temperature else "")
                )
                yield (
                    replace(
                        arm,
                        name=name,
                        is_thinking=mode == "thinking",
                        temperature=temperature,
                        num_samples=choice.num_samples if temperature else 1,
                    ),
                    make,
                )


def _makers(choice: Choice, materials: Materials) -> Iterator[tuple[Arm, Make]]:
    """Give the arms, thinking and greedy, and what makes the steering of each or says why there is none."""
    strength = choice.strength
    yield Arm(name="none", kind=ArmKind.NONE), dict
    yield Arm(name="plan", kind=ArmKind.PLAN), partial(_by_plan, materials, strength)
    for draw in range(1, choice.num_draws + 1):
        arm = Arm(name=f"random-{draw}", kind=ArmKind.RANDOM, draw=draw)
        yield arm, partial(_random, materials, strength, draw)
    for draw in range(1, MAX_WRONG_SCRIPTS + 1):
        arm = Arm(name=f"wrong-script-{draw}", kind=ArmKind.WRONG_SCRIPT, draw=draw)
        yield arm, partial(_wrong_script, materials, strength, draw)
    yield Arm(name="opposite", kind=ArmKind.OPPOSITE), partial(_by_plan, materials, -strength)
    for other in choice.strengths:
        yield Arm(name=f"strength-{other:g}", kind=ArmKind.STRENGTH), partial(_by_plan, materials, other)
    for kind, words in _PROMPTED.items():
        yield Arm(name=kind.value, kind=kind, prompt=words), partial(_words, materials, words)
    arm = Arm(name="hint+plan", kind=ArmKind.HINT_AND_PLAN, prompt="hint")
    yield arm, partial(_hint_and_plan, materials, strength)
    yield Arm(name=f"auto-{POLICY}", kind=ArmKind.AUTO, rule=POLICY), partial(_policy, materials)
    for rule in materials.rules:
        arm = Arm(name=f"auto-{rule.name}", kind=ArmKind.AUTO, rule=rule.name)
        yield arm, partial(_auto, materials, strength, rule)


_PROMPTED = {
    ArmKind.HINT: "hint",
    ArmKind.THINK_IN_SOURCE: "think_in_source",
    ArmKind.CONTEXT: "context",
}


def _words(materials: Materials, words: str) -> Mapping[Pair, Field]:
    """Check that the items can be asked with these words, which need no steering."""
    if not has_words(materials.prompts, words):
        raise ArmError(f"the benchmark has no prompt for {words!r}")
    # Where nothing has to be carried across scripts, or the task is another, an item may well lack them.
    needing = (item for item in materials.items if item.is_cross and item.task == "knowledge")
    lacking = [(item, name) for item in needing if (name := missing_field(item, materials.prompts, words))]
    if lacking:
        item, name = lacking[0]
        raise ArmError(f"{len(lacking)} items lack {name}, the first of them {item.id!r}")
    return {}


def _by_plan(materials: Materials, strength: float) -> Mapping[Pair, Field]:
    plans = materials.plan_set.plans
    return {pair: materials.steerable.field_of(plans[pair], strength=strength) for pair in materials.pairs}


def _hint_and_plan(materials: Materials, strength: float) -> Mapping[Pair, Field]:
    _words(materials, "hint")
    return _by_plan(materials, strength)


def _random(materials: Materials, strength: float, draw: int) -> Mapping[Pair, Field]:
    from polyglyph.analysis.search.random_matched import random_matched

    frequencies_LE = materials.frequencies_LE
    if frequencies_LE is None:
        raise ArmError("random controls need to know how often each expert is selected")

    def control(plan: Plan) -> Plan:
        return random_matched(plan, frequencies_LE, draw=draw)

    plans = materials.plan_set.plans
    return {pair: materials.steerable.field_of(control(plans[pair]), strength=strength) for pair in materials.pairs}


def _wrong_script(materials: Materials, strength: float, draw: int) -> Mapping[Pair, Field]:
    """Give each pair the plan of its query script and another source script.

    Questions in the script they were learned in have no right plan; here they get a wrong one too, which shows what a
    plan costs where there was nothing to mend.
    """
    queries = {query for query, _ in materials.pairs}
    at_home = {item.pair for item in materials.items if not item.is_cross and item.target_script in queries}
    return {
        pair: materials.steerable.field_of(_wrong_plan(materials.plan_set, pair, draw), strength=strength)
        for pair in (*materials.pairs, *sorted(at_home))
    }


def _wrong_plan(plan_set: PlanSet, pair: Pair, draw: int) -> Plan:
    """Give a plan of the same query script and another source script; each draw another one, while there are some."""
    query, source = pair
    right = plan_set.plans.get(pair)
    others = sorted(
        (other, plan.fingerprint)
        for (asked, other), plan in plan_set.plans.items()
        if asked == query and other != source and (right is None or plan.fingerprint != right.fingerprint)
    )
    if len(others) < draw:
        raise ArmError(
            f"there are {len(others)} plans for the query script {query} that differ from the one for {source}"
        )
    # Turned by the source script, so that no script is the wrong one more often than others.
    sources = sorted({source, *(other for asked, other in plan_set.plans if asked == query)})
    chosen, _ = others[(sources.index(source) + draw - 1) % len(others)]
    return plan_set.plans[query, chosen]


def _auto(materials: Materials, strength: float, rule: "Rule") -> Mapping[Pair, Field]:
    """Give the fields that a rule chooses among: those of all plans, and its own."""
    plans = {**materials.plan_set.plans, **rule.plans}
    if not plans:
        raise ArmError("there is no plan that the rule could choose")
    return {pair: materials.steerable.field_of(plan, strength=strength) for pair, plan in sorted(plans.items())}


def _policy(materials: Materials) -> Mapping[Pair, Any]:
    """Leave it to the server."""
    if not materials.has_policy:
        raise ArmError("the server's policy has no rules; set one with 'polyglyph policy push'")
    return {ANY_PAIR: "auto"}
