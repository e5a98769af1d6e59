"""What a client sees: requests a second through HTTP, each time right beside a server of plain vLLM."""

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.environment import describe, environment_record
from benchmarks.pairs import measure_pairs, num_rounds, to_lines
from benchmarks.processes import Group

PLAIN = "plain"
CONCURRENCIES = (1, 16)
NUM_REQUESTS = {1: 16, 16: 64}
NUM_TOKENS = 64
START_TIMEOUT_S = 300
EDITS = [{"layer": layer, "experts": [1, 5], "op": "add_std", "value": 1.0} for layer in range(4)]
STEERING = {"steering": {"plan": None, "edits": EDITS}}
ARMS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "nothing asked": {},
    "summary": {"routing": {"return": ["summary"]}},
    "steered": STEERING,
    "steered + summary": {**STEERING, "routing": {"return": ["summary"]}},
    "tokens": {"routing": {"return": ["tokens"]}},
}
EXPLANATION = (
    "Chat completions over keep-alive connections, client and server on the same cores. `nothing asked`: Polyglyph's "
    "server as it starts, which keeps stats and writes them down every second. `summary`, `tokens`: the routing of the "
    "request in its response. `steered`: every request, by edits of its own."
)


class Server:
    """A `polyglyph serve` of the organism.

    Args:
        folder: Where its data and log go.
        environment: What it is started with.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
        command = [sys.executable, "-m", "polyglyph.clients", "serve", "--port", self._url.rpartition(":")[2]]
        self._group = Group(
            [*command, "--disable-uvicorn-access-log", "--no-enable-prefix-caching"],
            {"POLYGLYPH_DATA_DIR": str(folder / "data"), **settings, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()
        self._group.stop()

    def measure(self, fields: dict[str, Any], concurrency: int) -> float:
        """Give requests a second."""
        with self._group.running():
            return asyncio.run(self._measure(fields, concurrency))

    def close(self) -> None:
        """End the server."""
        self._group.end()

    async def _measure(self, fields: dict[str, Any], concurrency: int) -> float:
        waiting = iter(range(NUM_REQUESTS[concurrency]))

        async def ask(client: httpx.AsyncClient) -> None:
            for index in waiting:
                answer = await client.post("/v1/chat/completions", json=_body(index) | fields)
                assert answer.is_success, answer.text
                missing = fields.keys() - answer.json().keys()
                assert not missing, f"the answer has no {missing}"

        async with httpx.AsyncClient(base_url=self._url, timeout=120) as client:
            started = time.perf_counter()
            await asyncio.gather(*(ask(client) for _ in range(concurrency)))
            return NUM_REQUESTS[concurrency] / (time.perf_counter() - started)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._group.process.poll() is None:
            try:
                if httpx.get(f"{self._url}/health", timeout=1).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.5)
        raise RuntimeError(f"a server did not start within {START_TIMEOUT_S} s")


def run(*, rounds: int) -> dict[str, Any]:
    """Measure all arms.

    Returns:
        The record: pairs of (plain, arm) in requests per second by concurrency and arm, versions and hardware.
    """
    with _servers() as (plain, ours):

        def measure(arm: str, concurrency: int) -> float:
            return (plain if arm == PLAIN else ours).measure(ARMS[arm], concurrency)

        for arm in ARMS:
            measure(arm, max(CONCURRENCIES))
        arms = [arm for arm in ARMS if arm != PLAIN]
        pairs = measure_pairs(CONCURRENCIES, arms, measure, plain=PLAIN, rounds=rounds)
    return {
        "benchmark": "serving",
        "workload": f"{' and '.join(map(str, CONCURRENCIES))} requests at a time x {NUM_TOKENS} tokens, compiled",
        "pairs": pairs,
        "explanation": EXPLANATION,
        **environment_record(),
    }


def to_markdown(record: dict[str, Any]) -> str:
    """Write the record as a table."""
    lines = [
        "## Serving",
        "",
        f"{record['workload']}; {num_rounds(record)} rounds, shuffled, plain vLLM beside each arm. {describe(record)}",
        "",
        record["explanation"],
        "",
        *to_lines(record["pairs"], unit="requests/s"),
        "",
    ]
    return "\n".join(lines)


@contextmanager
def _servers() -> Iterator[tuple[Server, Server]]:
    with tempfile.TemporaryDirectory() as folder:
        servers: list[Server] = []
        try:
            for environment in ({"POLYGLYPH_DISABLE": "1"}, {}):
                print(f"starting a server with {environment}", file=sys.stderr, flush=True)
                servers.append(Server(Path(folder), environment))
            yield servers[0], servers[1]
        finally:
            for server in servers:
                server.close()


def _body(index: int) -> dict[str, Any]:
    return {
        "model": "organism",
        "messages": [{"role": "user", "content": f"capital of {'abcdefgh'[index % 8]}mara"}],
        "max_tokens": NUM_TOKENS,
        "ignore_eos": True,
        "temperature": 0,
    }
