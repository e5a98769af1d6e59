"""`polyglyph stats`: the server's sums over tokens."""

from enum import StrEnum
from typing import Annotated

import typer

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.connection import with_server
from polyglyph.clients.output import AsJson, print_data, print_json, say

app = typer.Typer(no_args_is_help=True, help="Read and reset the server's sums over tokens.")


class By(StrEnum):
    """What a line of the table stands for."""

    SCRIPT = "script"
    PHASE = "phase"
    PLAN = "plan"
    TAG = "tag"
    LAYER = "layer"
    EXPERT = "expert"


@app.command("show")
@with_server
def show(
    server: Polyglyph,
    *,
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="What to tell apart; repeat it to combine (default: script, phase and plan)."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Experts to name per line, or lines with --by expert.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show tokens, routing entropy (bits) by range of layers, and the most selected experts of each group."""
    document = server.stats()
    if as_json:
        print_json(document.model_dump(mode="json", by_alias=True))
        return
    from polyglyph.clients.stats_table import stats_table

    names = {entry.fingerprint: entry.name for entry in server.plans.list()}
    by_keys = tuple(by or (By.SCRIPT, By.PHASE, By.PLAN))
    print_data(stats_table(document, by=by_keys, num_top=top, plan_names=names))
    say(f"since {document.since}, until {document.until}, model {document.model_fingerprint[:19]}")
    if document.overflow_tokens:
        say(f"{document.overflow_tokens} tokens found no free group and are counted in none", style="yellow")


@app.command("reset")
@with_server
def reset(server: Polyglyph) -> None:
    """Set all sums to zero; needs the admin key."""
    server.reset_stats()
    say("all sums are zero")
