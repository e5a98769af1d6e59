"""Composed plans, dials, guards, readouts and pattern libraries on a real server, asked with the real client."""

from collections.abc import Iterator
from secrets import token_hex
from typing import Any

import numpy as np
import openai
import pytest

from polyglyph.analysis.organism.world import make_world
from polyglyph.analysis.organism.writing import write_text
from polyglyph.analysis.rules.patterns import library_of
from polyglyph.clients import Polyglyph, Routing, routing_of, steering_of
from polyglyph.contract.errors import GuardedExpertError
from polyglyph.contract.expert_set import ExpertSet, layer_experts, parse_expert_set
from polyglyph.contract.plan import PHASES, Plan
from polyglyph.contract.policy import Policy, PolicyTarget
from polyglyph.contract.readout import logistic
from tests.support.server import ADMIN_KEY, START_TIMEOUT_S, serving

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 200)
LAYERS, EXPERTS = 6, 16
EDITS: dict[str, list[dict[str, Any]]] = {
    "bans": [{"layer": 0, "experts": [0, 1, 2], "op": "ban"}, {"layer": 4, "experts": [3], "op": "add", "value": 1.5}],
    "forces": [{"layer": 2, "experts": [5], "op": "force"}, {"layer": 4, "experts": [3], "op": "add", "value": 0.5}],
    "scales": [{"layer": 3, "experts": [0, 7], "op": "scale", "value": 2.0, "renormalize": True}],
    "unbans": [{"layer": 0, "experts": [2], "op": "force"}],
}
WEIGHTS = {(0, 9): 1.0, (3, 2): -2.0, (3, 11): 0.5, (5, 4): 1.5}
FACTS = make_world(0).facts_of("barrier")


def text_of(index: int, script: Any) -> str:
    fact = FACTS[index]
    return write_text(f"{fact.entity.name} {fact.relation.name}", script)


QUESTION = text_of(0, "Cyrl")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Polyglyph]:
    flags = ["--enforce-eager", "--admin-key", ADMIN_KEY]
    with (
        serving(tmp_path_factory.mktemp("server"), flags) as running,
        Polyglyph(running.url, admin_key=ADMIN_KEY) as client,
    ):
        binding = client.model().binding
        for name, edits in EDITS.items():
            client.plans.put(Plan.model_validate(plan(binding, name, edits)))
        client.expert_sets.put(experts_of(client, name="core"))
        client.expert_sets.put(experts_of(client, name="knows", bias=-0.75, phase="answer"))
        yield client


def plan(binding: Any, name: str, edits: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"schema": "polyglyph.plan/1", "name": name, "model": binding, "edits": edits} | fields


def experts_of(client: Polyglyph, **fields: Any) -> ExpertSet:
    document = {"model": client.model().binding.model_dump(), "experts": layer_experts(WEIGHTS)}
    return parse_expert_set(document | fields)


def chat(client: Polyglyph, text: str = QUESTION, *, extra: Any = None, **settings: Any) -> Any:
    values = {"model": "organism", "temperature": 0, "max_tokens": 16, "logprobs": True, "top_logprobs": 2, **settings}
    return client.openai.chat.completions.create(
        messages=[{"role": "user", "content": text}], **values, extra_body=extra
    )


def words(answer: Any) -> Any:
    """Give tokens and log-probabilities."""
    return [token.model_dump() for token in answer.choices[0].logprobs.content]


def routing(answer: Any) -> Routing:
    found = routing_of(answer)
    assert found is not None
    return found


def steered(client: Polyglyph, steering: Any, **settings: Any) -> tuple[Any, Any]:
    """Ask steered; gives what was written, and the echo."""
    answer = chat(client, extra={"steering": steering}, **settings)
    echo = steering_of(answer)
    assert echo is not None
    assert echo.applied
    return words(answer), echo


def test_plans_together_steer_as_their_edits_do_inline(server: Polyglyph) -> None:
    together, echo = steered(server, {"plan": ["scales", "bans", "forces"]})
    inline, other = steered(server, {"edits": [*EDITS["bans"], *EDITS["forces"], *EDITS["scales"]]})
    assert together == inline != words(chat(server))
    assert echo.plan == ("scales", "bans", "forces")
    assert (echo.fingerprint, echo.dose, echo.tokens_steered) == (other.fingerprint, other.dose, other.tokens_steered)
    assert echo.dose is not None
    assert echo.dose > 0
    assert steered(server, {"plan": ["forces", "bans", "scales"]})[0] == together
    alone = [steered(server, name)[0] for name in ("bans", "forces")]
    assert together not in alone


