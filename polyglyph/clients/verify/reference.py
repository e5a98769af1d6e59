"""A plain vLLM server of the same model and settings, started for the comparison and ended after it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import httpx

from polyglyph.clients.answers import EngineSettings
from polyglyph.clients.client import Polyglyph
from polyglyph.clients.verify.line import NotCheckedError

START_TIMEOUT_S = 600.0
END_TIMEOUT_S = 30.0
POLL_S = 0.5

VALUE_FLAGS = (
    "tokenizer",
    "dtype",
    "max_model_len",
    "quantization",
    "seed",
    "max_num_seqs",
    "max_num_batched_tokens",
    "block_size",
    "tensor_parallel_size",
    "pipeline_parallel_size",
)
SWITCHES = ("enforce_eager", "async_scheduling", "enable_prefix_caching", "enable_expert_parallel")
NO_FORM = frozenset({"async_scheduling", "enable_prefix_caching"})
"""Switches that are on by default, so that off must be said."""


@contextmanager
def plain_server(engine: EngineSettings) -> Iterator[Polyglyph]:
    """Start a server that leaves vLLM untouched, and end it and its processes on every way out.

    Args:
        engine: The settings of the server under examination.

    Raises:
        NotCheckedError: None can be started here; the text says why.
    """
    _check_startable(engine)
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        process = _start(server_command(engine, port), log)
        try:
            with Polyglyph(f"http://127.0.0.1:{port}") as server:
                _wait_until_ready(server.url, process, log)
                yield server
        finally:
            _end(process)


def server_command(engine: EngineSettings, port: int) -> list[str]:
    """Give the command line that starts the plain server."""
    settings = engine.model_dump()
    flags = ["--host", "127.0.0.1", "--port", str(port)]
    for name in VALUE_FLAGS:
        flags += [_flag(name), str(settings[name])] if settings.get(name) is not None else []
    for name in SWITCHES:
        if settings.get(name):
            flags.append(_flag(name))
        elif settings.get(name) is False and name in NO_FORM:
            flags.append(_flag(f"no_{name}"))
    return [sys.executable, "-m", "polyglyph.clients", "serve", engine.model, *flags]


def _check_startable(engine: EngineSettings) -> None:
    if find_spec("vllm") is None:
        raise NotCheckedError(
            "vLLM is not installed here, so no plain server can be started; name one with --reference"
        )
    if not engine.model or not Path(engine.model).exists():
        raise NotCheckedError(
            f"the model '{engine.model}' is no folder of this machine, so no plain server can be started; name one "
            "with --reference"
        )


def _start(command: list[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    # A session of its own, so that the engine's processes can be ended together.
    return subprocess.Popen(  # noqa: S603 - our own command, and the model that the server named
        command,
        env={**os.environ, "POLYGLYPH_DISABLE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotCheckedError(f"the plain server ended with exit code {process.returncode}: {_tail(log)}")
        if _is_healthy(url):
            return
        time.sleep(POLL_S)
    raise NotCheckedError(f"the plain server was not ready after {START_TIMEOUT_S:.0f} s: {_tail(log)}")


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
    """End the server and every process it started: the group is ours alone."""
    _signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT_S)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
