"""The fake server that the tests of the HTTP side talk to."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tests.server.fakes import ADMIN_KEY, FakeVllm, FakeWorkers, make_app

if TYPE_CHECKING:
    from tests.support.postgresql import PostgresqlServer


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Give a way to change settings; the data directory is fresh and an admin key is set."""
    monkeypatch.setenv("POLYGLYPH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("POLYGLYPH_ADMIN_KEY", ADMIN_KEY)
    return monkeypatch


@pytest.fixture(scope="session")
def postgresql() -> Iterator["PostgresqlServer"]:
    """Give a real PostgreSQL server, started when the first test wants it."""
    from tests.support.postgresql import PostgresqlServer

    server = PostgresqlServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> SecretStr | None:
    """Give the URL of an empty PostgreSQL database, and None for SQLite: what asks for it runs on both."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()


@pytest.fixture
def workers() -> FakeWorkers:
    return FakeWorkers()


@pytest.fixture
def vllm(workers: FakeWorkers) -> FakeVllm:
    return FakeVllm(workers)


@pytest.fixture
async def app(vllm: FakeVllm, workers: FakeWorkers) -> FastAPI:
    return await make_app(vllm, workers)


Start = Callable[[], Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def start(vllm: FakeVllm, workers: FakeWorkers) -> AsyncIterator[Start]:
    """Start a server with the settings made so far, and give a client of it."""
    clients: list[httpx.AsyncClient] = []

    async def start_now() -> httpx.AsyncClient:
        transport = httpx.ASGITransport(await make_app(vllm, workers))
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://server"))
        return clients[-1]

    yield start_now
    for client in clients:
        await client.aclose()


@pytest.fixture
async def client(start: Start) -> httpx.AsyncClient:
    return await start()
