"""The `polyglyph` command: our own commands, and those of the other parts."""

from typing import Annotated

import typer

from polyglyph import __version__
from polyglyph.clients import chat, experts, plans, policy
from polyglyph.clients.connection import AdminKey, ApiKey, Connection, Url
from polyglyph.clients.lazy import RootGroup
from polyglyph.clients.profile.command import profile_command
from polyglyph.clients.stats.commands import app as stats
from polyglyph.clients.verify.command import verify

app = typer.Typer(
    name="polyglyph",
    cls=RootGroup,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Steer and read the router of Mixture-of-Experts models, per request, inside vLLM.",
)
app.command("chat")(chat.chat)
app.add_typer(plans.app, name="plans")
app.add_typer(experts.app, name="experts")
app.add_typer(policy.app, name="policy")
app.add_typer(stats, name="stats")
app.command("verify")(verify)
app.command("profile")(profile_command)


def main() -> None:
    """Run the command line; exit codes stand in `ExitCode`."""
    app()


def _print_version(asked: bool) -> None:  # noqa: FBT001 - Typer calls it with the flag's value
    if asked:
        print(f"polyglyph {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    *,
    url: Url = None,
    api_key: ApiKey = None,
    admin_key: AdminKey = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep the connection for the command that follows."""
    del version
    context.obj = Connection(url, api_key, admin_key).over(Connection.from_environment())
