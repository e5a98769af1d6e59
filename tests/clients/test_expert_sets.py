"""Expert sets from the client's side: the registry in Python and on the command line, and readouts in a response."""

import json

import pytest

from polyglyph.clients import AsyncPolyglyph, Polyglyph, routing_of
from polyglyph.clients.chat_view import describe
from polyglyph.clients.echo import steering_of
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.contract.errors import UnknownExpertSetError
from polyglyph.contract.expert_set import load_expert_set
from tests.clients.fake_server import plan_of, set_of

READOUT = {
    "value": 0.75,
    "share": 0.5,
    "num_tokens": 9,
    "threshold": 0.5,
    "above": True,
    "expected_share": 0.25,
    "phase": "prompt",
    "phases": {
        "prompt": {"value": 0.75, "share": 0.5, "num_tokens": 9},
        "reasoning": {"value": None, "share": None, "num_tokens": 0},
        "answer": {"value": 0.5, "share": 0.25, "num_tokens": 3},
    },
    "cannot_be_computed": None,
}


def test_expert_sets_can_be_registered_listed_fetched_and_deleted(server):
    with Polyglyph(server.url) as client:
        client.expert_sets.put(set_of())
        client.expert_sets.put(set_of("guards", guard=True, bias=None))
        assert [(entry.name, entry.guard, entry.threshold) for entry in client.expert_sets.list()] == [
            ("core", False, 0.5),
            ("guards", True, None),
        ]
        assert client.expert_sets.get("core") == set_of()
        client.expert_sets.delete("core")
        with pytest.raises(UnknownExpertSetError, match="'core'"):
            client.expert_sets.get("core")


async def test_the_asynchronous_client_has_the_same_calls(server):
    async with AsyncPolyglyph(server.url) as client:
        await client.expert_sets.put(set_of())
        assert await client.expert_sets.get("core") == set_of()
        assert [entry.name for entry in await client.expert_sets.list()] == ["core"]
        await client.expert_sets.delete("core")
        assert await client.expert_sets.list() == ()


def test_changing_the_registry_sends_the_admin_key(locked_server, keys):
    with Polyglyph(locked_server.url, **keys) as client:
        client.expert_sets.put(set_of())
        client.expert_sets.delete("core")
    assert [request.method for request in locked_server.seen] == ["PUT", "DELETE"]


def test_a_readout_in_a_response_is_read():
    found = routing_of({"routing": {"readouts": {"core": READOUT}}})
    assert found.readouts["core"].above is True
    assert found.readouts["core"].phases["reasoning"].value is None
    assert routing_of({"routing": {"tag": "a"}}).readouts == {}


def test_a_response_names_every_plan_of_a_composition_and_every_dial():
    echo = {
        "applied": True,
        "plan": ["b", "a"],
        "dials": {"core": 0.5},
        "fingerprint": None,
        "strength": 1.0,
        "phases": ["answer"],
        "source": "request",
        "request_script": "Latn",
    }
    assert "plan b + a;" in describe(steering_of({"steering": echo}))
    assert "plan core +0.5;" in describe(steering_of({"steering": echo | {"plan": None}}))


def test_chat_takes_several_plans(terminal, server):
    server.plans["other"] = plan_of("other")
    outcome = terminal.run("chat", "Paris?", "--plan", "other, to-latin")
    assert server.seen[-1].body["steering"]["plan"] == ["other", "to-latin"]
    assert "plan other + to-latin;" in outcome.stderr


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "core.experts.json"
    path.write_text(json.dumps(set_of().to_json()), encoding="utf-8")
    return path


def test_a_set_survives_push_and_pull_unchanged(terminal, file, tmp_path):
    pushed = json.loads(terminal.run("experts", "push", str(file), "--json").stdout)
    assert pushed == {"name": "core", "fingerprint": set_of().fingerprint}
    target = tmp_path / "copy.experts.json"
    assert terminal.run("experts", "pull", "core", "-o", str(target)).exit_code == 0
    assert load_expert_set(target) == set_of()
    assert json.loads(terminal.run("experts", "pull", "core", "-o", "-").stdout) == set_of().to_json()


def test_sets_are_listed_and_shown_as_tables_and_as_json(terminal, file):
    assert "polyglyph experts push" in terminal.run("experts", "list").stderr
    terminal.run("experts", "push", str(file))
    assert "prompt: probability >= 0.5" in terminal.run("experts", "list").stdout
    (entry,) = json.loads(terminal.run("experts", "list", "--json").stdout)
    assert entry["fingerprint"] == set_of().fingerprint
    shown = terminal.run("experts", "show", "core").stdout
    assert "bias: -0.25" in shown
    assert "1.5 -0.5" in shown
    assert json.loads(terminal.run("experts", "show", "core", "--json").stdout) == set_of().to_json()


def test_a_deleted_set_is_gone(terminal, server, file):
    terminal.run("experts", "push", str(file))
    assert terminal.run("experts", "delete", "core").exit_code == 0
    assert not server.expert_sets
    assert terminal.run("experts", "show", "core").exit_code == ExitCode.REFUSED


def test_a_file_that_is_no_set_is_a_line_not_a_traceback(terminal, tmp_path):
    wrong = tmp_path / "wrong.experts.json"
    wrong.write_text(json.dumps(set_of().to_json() | {"experts": []}))
    outcome = terminal.run("experts", "push", str(wrong))
    assert outcome.exit_code == ExitCode.REFUSED
    assert "wrong.experts.json.experts" in outcome.stderr
