"""A plain vLLM server of the same model and settings, started for the comparison and ended after it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from polyglyph.clients.answers import EngineSettings
from polyglyph.clients.client import Polyglyph
from polyglyph.clients.private_server import NoServerError, private_server
from polyglyph.clients.verify.line import NotCheckedError

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
    environment = {**os.environ, "POLYGLYPH_DISABLE": "1"}
    started = private_server(lambda port: server_command(engine, port), environment=environment)
    try:
        with started as url, Polyglyph(url) as server:
            yield server
    except NoServerError as error:
        raise NotCheckedError(f"no plain server: {error}") from error


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


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
