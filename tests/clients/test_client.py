"""The Python clients: typed results, the contract's errors, and keys that are sent only where they belong."""

import httpx
import pytest

from polyglyph.clients import (
    AnswerError,
    ApiKeyError,
    AsyncPolyglyph,
    Polyglyph,
    ServerUnreachableError,
    routing_of,
    steering_of,
)
from polyglyph.contract.errors import AdminKeyError, PlanMismatchError, RequestError, UnknownPlanError
from polyglyph.contract.policy import Policy, PolicyRule
from tests.clients.fake_engine import MODEL, NUM_EXPERTS, NUM_LAYERS
from tests.clients.fake_server import ADMIN_KEY, API_KEY, plan_of


@pytest.fixture
def client(server):
    with Polyglyph(server.url) as opened:
        yield opened


def test_plans_can_be_listed_fetched_registered_and_deleted(client):
    other = plan_of("other")
    client.plans.put(other)
    assert [entry.name for entry in client.plans.list()] == ["to-latin", "other"]
    assert client.plans.get("other") == other
    client.plans.delete("other")
    assert [entry.name for entry in client.plans.list()] == ["to-latin"]


def test_the_registry_lists_what_the_server_says_of_each_plan(client):
    (entry,) = client.plans.list()
    assert (entry.fingerprint, entry.num_edits, entry.fits_model) == (plan_of().fingerprint, 2, True)


def test_an_unknown_plan_raises_the_contracts_error_with_the_servers_words(client):
    with pytest.raises(UnknownPlanError, match="there is no plan 'nowhere'") as caught:
        client.plans.get("nowhere")
    assert caught.value.param == "name"


def test_a_plan_for_another_model_raises_the_contracts_error(client):
    binding = MODEL.binding.model_copy(update={"fingerprint": "sha256:" + "6" * 64})
    with pytest.raises(PlanMismatchError, match="6666") as caught:
        client.plans.put(plan_of(model=binding.model_dump()))
    assert caught.value.param == "plan.model"


def test_a_name_with_a_slash_stays_one_path_segment(client, server):
    with pytest.raises(RequestError):
        client.plans.get("a/b?c")
    assert server.seen[-1].path == "/v1/steering/plans/a%2Fb%3Fc"


def test_a_dry_run_gives_the_resolved_edits(client):
    answer = client.validate(plan=plan_of())
    assert answer.valid
    assert answer.edits == plan_of().edits


def test_a_dry_run_that_fails_gives_the_servers_reasons(client):
    answer = client.validate(plan=plan_of(edits=[{"layer": 99, "experts": [0], "op": "ban"}]))
    assert not answer.valid
    assert answer.errors[0].param == "plan.edits[0].layer"


def test_the_policy_can_be_replaced(client):
    policy = Policy(scripts={"Cyrl": PolicyRule(plan="to-latin")})
    client.policy.put(policy)
    assert client.policy.get() == policy


def test_the_model_report_names_every_hook(client):
    model = client.model()
    assert model.binding == MODEL.binding
    assert [hook.in_place for hook in model.workers[0].hooks] == [True] * NUM_LAYERS


def test_stats_come_as_the_contracts_document(client):
    stats = client.stats(script="Cyrl")
    assert stats.groups[0].selected.to_numpy().shape == (NUM_LAYERS, NUM_EXPERTS)


def test_filters_of_the_stats_go_into_the_query(client, server):
    client.stats(script="Cyrl", phase="prompt")
    assert server.seen[-1].path == "/v1/routing/stats?script=Cyrl&phase=prompt"


def test_the_schemas_come_as_they_are(client):
    assert "plan" in client.schema()


def test_reading_helpers_give_the_echo_and_the_sums_of_a_response(client):
    answer = client.openai.chat.completions.create(
        model="fake",
        messages=[{"role": "user", "content": "hi there"}],
        extra_body={"steering": "to-latin", "routing": {"return": ["summary"]}},
    )
    assert steering_of(answer).plan == "to-latin"
    assert routing_of(answer).summary.selected.to_numpy().shape == (3, NUM_LAYERS, NUM_EXPERTS)


