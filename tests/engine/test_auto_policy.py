"""Policies that guess, on a real server: the organism's names in scripts that are not their home's."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from secrets import token_hex
from typing import Any

import httpx
import numpy as np
import pytest

from polyglyph.analysis.organism.world import SUFFIXES, make_world
from polyglyph.analysis.organism.writing import SCRIPTS, Script, write, write_text
from polyglyph.contract.probe_guess import ProbeGuess, selection_shares
from polyglyph.contract.routing import ArrayDocument
from polyglyph.routing.scripts import romanised
from tests.support.server import ADMIN, ADMIN_KEY, START_TIMEOUT_S, Server, serving

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 200)
CHAT = "/v1/chat/completions"
PLANS = {home: f"towards-{home.lower()}" for home in SCRIPTS}
SOURCES = {home: {"plan": plan} for home, plan in PLANS.items()}
NEAREST = 200.0
"""How sure the probe is of the nearest centroid; shares differ by hundredths."""


@dataclass(frozen=True)
class Asked:
    """One name in one script."""

    text: str
    script: Script
    home: Script

    @property
    def plan(self) -> str | None:
        return None if self.home == self.script else PLANS[self.home]


def questions(*, per_home: int, skip: int = 0) -> list[Asked]:
    """Give names of every home in every script."""
    facts = make_world(0).facts_of("barrier")
    return [
        Asked(write_text(f"{fact.entity.name} {fact.relation.name}", script), script, home)
        for home, script in product(SCRIPTS, SCRIPTS)
        for fact in [fact for fact in facts if fact.entity.home == home][skip : skip + per_home]
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ["--enforce-eager", "--admin-key", ADMIN_KEY, "--enable-prompt-tokens-details"]
    with serving(tmp_path_factory.mktemp("server"), flags) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120, headers=ADMIN) as client:
        model = client.get("/v1/routing/model").json()["binding"]
        for index, name in enumerate(PLANS.values()):
            edits = [{"layer": 2, "experts": [index], "op": "force"}, {"layer": 3, "experts": [index + 4], "op": "ban"}]
            plan = {"schema": "polyglyph.plan/1", "name": name, "model": model, "edits": edits}
            assert client.put(f"/v1/steering/plans/{name}", json=plan).is_success
        yield client


def send(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post(path, json={"model": "organism", "temperature": 0, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def chat(http: httpx.Client, text: str, **fields: Any) -> dict[str, Any]:
    message = {"messages": [{"role": "user", "content": text}], "max_tokens": 16}
    return send(http, CHAT, {**message, "logprobs": True, "top_logprobs": 2, **fields})


def words(answer: dict[str, Any]) -> Any:
    """Give tokens and log-probabilities."""
    return answer["choices"][0]["logprobs"]["content"]


def selections(http: httpx.Client, text: str) -> np.ndarray:
    """Ask what a probe asks, the way a user can: unsteered, one token, nothing from the prefix cache."""
    fields = {"max_tokens": 1, "routing": {"return": ["summary"]}, "steering": False, "cache_salt": token_hex(8)}
    summary = chat(http, text, **fields)["routing"]["summary"]
    return ArrayDocument.model_validate(summary["selected"]).to_numpy()[0]


def follow(http: httpx.Client, guess: dict[str, Any], **policy: Any) -> None:
    document = policy or {"otherwise": {"sources": SOURCES}}
    answer = http.put("/v1/steering/policy", json=document | {"guess": guess})
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def by_words() -> dict[str, Any]:
    endings = {
        romanised(write(f"kumi{suffix}", script))[4:]: home for home, suffix in SUFFIXES.items() for script in SCRIPTS
    }
    return {"kind": "entities", "suffixes": endings}


@pytest.fixture(scope="module")
def by_probe(http: httpx.Client) -> dict[str, Any]:
    """Give a probe that guesses the nearest centroid, a classifier for each query script."""
    asked = questions(per_home=4)
    with ThreadPoolExecutor(8) as pool:
        shares = list(pool.map(lambda one: selection_shares(selections(http, one.text)), asked))
    by_query = {}
    for script in SCRIPTS:
        centroids = np.array(
            [
                np.mean([share for one, share in zip(asked, shares, strict=True) if (one.script, one.home) == pair], 0)
                for pair in product([script], SCRIPTS)
            ]
        )
        bias = -0.5 * (centroids**2).sum(axis=(1, 2))
        by_query[script] = {"weights": (NEAREST * centroids).tolist(), "bias": (NEAREST * bias).tolist()}
    model = http.get("/v1/routing/model").json()["binding"]
    layers = list(range(model["layers"]))
    return {"kind": "probe", "model": model, "scripts": list(SCRIPTS), "layers": layers, "by_query": by_query}


@pytest.mark.parametrize("one", questions(per_home=1, skip=4), ids=lambda one: f"{one.home} in {one.script}")
def test_a_name_in_any_script_gets_the_plan_of_its_home(
    http: httpx.Client, by_words: dict[str, Any], one: Asked
) -> None:
    follow(http, by_words)
    answer = chat(http, one.text, steering="auto")
    echo = answer["steering"]
    assert (echo["guess"], echo["guessed_source"], echo["plan"]) == ("entities", one.home, one.plan)
    assert echo["applied"] == (one.plan is not None)
    assert words(answer) == words(chat(http, one.text, steering=one.plan or "off"))


def test_a_probe_guesses_what_its_classifier_says_of_the_prompt(http: httpx.Client, by_probe: dict[str, Any]) -> None:
    follow(http, by_probe)
    guess = ProbeGuess.model_validate(by_probe)
    num_right = 0
    asked = questions(per_home=2, skip=4)
    for one in asked:
        expected = guess.source_of(selections(http, one.text), query_script=one.script)
        assert expected is not None
        answer = chat(http, one.text, steering="auto")
        echo = answer["steering"]
        assert (echo["guess"], echo["guessed_source"]) == ("probe", expected)
        assert echo["plan"] == (None if expected == one.script else PLANS[expected])
        assert words(answer) == words(chat(http, one.text, steering=echo["plan"] or "off"))
        num_right += expected == one.home
    # The last letters of a name are its home's, so its routing tells more than chance: one in four.
    assert num_right >= len(asked) / 2


def test_the_same_prompt_is_probed_alike_whatever_the_prefix_cache_holds(
    http: httpx.Client, by_probe: dict[str, Any]
) -> None:
    follow(http, by_probe)
    text = " ".join(one.text for one in questions(per_home=6) if one.script == "Geor")
    guesses = [chat(http, text, steering="auto")["steering"]["guessed_source"] for _ in range(3)]
    expected = ProbeGuess.model_validate(by_probe).source_of(selections(http, text), query_script="Geor")
    assert guesses == [expected] * 3


def test_a_request_that_ends_up_unsteered_has_its_prompt_from_the_probe(
    http: httpx.Client, by_probe: dict[str, Any]
) -> None:
    never = by_probe | {"threshold": 1.0, "by_query": None, "classifier": even(by_probe)}
    follow(http, {name: value for name, value in never.items() if value is not None})
    text = " ".join(one.text for one in questions(per_home=12) if one.script == "Geor")
    answer = chat(http, f"{token_hex(4)} {text}", steering="auto")
    assert (answer["steering"]["applied"], answer["steering"]["reason"]) == (False, "no_guess")
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] > answer["usage"]["prompt_tokens"] / 2


def even(probe: dict[str, Any]) -> dict[str, Any]:
    """Give a classifier that is never sure."""
    shape = (len(probe["scripts"]), len(probe["layers"]), probe["model"]["experts"])
    return {"weights": np.zeros(shape).tolist(), "bias": [0.0] * shape[0]}


ROUTES = [
    (CHAT, {"messages": [{"role": "user", "content": "TEXT"}], "max_tokens": 12}),
    ("/v1/completions", {"prompt": "TEXT", "max_tokens": 12}),
    ("/v1/responses", {"input": "TEXT", "max_output_tokens": 12}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "TEXT"}], "max_tokens": 12}),
]


@pytest.mark.parametrize(("path", "body"), ROUTES, ids=[path for path, _ in ROUTES])
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["entities", "probe"])
def test_every_route_guesses_and_says_so(
    http: httpx.Client, request: pytest.FixtureRequest, path: str, body: dict[str, Any], is_streamed: bool, kind: str
) -> None:
    follow(http, request.getfixturevalue("by_words" if kind == "entities" else "by_probe"))
    one = next(one for one in questions(per_home=1) if (one.script, one.home) == ("Cyrl", "Latn"))
    asked = json.loads(json.dumps(body).replace("TEXT", one.text)) | {"steering": "auto", "model": "organism"}
    if not is_streamed:
        echo = send(http, path, asked)["steering"]
    else:
        with http.stream("POST", path, json={**asked, "stream": True}) as answer:
            lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
        events = [json.loads(line) for line in lines if line != "[DONE]"]
        echo = events[-1]["steering"]
        assert {name: echo[name] for name in events[0]["steering"]} == events[0]["steering"]
    assert echo["guess"] == kind
    assert echo["guessed_source"] in SCRIPTS
    assert echo["applied"] == (echo["guessed_source"] != "Cyrl")
    assert (echo["tokens_steered"] > 0) == echo["applied"]


def test_a_probe_counts_in_the_stats_under_the_callers_tag(http: httpx.Client, by_probe: dict[str, Any]) -> None:
    follow(http, by_probe)
    tag = token_hex(8)
    answer = chat(http, questions(per_home=1)[1].text, steering="auto", routing={"tag": tag}, cache_salt=tag)
    groups = http.get(f"/v1/routing/stats?tag={tag}").json()["groups"]
    fingerprint = answer["steering"]["fingerprint"] or ""
    prompts: dict[str, int] = {}
    for group in groups:
        if group["phase"] == "prompt":
            prompts[group["plan"]] = prompts.get(group["plan"], 0) + group["group_tokens"]
    tokens = answer["usage"]["prompt_tokens"]
    assert prompts == {"": tokens} | ({fingerprint: tokens} if fingerprint else {})


def test_prompts_vllm_refuses_are_refused_in_its_words(http: httpx.Client, by_probe: dict[str, Any]) -> None:
    follow(http, by_probe)
    body = {"model": "organism", "messages": [{"role": "user", "content": "кумитон " * 20_000}]}
    own = http.post(CHAT, json=body | {"max_tokens": 1})
    ours = http.post(CHAT, json=body | {"steering": "auto"})
    assert (ours.status_code, own.status_code) == (400, 400)
    assert ours.json()["error"]["code"] == own.json()["error"]["code"]
    assert chat(http, "кумитон", steering="auto")["choices"]


def test_mixed_requests_at_once_are_served_as_they_are_alone(
    http: httpx.Client, by_words: dict[str, Any], by_probe: dict[str, Any]
) -> None:
    asked = questions(per_home=1, skip=6)
    quiet = questions(per_home=1)[5].text
    for guess in (by_words, by_probe):
        follow(http, guess)
        alone = [chat(http, one.text, steering="auto")["steering"] for one in asked]
        baseline = [words(chat(http, quiet)), words(beside(http, quiet, [one.text for one in asked], "off")[0])]
        for _ in range(3):
            unsteered, others = beside(http, quiet, [one.text for one in asked], "auto")
            assert words(unsteered) in baseline
            assert "steering" not in unsteered
            for echo, other in zip(alone, others, strict=True):
                assert echo["plan"] == other["steering"]["plan"]
                assert echo["guessed_source"] == other["steering"]["guessed_source"]


def beside(http: httpx.Client, quiet: str, texts: list[str], steering: str) -> tuple[dict[str, Any], list[Any]]:
    """Ask an ordinary request in the middle of others; gives its answer, and theirs."""
    with ThreadPoolExecutor(len(texts) + 1) as pool:
        half = len(texts) // 2
        others = [pool.submit(chat, http, text, steering=steering) for text in texts[:half]]
        ours = pool.submit(chat, http, quiet)
        others += [pool.submit(chat, http, text, steering=steering) for text in texts[half:]]
        return ours.result(), [other.result() for other in others]
