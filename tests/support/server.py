"""A real `polyglyph serve` in a process of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_TIMEOUT_S = 400
ADMIN_KEY = "an-admins-key"
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


@dataclass(frozen=True)
class Server:
    """A server that answers /health."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


class NotReadyError(Exception):
    """The server ended, or did not answer in time; the text is the end of its log."""


@contextmanager
def serving(
    folder: Path, flags: Sequence[str] = (), *, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a server on a free loopback port and end it afterwards.

    Args:
        folder: Where its data and log go.
        flags: Further flags of `polyglyph serve`, a model first if not the organism.
        environment: Further environment variables.

    Raises:
        NotReadyError: It did not become ready.
    """
    port = free_port()
    command = [sys.executable, "-m", "polyglyph.clients", "serve", *flags, "--port", str(port)]
    variables = os.environ | {"POLYGLYPH_DATA_DIR": str(folder / "data")} | dict(environment or {})
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=subprocess.STDOUT)
        try:
            server = Server(f"http://127.0.0.1:{port}", process, log)
            _wait_until_healthy(server)
            yield server
        finally:
            _end(process)


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_healthy(server: Server) -> None:
    for _ in range(START_TIMEOUT_S):
        try:
            if httpx.get(f"{server.url}/health", timeout=1).is_success:
                return
        except httpx.HTTPError:
            pass
        try:
            server.process.wait(1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise NotReadyError(server.log.read_text(errors="replace")[-8000:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
