"""`polyglyph stats`: the server's sums over tokens, and files of them."""

import typer

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.connection import with_server
from polyglyph.clients.output import AsJson, print_json, say
from polyglyph.clients.stats.filter_options import with_filters
from polyglyph.clients.stats.importing import import_file
from polyglyph.clients.stats.merge import merge
from polyglyph.clients.stats.pull import pull
from polyglyph.clients.stats.show import show

app = typer.Typer(no_args_is_help=True, help="Show, save, add up and reset sums over tokens.")
app.command("show")(with_server(with_filters(show)))
app.command("pull")(with_server(with_filters(pull)))
app.command("merge")(merge)
app.command("import")(with_server(import_file))


@app.command("reset")
@with_server
def reset(server: Polyglyph, *, as_json: AsJson = False) -> None:
    """Set all sums to zero; needs the admin key."""
    server.reset_stats()
    if as_json:
        print_json({"reset": True})
    else:
        say("all sums are zero")