def test_reading_helpers_read_plain_json_too():
    assert routing_of({"routing": {"tag": "a"}}).tag == "a"
    assert steering_of({}) is None


def test_an_echo_that_is_none_is_refused_rather_than_guessed():
    with pytest.raises(AnswerError, match="steering"):
        steering_of({"steering": {"applied": "perhaps"}})


def test_the_admin_key_goes_only_where_it_is_needed(locked_server, keys):
    with Polyglyph(locked_server.url, **keys) as client:
        client.plans.list()
        assert ADMIN_KEY not in str(locked_server.seen[-1].headers)
        client.reset_stats()
        assert locked_server.seen[-1].headers["x-polyglyph-admin-key"] == ADMIN_KEY
        assert locked_server.seen[-1].headers["authorization"] == f"Bearer {API_KEY}"


def test_the_admin_key_alone_passes_the_callers_gate_on_admin_routes(locked_server):
    with Polyglyph(locked_server.url, admin_key=ADMIN_KEY) as client:
        client.reset_stats()


def test_a_missing_api_key_is_told_from_a_missing_admin_key(locked_server):
    with Polyglyph(locked_server.url) as client, pytest.raises(ApiKeyError):
        client.plans.list()
    with Polyglyph(locked_server.url, api_key=API_KEY) as client, pytest.raises(AdminKeyError):
        client.reset_stats()


def test_a_client_never_shows_its_keys(keys):
    client = Polyglyph(**keys)
    assert API_KEY not in repr(vars(client))
    assert ADMIN_KEY not in repr(vars(client))


def test_nothing_at_the_url_says_how_to_start_a_server():
    with (
        Polyglyph("http://127.0.0.1:9") as client,
        pytest.raises(ServerUnreachableError, match="polyglyph serve"),
    ):
        client.plans.list()


def test_a_server_of_another_kind_is_named_as_such(server):
    server.is_plain = True
    with Polyglyph(server.url) as client, pytest.raises(AnswerError, match="no Polyglyph server"):
        client.plans.list()


def test_an_answer_that_is_no_json_is_refused():
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>"))
    with Polyglyph("http://fake", transport=transport) as client, pytest.raises(AnswerError, match="JSON"):
        client.schema()


def test_a_failure_inside_the_server_is_told_from_a_refusal(server):
    server.fails_with = 500
    with Polyglyph(server.url) as client, pytest.raises(AnswerError, match="500: boom"):
        client.model()


def test_a_newer_server_may_say_more_of_a_plan():
    entry = {"name": "a", "fingerprint": "sha256:0", "colour": "red"}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"data": [entry]}))
    with Polyglyph("http://fake", transport=transport) as client:
        assert client.plans.list()[0].name == "a"


async def test_the_asynchronous_client_gives_the_same(server):
    async with AsyncPolyglyph(server.url) as client:
        await client.plans.put(plan_of("other"))
        assert [entry.name for entry in await client.plans.list()] == ["to-latin", "other"]
        assert await client.plans.get("other") == plan_of("other")
        await client.plans.delete("other")
        assert (await client.validate(plan=plan_of())).valid
        await client.policy.put(Policy())
        assert await client.policy.get() == Policy()
        assert (await client.model()).binding == MODEL.binding
        assert (await client.stats()).layers == NUM_LAYERS
        assert "plan" in await client.schema()
        await client.reset_stats()
        with pytest.raises(UnknownPlanError):
            await client.plans.get("other")


async def test_the_asynchronous_openai_client_reaches_the_same_server(server):
    async with AsyncPolyglyph(server.url) as client:
        assert [model.id async for model in client.openai.models.list()] == ["fake"]