def test_a_composition_has_its_own_group_in_the_stats(server: Polyglyph) -> None:
    tag = token_hex(8)
    extra = {"steering": {"plan": ["forces", "bans"]}, "routing": {"tag": tag}}
    echo = steering_of(chat(server, extra=extra))
    assert echo is not None
    assert {group.plan for group in server.stats(tag=tag).groups} == {echo.fingerprint}


@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_a_dial_steers_as_the_same_additions_do_inline(server: Polyglyph, strength: float) -> None:
    inline = [
        {"layer": layer, "experts": [expert], "op": "add_std", "value": 0.8 * weight}
        for (layer, expert), weight in WEIGHTS.items()
    ]
    dial, echo = steered(server, {"dials": {"core": 0.8}, "strength": strength, "phases": ["prompt", "answer"]})
    edits, other = steered(server, {"edits": inline, "strength": strength, "phases": ["prompt", "answer"]})
    assert dial == edits
    assert (echo.dose, echo.tokens_steered) == (other.dose, other.tokens_steered)
    assert echo.dials == {"core": 0.8}
    with_plan, _ = steered(server, {"plan": ["forces", "scales"], "dials": {"core": 0.8}})
    assert with_plan == steered(server, {"edits": [*EDITS["forces"], *EDITS["scales"], *inline]})[0]


def test_a_guarded_expert_is_banned_only_by_who_means_it(server: Polyglyph) -> None:
    ban = {"layer": 1, "experts": [6], "op": "ban"}
    before, _ = steered(server, {"edits": [ban]})
    server.expert_sets.put(experts_of(server, name="super", guard=True, experts=layer_experts([(1, 6)])))
    try:
        with pytest.raises(openai.BadRequestError, match="'super'") as refusal:
            chat(server, extra={"steering": {"edits": [ban]}})
        assert (refusal.value.code, refusal.value.param) == ("guarded_expert", "steering.edits[0].experts")
        assert steered(server, {"edits": [ban], "allow_super_experts": True})[0] == before
        binding = server.model().binding
        with pytest.raises(GuardedExpertError):
            server.plans.put(Plan.model_validate(plan(binding, "bold", [ban])))
        server.plans.put(Plan.model_validate(plan(binding, "bold", [ban], allow_super_experts=True)))
        assert steered(server, "bold")[0] == before
    finally:
        server.expert_sets.delete("super")


def readout_of_traces(found: Routing, *, phase: str, bias: float | None) -> tuple[float, int]:
    """Compute a readout from the traces of the same request: its value, and the tokens that it is of."""
    counts = np.zeros((LAYERS, EXPERTS))
    num_tokens = 0
    for trace in found.sequences:
        mask = (trace.phases == phase) & trace.computed
        counts += trace.selected(EXPERTS, where=mask)
        num_tokens += int(mask.sum())
    if bias is None:
        layers = sorted({layer for layer, _ in WEIGHTS})
        return sum(counts[pair] for pair in WEIGHTS) / counts[layers].sum(), num_tokens
    return logistic(bias + sum(weight * counts[pair] for pair, weight in WEIGHTS.items()) / num_tokens), num_tokens


@pytest.mark.parametrize("num_choices", [1, 3])
@pytest.mark.parametrize("steering", [False, {"plan": ["bans", "forces"]}], ids=["unsteered", "composed"])
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_readouts_are_what_the_traces_of_the_same_request_say(
    server: Polyglyph, num_choices: int, steering: Any, is_streamed: bool
) -> None:
    extra = {"steering": steering, "routing": {"return": ["readouts", "tokens", "summary"]}, "cache_salt": token_hex(8)}
    settings = {"n": num_choices, "temperature": 1.0, "seed": 3} if num_choices > 1 else {}
    answer = chat(server, extra=extra, stream=is_streamed, **settings)
    if is_streamed:
        *_, answer = (chunk for chunk in answer if routing_of(chunk) is not None)
    found = routing(answer)
    assert found.summary is not None
    assert len(found.sequences) == num_choices
    assert set(found.readouts) == {"core", "knows"}
    for name, bias, phase in (("core", None, "prompt"), ("knows", -0.75, "answer")):
        readout = found.readouts[name]
        value, num_tokens = readout_of_traces(found, phase=phase, bias=bias)
        assert (readout.value, readout.num_tokens) == (pytest.approx(value), num_tokens)
        assert num_tokens == found.summary.num_tokens[PHASES.index(phase)]
    assert found.readouts["knows"].above == (found.readouts["knows"].value >= 0.5)


