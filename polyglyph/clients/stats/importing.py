"""`polyglyph stats import`: a file's sums, added to a server's."""

from pathlib import Path
from typing import Annotated

import typer

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.output import AsJson, print_json, say


def import_file(
    server: Polyglyph,
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A stats file with all columns, in any format but eplb.")
    ],
    as_json: AsJson = False,
) -> None:
    """Add a file's sums to the server's; needs the admin key. The same sums are taken once until the next reset."""
    answer = server.import_stats(file)
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        say(f"added {file}: {answer.groups} groups, {answer.tokens} tokens, {answer.cached_tokens} cached ones")
