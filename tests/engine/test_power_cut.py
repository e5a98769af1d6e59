"""The power is cut (kill -9 of every process) ten times under load; the sums are held against what clients received.

One store lives through all of it. For each client and life of the server the sums must lie between what it had
received when the last interval began, and that plus what it had received since and had in flight: nothing older is
lost, nothing is counted twice.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import openai
import psutil
import pytest

from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.stats import Stats
from tests.support.server import ADMIN, ADMIN_KEY, Server, serving

pytestmark = pytest.mark.timeout(1500)

NUM_CUTS = 10
NUM_CLIENTS = 8
MAX_TOKENS = 40
FLUSH_S = 0.5
SLACK_S = 1.0
"""For the flush itself, on a machine whose two cores are busy with the load."""
LAYERS, TOP_K = 6, 2
FLAGS = ("--enforce-eager", "--admin-key", ADMIN_KEY, "--flush-seconds", str(FLUSH_S))
TEXTS = ("Где лежит Нуруз?", "Where is Nuruz?", "नमस्ते", "სად არის?", "ኢትዮጵያ")


@dataclass
class Client:
    """One client in one life of the server, and what it received."""

    tag: str
    received: list[tuple[float, int]] = field(default_factory=list)
    most_in_flight: int = 0
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)

    def before(self, moment: float) -> int:
        return sum(tokens for when, tokens in self.received if when <= moment)

    async def run(self, server: Server) -> None:
        """Ask until the server is gone."""
        draw = random.Random(self.tag)
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as caller:
            while True:
                try:
                    await self._ask(caller, draw)
                except (openai.APIError, httpx.HTTPError):
                    return

    async def _ask(self, caller: openai.AsyncOpenAI, draw: random.Random) -> None:
        text = draw.choice(TEXTS) * draw.randint(1, 5)
        self.most_in_flight = 4 * len(text.encode()) + MAX_TOKENS
        answer = await caller.chat.completions.create(
            model="organism",
            messages=[{"role": "user", "content": text}],
            max_tokens=draw.randint(1, MAX_TOKENS),
            extra_body={"routing": {"tag": self.tag}},
        )
        assert answer.usage is not None
        # The last sampled token never goes through the model.
        self.received.append((time.monotonic(), answer.usage.total_tokens - 1))
        self.most_in_flight = 0
        self.has_begun.set()


@dataclass(frozen=True)
class Cut:
    """One life of the server and its end."""

    clients: tuple[Client, ...]
    moment: float


def live_and_die(server: Server, life: int) -> Cut:
    clients = tuple(Client(f"life-{life}.client-{number}") for number in range(NUM_CLIENTS))
    seconds = 4 + random.Random(life).random() * 2

    async def load() -> float:
        tasks = [asyncio.create_task(client.run(server)) for client in clients]
        # A server's first answers take seconds.
        await asyncio.gather(*(client.has_begun.wait() for client in clients))
        await asyncio.sleep(seconds)
        moment = time.monotonic()
        cut_power(server)
        await asyncio.gather(*tasks)
        return moment

    return Cut(clients, asyncio.run(load()))


def cut_power(server: Server) -> None:
    process = psutil.Process(server.process.pid)
    for victim in (process, *process.children(recursive=True)):
        # Python's own tracker holds no state of ours; it alone can take away the shared memory of the dead.
        if "resource_tracker" not in " ".join(victim.cmdline()):
            victim.kill()


def read_stats(server: Server) -> Stats:
    answer = httpx.get(f"{server.url}/v1/routing/stats", headers=ADMIN, timeout=60)
    return Stats.model_validate_json(answer.raise_for_status().text)


@dataclass(frozen=True)
class Aftermath:
    """What the clients know, and what the store says after the last start."""

    cuts: tuple[Cut, ...]
    stats: Stats

    def tokens(self, client: Client) -> int:
        groups = [group for group in self.stats.groups if group.tag == client.tag]
        return sum(group.group_tokens + group.cached_tokens for group in groups)


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    folder: Path = tmp_path_factory.mktemp("server")
    cuts = []
    for life in range(NUM_CUTS):
        with serving(folder, FLAGS) as server:
            cuts.append(live_and_die(server, life))
    with serving(folder, FLAGS) as server:
        yield Aftermath(tuple(cuts), read_stats(server))


def test_every_life_of_the_server_was_under_load(aftermath: Aftermath) -> None:
    assert all(sum(len(client.received) for client in cut.clients) > 2 * NUM_CLIENTS for cut in aftermath.cuts)
    assert any(client.most_in_flight for cut in aftermath.cuts for client in cut.clients)


def test_nothing_older_than_the_last_interval_is_lost(aftermath: Aftermath) -> None:
    for cut in aftermath.cuts:
        for client in cut.clients:
            assert aftermath.tokens(client) >= client.before(cut.moment - FLUSH_S - SLACK_S)


def test_nothing_is_counted_twice(aftermath: Aftermath) -> None:
    for cut in aftermath.cuts:
        for client in cut.clients:
            assert aftermath.tokens(client) <= client.before(float("inf")) + client.most_in_flight


def test_sums_of_all_lives_are_conserved(aftermath: Aftermath) -> None:
    assert aftermath.stats.groups
    for group in aftermath.stats.groups:
        assert _total(group.selected) == group.group_tokens * LAYERS * TOP_K


def test_what_was_lost_is_less_than_what_came_in_the_last_interval(aftermath: Aftermath) -> None:
    received = sum(client.before(float("inf")) for cut in aftermath.cuts for client in cut.clients)
    stored = sum(aftermath.tokens(client) for cut in aftermath.cuts for client in cut.clients)
    recent = received - sum(
        client.before(cut.moment - FLUSH_S - SLACK_S) for cut in aftermath.cuts for client in cut.clients
    )
    print(f"received {received} tokens, stored {stored}, of the last {FLUSH_S + SLACK_S} s {recent}")
    assert received - stored <= recent


def _total(document: ArrayDocument) -> int:
    return int(np.sum(document.to_numpy()))