def test_tokens_from_the_prefix_cache_are_in_no_readout(server: Polyglyph) -> None:
    text = " ".join(text_of(index, "Geor") for index in range(40))
    extra = {"routing": {"return": ["readouts"], "readouts": ["core"]}, "cache_salt": token_hex(8)}
    first, second = (routing(chat(server, text, extra=extra)).readouts["core"] for _ in range(2))
    assert 0 < second.num_tokens < first.num_tokens


def test_a_phase_that_was_not_there_has_no_readout_and_says_why(server: Polyglyph) -> None:
    server.expert_sets.put(experts_of(server, name="thinks", phase="reasoning", bias=0.0))
    try:
        extra = {"routing": {"return": ["readouts"]}, "chat_template_kwargs": {"enable_thinking": False}}
        readout = routing(chat(server, extra=extra, max_tokens=1)).readouts["thinks"]
        assert (readout.value, readout.num_tokens) == (None, 0)
        assert readout.cannot_be_computed is not None
    finally:
        server.expert_sets.delete("thinks")


def selections(client: Polyglyph, text: str) -> np.ndarray:
    extra = {"routing": {"return": ["summary"]}, "steering": False, "cache_salt": token_hex(8)}
    summary = routing(chat(client, text, extra=extra, max_tokens=1)).summary
    assert summary is not None
    counts: np.ndarray = summary.selected.to_numpy()[0]
    return counts


def test_the_nearest_pattern_of_the_prompts_routing_gives_its_plan(server: Polyglyph) -> None:
    kinds = {"georgian-like": "Geor", "russian-like": "Cyrl", "hindi-like": "Deva"}
    counts = {
        kind: np.sum([selections(server, text_of(index, script)) for index in range(6)], axis=0)
        for kind, script in kinds.items()
    }
    targets = {"georgian-like": PolicyTarget(plan="bans"), "russian-like": PolicyTarget(plan="forces", strength=0.5)}
    library = library_of(counts, model=server.model().binding, layers=[0, 1], plans=targets, min_similarity=0.5)
    server.policy.put(Policy(patterns=library))
    try:
        for index in range(6, 12):
            for kind, script in kinds.items():
                text = text_of(index, script)
                match = library.nearest(selections(server, text))
                answer = chat(server, text, extra={"steering": "auto"})
                echo = steering_of(answer)
                assert echo is not None
                assert match.pattern is not None
                assert (echo.pattern, echo.similarity) == (match.pattern.name, pytest.approx(match.similarity))
                assert echo.pattern == kind
                target = targets.get(kind)
                assert (echo.plan, echo.applied) == (target.plan if target else None, target is not None)
                assert echo.reason == (None if target else "no_plan_for_pattern")
                same = {"plan": target.plan, "strength": target.strength} if target else False
                assert words(answer) == words(chat(server, text, extra={"steering": same}))
        never = library.model_copy(update={"min_similarity": 1.0})
        server.policy.put(Policy(patterns=never))
        echo = steering_of(chat(server, extra={"steering": "auto"}))
        assert echo is not None
        assert (echo.applied, echo.pattern, echo.reason) == (False, None, "no_rule")
        assert echo.similarity is not None
    finally:
        server.policy.put(Policy())


WRONG = [
    ({"steering": {"plan": ["bans"]}}, "steering.plan", 400),
    ({"steering": {"plan": ["bans", "unbans"]}}, "steering.plan[1]", 400),
    ({"steering": {"plan": ["bans", "nope"]}}, "steering.plan[1]", 404),
    ({"steering": {"dials": {"nope": 1.0}}}, "steering.dials.nope", 404),
    ({"steering": {"dials": {"core": 1e9}}}, "steering.dials.core", 400),
    ({"steering": {"allow_super_experts": True}}, "steering.allow_super_experts", 400),
    ({"routing": {"return": ["readouts"], "readouts": ["nope"]}}, "routing.readouts[0]", 404),
    ({"routing": {"readouts": ["core"]}}, "routing.readouts", 400),
]


@pytest.mark.parametrize(("extra", "param", "status"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_field_is_refused_and_the_next_unsteered_request_is_untouched(
    server: Polyglyph, extra: dict[str, Any], param: str, status: int
) -> None:
    before = words(chat(server))
    with pytest.raises(openai.APIStatusError) as refusal:
        chat(server, extra=extra)
    assert (refusal.value.status_code, refusal.value.param) == (status, param)
    assert words(chat(server)) == before


def test_an_unsteered_request_after_all_of_it_is_what_it_was(server: Polyglyph) -> None:
    before = words(chat(server))
    for steering in ({"plan": ["bans", "scales"]}, {"dials": {"core": 2.0}}):
        steered(server, steering)
        assert words(chat(server)) == before
