"""The policy document: what it accepts, what it refuses with which path, and which plan it chooses."""

import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from polyglyph.contract.entity_guess import EntityGuess
from polyglyph.contract.errors import RequestError
from polyglyph.contract.plan import PHASES
from polyglyph.contract.policy import Policy, parse_policy
from polyglyph.contract.probe_guess import Classifier, ProbeGuess, selection_shares, source_probabilities

SCRIPTS = ("Latn", "Cyrl", "Deva", "Geor")
MODEL = {
    "architecture": "Qwen3MoeForCausalLM",
    "layers": 3,
    "experts": 2,
    "top_k": 1,
    "fingerprint": "sha256:" + "a" * 64,
}
TO_LATN = {"plan": "to-latn", "strength": 0.5}
SOURCES = {"Latn": TO_LATN, "Deva": {"plan": "to-deva"}}
BY_WORDS = {"kind": "entities", "words": {"kumiton": "Latn"}, "suffixes": {"pur": "Deva"}}
PROBE = {
    "kind": "probe",
    "model": MODEL,
    "scripts": ["Latn", "Cyrl", "Deva"],
    "layers": [2, 0],
    "threshold": 0.6,
    "classifier": {"weights": [[[1.0, 0.0]] * 2, [[0.0, 1.0]] * 2, [[0.0, 0.0]] * 2], "bias": [0.0, 0.0, -9.0]},
}


def policy_with(guess: Any, **rule: Any) -> dict[str, Any]:
    return {"scripts": {"Cyrl": {"sources": SOURCES, **rule}}, "guess": guess}


