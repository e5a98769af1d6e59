"""`polyglyph policy`: which plan an `auto` request gets, by request script."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.connection import with_server
from polyglyph.clients.output import AsJson, print_data, print_json, say
from polyglyph.contract.policy import Policy, load_policy

app = typer.Typer(no_args_is_help=True, help="Read and change which plan an 'auto' request gets.")


@app.command("show")
@with_server
def show(server: Polyglyph, *, as_json: AsJson = False) -> None:
    """Show the policy: request script, plan, strength and phases."""
    policy = server.policy.get()
    if as_json:
        print_json(_to_json(policy))
    else:
        print_data(_table(policy))


@app.command("push")
@with_server
def push(
    server: Polyglyph,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy document, polyglyph.policy/1.")],
    as_json: AsJson = False,
) -> None:
    """Replace the policy; needs the admin key."""
    policy = load_policy(file)
    server.policy.put(policy)
    if as_json:
        print_json(_to_json(policy))
    else:
        say(f"the policy now has {len(policy.rules())} rules")


def _to_json(policy: Policy) -> object:
    return policy.model_dump(mode="json", by_alias=True, exclude_none=True)


def _table(policy: Policy) -> Table:
    table = Table("request script", "plan", "strength", "phases")
    for script, rule in sorted(policy.scripts.items()):
        table.add_row(script, rule.plan, f"{rule.strength:g}", " ".join(rule.phases or ("the plan's",)))
    if policy.otherwise is None:
        table.add_row("any other", "none", "", "")
    else:
        rule = policy.otherwise
        table.add_row("any other", rule.plan, f"{rule.strength:g}", " ".join(rule.phases or ("the plan's",)))
    return table
