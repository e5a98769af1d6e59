"""The options that say which server a command talks to."""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.keys import DEFAULT_URL

PANEL = "Server"
MAX_CONCURRENCY = 100
"""Requests in flight at once: as many connections as the client's pool holds."""
URL_HELP = f"Where the server is (or POLYGLYPH_URL; default: {DEFAULT_URL})."
API_KEY_HELP = "The server's API key (or POLYGLYPH_API_KEY, OPENAI_API_KEY: in the environment others cannot see it)."
ADMIN_KEY_HELP = "The server's admin key, for what changes it or reads its stats (or POLYGLYPH_ADMIN_KEY)."

Url = Annotated[str | None, typer.Option("--url", rich_help_panel=PANEL, help=URL_HELP)]
ApiKey = Annotated[str | None, typer.Option("--api-key", rich_help_panel=PANEL, help=API_KEY_HELP)]
AdminKey = Annotated[str | None, typer.Option("--admin-key", rich_help_panel=PANEL, help=ADMIN_KEY_HELP)]

P = ParamSpec("P")


@dataclass(frozen=True)
class Connection:
    """Which server, and with which keys.

    What stands after a command wins over what stands before it, and both over the environment.
    """

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    admin_key: str | None = field(default=None, repr=False)

    def over(self, base: "Connection") -> "Connection":
        """Give this connection with its gaps filled from another."""
        return Connection(
            url=self.url or base.url,
            api_key=self.api_key or base.api_key,
            admin_key=self.admin_key or base.admin_key,
        )

    @classmethod
    def from_environment(cls) -> "Connection":
        """Give the connection that the environment describes."""
        return cls(
            url=os.environ.get("POLYGLYPH_URL"),
            api_key=os.environ.get("POLYGLYPH_API_KEY") or os.environ.get("OPENAI_API_KEY"),
            admin_key=os.environ.get("POLYGLYPH_ADMIN_KEY"),
        )

    def open(self) -> Polyglyph:
        """Give a client of the server."""
        return Polyglyph(self.url or DEFAULT_URL, api_key=self.api_key, admin_key=self.admin_key)


def with_server(command: Callable[Concatenate[Polyglyph, P], None]) -> Callable[..., None]:
    """Give a command the options `--url`, `--api-key` and `--admin-key`, and the client they describe.

    Args:
        command: Takes the client first; its other parameters stay the command's own.
    """

    def run(
        context: typer.Context,
        *args: Any,
        url: str | None,
        api_key: str | None,
        admin_key: str | None,
        **kwargs: Any,
    ) -> None:
        base = context.obj if isinstance(context.obj, Connection) else Connection()
        with Connection(url, api_key, admin_key).over(base).open() as server:
            command(server, *args, **kwargs)

    run.__doc__ = command.__doc__
    run.__name__ = getattr(command, "__name__", "command")
    _declare(run, command)
    return run


def _declare(run: Callable[..., None], command: Callable[..., None]) -> None:
    """Give `run` the signature that Typer reads options from."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    options = [_option("url", Url), _option("api_key", ApiKey), _option("admin_key", AdminKey)]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *options]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    setattr(run, "__signature__", inspect.Signature(parameters))  # noqa: B010 - mypy knows no such attribute


def _option(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
