"""An engine of its own for one run: a private server that nobody else can use, ended with the run."""

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from polyglyph.clients.connection import Connection
from polyglyph.clients.private_server import private_server

KEPT = frozenset({"POLYGLYPH_ALLOW_UNTESTED_VLLM"})
"""Variables of ours that a private server shares with other servers of this user."""


@contextmanager
def offline_engine(arguments: Sequence[str]) -> Iterator[Connection]:
    """Serve a model for the length of the block.

    Args:
        arguments: What `polyglyph serve` is given: a model, unless the bundled organism is meant, and vLLM's flags.

    Raises:
        NoServerError: It cannot be started here.
    """
    api_key, admin_key = secrets.token_urlsafe(), secrets.token_urlsafe()
    with tempfile.TemporaryDirectory(prefix="polyglyph-") as folder:
        environment = {
            **_foreign(os.environ),
            "POLYGLYPH_DATA_DIR": folder,
            "POLYGLYPH_ADMIN_KEY": admin_key,
            "VLLM_API_KEY": api_key,
        }
        with private_server(lambda port: server_command(arguments, port), environment=environment) as url:
            yield Connection(url, api_key, admin_key)


def server_command(arguments: Sequence[str], port: int) -> list[str]:
    """Give the command line that starts the server."""
    own = ["--host", "127.0.0.1", "--port", str(port), "--enable-prompt-tokens-details"]
    return [sys.executable, "-m", "polyglyph.clients", "serve", *arguments, *own]


def _foreign(variables: Mapping[str, str]) -> dict[str, str]:
    """Leave out what is meant for the user's own server: its store, policy, default steering and keys."""
    return {name: value for name, value in variables.items() if not name.startswith("POLYGLYPH_") or name in KEPT}