scripts = st.sampled_from(SCRIPTS)
targets = st.fixed_dictionaries(
    {"plan": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")},
    optional={
        "strength": st.floats(-16, 16),
        "phases": st.lists(st.sampled_from(PHASES), min_size=1, unique=True),
    },
)
sources = st.dictionaries(scripts, targets, min_size=1)
numbers = st.floats(-1e6, 1e6)
words = st.from_regex(r"\A[a-z0-9]{1,12}\Z")
by_words = st.fixed_dictionaries(
    {"kind": st.just("entities"), "by_entity_script": st.just(True)},
    optional={"words": st.dictionaries(words, scripts), "suffixes": st.dictionaries(words, scripts)},
)


@st.composite
def classifiers(draw: st.DrawFn, *, num_layers: int) -> dict[str, Any]:
    layer = st.lists(numbers, min_size=2, max_size=2)
    rows = st.lists(layer, min_size=num_layers, max_size=num_layers)
    return {
        "weights": draw(st.lists(rows, min_size=4, max_size=4)),
        "bias": draw(st.lists(numbers, min_size=4, max_size=4)),
    }


@st.composite
def probes(draw: st.DrawFn) -> dict[str, Any]:
    layers = draw(st.lists(st.integers(0, 2), min_size=1, unique=True))
    some = classifiers(num_layers=len(layers))
    probe = {"kind": "probe", "model": MODEL, "scripts": list(SCRIPTS), "layers": layers, "classifier": draw(some)}
    if draw(st.booleans()):
        probe["by_query"] = draw(st.dictionaries(scripts, some, min_size=1, max_size=2))
    return probe | draw(st.fixed_dictionaries({}, optional={"threshold": st.floats(0, 1)}))


guessing = st.fixed_dictionaries(
    {
        "scripts": st.dictionaries(scripts, st.builds(lambda rule, some: rule | {"sources": some}, targets, sources)),
        "otherwise": st.fixed_dictionaries({"sources": sources}),
        "guess": by_words | probes(),
    }
)
plain = st.fixed_dictionaries({"scripts": st.dictionaries(scripts, targets)}, optional={"otherwise": targets})
policies = plain | guessing


@given(policies)
def test_a_policy_survives_being_written_and_read(document: dict[str, Any]) -> None:
    policy = parse_policy(document)
    assert parse_policy(json.loads(json.dumps(policy.to_json()))) == policy


@given(policies, scripts, st.none() | scripts)
def test_a_choice_is_a_plan_of_the_policy_or_has_a_reason(
    document: dict[str, Any], script: str, source: str | None
) -> None:
    policy = parse_policy(document)
    choice = policy.choose(script, source=source)
    assert (choice.target is None) == (choice.reason is not None)
    assert choice.target is None or choice.target in policy.targets().values()


@given(plain)
def test_a_policy_of_the_first_release_reads_and_writes_as_it_did(document: dict[str, Any]) -> None:
    policy = parse_policy(document)
    assert policy.guess_for("Cyrl") is None
    rules = [*policy.to_json()["scripts"].values(), policy.to_json().get("otherwise", {})]
    assert all(set(rule) <= {"plan", "strength", "phases"} for rule in rules)
    assert "guess" not in policy.to_json()


@pytest.mark.parametrize(
    ("script", "source", "plan", "reason"),
    [
        ("Cyrl", "Latn", "to-latn", None),
        ("Cyrl", "Deva", "to-deva", None),
        ("Cyrl", None, "home", None),
        ("Cyrl", "Geor", None, "no_plan_for_source"),
        ("Cyrl", "Cyrl", None, "same_script"),
        ("Deva", "Latn", "to-latn", None),
        ("Deva", "Deva", None, "same_script"),
        ("Deva", None, None, "no_guess"),
    ],
)
def test_the_plan_hangs_on_both_scripts(script: str, source: str | None, plan: str | None, reason: str | None) -> None:
    rules = {"scripts": {"Cyrl": {"plan": "home", "sources": SOURCES}}, "otherwise": {"sources": SOURCES}}
    choice = parse_policy(rules | {"guess": BY_WORDS}).choose(script, source=source)
    assert (choice.target.plan if choice.target else None, choice.reason) == (plan, reason)


def test_without_a_rule_nothing_is_guessed() -> None:
    policy = parse_policy(policy_with(BY_WORDS))
    assert policy.guess_for("Cyrl") == policy.guess
    assert policy.guess_for("Latn") is None
    assert policy.choose("Latn", source=None).reason == "no_rule"


def test_every_plan_has_its_path() -> None:
    policy = parse_policy(policy_with(BY_WORDS, plan="home") | {"otherwise": {"plan": "other"}})
    assert sorted(policy.targets()) == [
        "otherwise",
        "scripts.Cyrl",
        "scripts.Cyrl.sources.Deva",
        "scripts.Cyrl.sources.Latn",
    ]


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


ROW = [[1.0, 0.0]] * 2
BAD = [
    ({"scripts": {"Cyrl": {}}}, "policy.scripts.Cyrl.plan"),
    ({"otherwise": {"strength": 1.0}}, "policy.otherwise.plan"),
    ({"otherwise": {"plan": "a", "phases": ["answer", "answer"]}}, "policy.otherwise.phases"),
    (policy_with(None), "policy.scripts.Cyrl.sources"),
    (policy_with(BY_WORDS, strength=2.0), "policy.scripts.Cyrl.strength"),
    (policy_with(BY_WORDS, phases=["answer"]), "policy.scripts.Cyrl.phases"),
    (policy_with(BY_WORDS, sources={}), "policy.scripts.Cyrl.sources"),
    (policy_with(BY_WORDS, sources={"Geor": TO_LATN}), "policy.scripts.Cyrl.sources.Geor"),
    (policy_with(BY_WORDS, sources={"Latn": {}}), "policy.scripts.Cyrl.sources.Latn.plan"),
    (policy_with(BY_WORDS, sources={"latin": TO_LATN}), "policy.scripts.Cyrl.sources.latin.[key]"),
    ({"scripts": {"Cyrl": TO_LATN}, "guess": BY_WORDS}, "policy.guess"),
    (policy_with({"kind": "magic"}), "policy.guess"),
    (policy_with({}), "policy.guess"),
    (policy_with([]), "policy.guess"),
    (policy_with(BY_WORDS | {"words": {"Кумитон": "Latn"}}), "policy.guess.words.Кумитон.[key]"),
    (policy_with(BY_WORDS | {"words": {"New York": "Latn"}}), "policy.guess.words.New York.[key]"),
    (policy_with(BY_WORDS | {"suffixes": {"": "Latn"}}), "policy.guess.suffixes..[key]"),
    (policy_with(BY_WORDS | {"suffixes": {"ton": "Latin"}}), "policy.guess.suffixes.ton"),
    (policy_with(BY_WORDS | {"prefixes": {}}), "policy.guess.prefixes"),
    (policy_with(without(PROBE, "model")), "policy.guess.model"),
    (policy_with(without(PROBE, "classifier")), "policy.guess"),
    (policy_with(PROBE | {"layers": []}), "policy.guess.layers"),
    (policy_with(PROBE | {"layers": [3, 0]}), "policy.guess"),
    (policy_with(PROBE | {"layers": [-1, 0]}), "policy.guess.layers[0]"),
    (policy_with(PROBE | {"layers": [0, 0]}), "policy.guess"),
    (policy_with(PROBE | {"layers": [0]}), "policy.guess"),
    (policy_with(PROBE | {"scripts": ["Latn", "Cyrl", "Latn"]}), "policy.guess"),
    (policy_with(PROBE | {"scripts": ["Latn", "Cyrl"]}), "policy.guess"),
    (policy_with(PROBE | {"threshold": 1.5}), "policy.guess.threshold"),
    (policy_with(PROBE | {"threshold": float("nan")}), "policy.guess.threshold"),
    (policy_with(PROBE | {"by_query": {}}), "policy.guess.by_query"),
    (
        policy_with(without(PROBE, "classifier") | {"by_query": {"Latn": PROBE["classifier"]}}),
        "policy.scripts.Cyrl.sources",
    ),
    (
        policy_with(PROBE | {"classifier": {"weights": [ROW] * 3, "bias": [0.0, 0.0, float("nan")]}}),
        "policy.guess.classifier.bias[2]",
    ),
    (
        policy_with(PROBE | {"classifier": {"weights": [ROW, ROW, [[1.0, float("inf")]] * 2], "bias": [0.0] * 3}}),
        "policy.guess.classifier.weights[2][0][1]",
    ),
    (policy_with(PROBE | {"classifier": {"weights": [ROW] * 3, "bias": [0.0] * 2}}), "policy.guess"),
    (policy_with(PROBE | {"classifier": {"weights": [[[1.0] * 3] * 2] * 3, "bias": [0.0] * 3}}), "policy.guess"),
    (policy_with(PROBE | {"classifier": {"weights": [["1", 0.0]], "bias": [0.0]}}), "policy.guess.classifier.weights"),
]


@pytest.mark.parametrize(("document", "param"), BAD, ids=lambda value: str(value)[:60])
def test_what_is_wrong_is_refused_with_its_path(document: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_policy(document)
    assert refused.value.param is not None
    assert refused.value.param.startswith(param)


@pytest.mark.parametrize(
    ("entities", "others", "source"),
    [
        ([], [], None),
        (["kumiton"], ["gorodpur"], "Latn"),
        (["gorodpur"], ["kumiton"], "Deva"),
        (["gorodpur", "kumiton"], [], "Latn"),
        (["gorodpur", "livegrov"], [], None),
        (["unknown"], ["livegrov"], "Cyrl"),
        (["unknown"], ["livegrov", "gorodpur"], None),
        (["unknown"], ["unknown"], None),
        (["agrov"], [], "Geor"),
        (["grov"], [], "Geor"),
        (["v"], [], None),
    ],
)
def test_tables_are_looked_up_from_the_surest_word_to_the_least(
    entities: list[str], others: list[str], source: str | None
) -> None:
    suffixes = {"pur": "Deva", "rov": "Cyrl", "egrov": "Cyrl", "grov": "Geor"}
    guess = EntityGuess(kind="entities", words={"kumiton": "Latn"}, suffixes=suffixes)
    assert guess.source_of(entities=entities, others=others, entity_script="Hebr") == source


def test_the_entities_own_script_counts_when_asked_for_and_the_tables_know_nothing() -> None:
    guess = EntityGuess(kind="entities", suffixes={"pur": "Deva"}, by_entity_script=True)
    assert guess.source_of(entities=["paris"], others=["gorodpur"], entity_script="Latn") == "Latn"
    assert guess.source_of(entities=["jaipur"], others=[], entity_script="Latn") == "Deva"
    assert guess.source_of(entities=[], others=["gorodpur"]) == "Deva"


def probe(**fields: Any) -> ProbeGuess:
    return ProbeGuess.model_validate(PROBE | fields)


def test_the_probe_reads_the_layers_it_names_in_their_order() -> None:
    selected_LE = np.array([[0, 10], [5, 5], [0, 3]])
    assert probe().source_of(selected_LE, query_script="Cyrl") == "Cyrl"
    assert probe().source_of(selected_LE[:, ::-1], query_script="Cyrl") == "Latn"


def test_a_probe_that_is_not_sure_guesses_nothing() -> None:
    even_LE = np.full((3, 2), 7)
    assert probe().source_of(even_LE, query_script="Cyrl") is None
    assert probe(threshold=0.0).source_of(even_LE, query_script="Cyrl") == "Latn"


def test_a_query_script_may_have_its_own_classifier() -> None:
    own = {"weights": [ROW] * 3, "bias": [0.0, 0.0, 9.0]}
    selected_LE = np.array([[9, 1], [5, 5], [9, 1]])
    assert probe(by_query={"Geor": own}).source_of(selected_LE, query_script="Geor") == "Deva"
    assert probe(by_query={"Geor": own}).source_of(selected_LE, query_script="Cyrl") == "Latn"
    only = probe(by_query={"Geor": own}, classifier=None)
    assert only.source_of(selected_LE, query_script="Cyrl") is None


@pytest.mark.parametrize("selected_LE", [np.zeros((3, 2), int), np.ones((2, 2), int), np.ones((3, 3), int)])
def test_counts_that_are_empty_or_of_another_model_are_no_guess_but_an_error(selected_LE: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"counted|expected"):
        probe().source_of(selected_LE, query_script="Cyrl")


@given(st.lists(st.lists(st.integers(0, 10**12), min_size=2, max_size=2), min_size=2, max_size=2), st.data())
def test_probabilities_are_of_one_whole_whatever_the_weights(counts: list[list[int]], data: st.DataObject) -> None:
    classifier = Classifier.model_validate(data.draw(classifiers(num_layers=2)))
    selected_LE = np.array(counts) + np.array([[1, 0], [0, 1]])
    probabilities = source_probabilities(classifier, selection_shares(selected_LE))
    assert np.isfinite(probabilities).all()
    assert probabilities.sum() == pytest.approx(1)


def test_a_policy_is_empty_unless_told() -> None:
    assert parse_policy({}) == Policy()
    assert Policy().choose("Latn").reason == "no_rule"
