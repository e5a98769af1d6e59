"""Fake servers, and the command line in front of them."""

import pytest

from tests.clients.fake_server import ADMIN_KEY, API_KEY, FakeServer, plan_of, serving
from tests.clients.terminal import Terminal


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("POLYGLYPH_URL", "POLYGLYPH_API_KEY", "POLYGLYPH_ADMIN_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    plan = plan_of()
    with serving(FakeServer(plans={plan.name: plan})) as running:
        yield running


@pytest.fixture
def locked_server():
    plan = plan_of()
    with serving(FakeServer(plans={plan.name: plan}, wants_keys=True)) as running:
        yield running


@pytest.fixture
def terminal(server):
    return Terminal(server.url)


@pytest.fixture
def keys():
    return {"api_key": API_KEY, "admin_key": ADMIN_KEY}
