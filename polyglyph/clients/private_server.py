"""A server of our own on a free loopback port, ended with the block that started it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import IO

import httpx

from polyglyph.contract.errors import StartupError

START_TIMEOUT_S = 600.0
END_TIMEOUT_S = 40.0
POLL_S = 0.5


class NoServerError(StartupError):
    """A server that cannot be started here, or did not become ready; the text says why."""


@contextmanager
def private_server(command: Callable[[int], list[str]], *, environment: Mapping[str, str]) -> Iterator[str]:
    """Start a server, and end it and its processes on every way out, a killed process of ours included.

    Args:
        command: Gives the command line for a port.
        environment: All variables that it gets.

    Yields:
        The server's URL, once it answers `/health`.

    Raises:
        NoServerError: vLLM is not installed, or the server ended or was not ready in time.
    """
    if find_spec("vllm") is None:
        raise NoServerError("vLLM is not installed here, so no server can be started")
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        process = _start(command(port), environment, log)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process, log)
            yield url
        finally:
            _end(process)


def _start(command: list[str], environment: Mapping[str, str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    # A session of its own, so that the engine's processes can be ended together, and a guard that ends them when our
    # end of its pipe closes, which happens even when this process is killed.
    return subprocess.Popen(  # noqa: S603 - our own command, and the model that was named
        [sys.executable, "-m", "polyglyph.clients.guard", *command],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NoServerError(f"the server ended with exit code {process.returncode}: {_tail(log)}")
        if _is_healthy(url):
            return
        time.sleep(POLL_S)
    raise NoServerError(f"the server was not ready after {START_TIMEOUT_S:.0f} s: {_tail(log)}")


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=POLL_S).is_success
    except httpx.TransportError:
        return False


def _tail(log: IO[bytes]) -> str:
    """Give the last line that says what went wrong."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line or "error:" in line]
    return (telling or lines or ["it said nothing"])[-1][-300:]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let the guard end the server; if it does not, end the group, which is ours alone."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
