"""The server that a command asks: one that is named, or one of its own for the length of the command."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from polyglyph.clients.connection import MAX_CONCURRENCY, Connection
from polyglyph.clients.output import say
from polyglyph.clients.profile.offline import offline_engine

SENDING = "Sending"

ServedModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="What to serve for the length of the command, where no --url is given (default: the organism).",
        rich_help_panel=SENDING,
    ),
]
Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency", min=1, max=MAX_CONCURRENCY, help="Requests in flight at once.", rich_help_panel=SENDING
    ),
]
VllmFlags = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- VLLM FLAGS]", help="vLLM's flags for a server of the command's own.", show_default=False
    ),
]


def connection_of(
    context: typer.Context, own: Connection, *, model: str | None, flags: Sequence[str] | None
) -> Connection:
    """Give the connection that a command was told; without a URL the command needs a server of its own.

    Raises:
        BadParameter: A server is named, and so is what one of the command's own would serve.
    """
    connection = own.over(context.obj if isinstance(context.obj, Connection) else Connection.from_environment())
    if connection.url is not None and (model or flags):
        raise typer.BadParameter("--model and vLLM's flags are for a server of the command's own: leave out --url")
    return connection


@contextmanager
def served(
    connection: Connection, model: str | None, flags: Sequence[str] | None, *, words: str
) -> Iterator[Connection]:
    """Give the server that was named, or start one for the length of the block.

    Args:
        connection: What `connection_of` gives.
        model: What a server of our own serves; None for the organism.
        flags: vLLM's, for that server.
        words: What to say before it is started.
    """
    if connection.url is not None:
        yield connection
        return
    say(words)
    with offline_engine([*([model] if model else []), *(flags or ())]) as own:
        yield own
