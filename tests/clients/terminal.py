"""The command line, run in this process."""

from dataclasses import dataclass
from typing import Any

import typer.testing

from polyglyph.clients.commands import app


@dataclass(frozen=True)
class Terminal:
    """Runs commands against one server."""

    url: str

    def run(self, *words: str, **options: Any) -> typer.testing.Result:
        runner = typer.testing.CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "POLYGLYPH_URL": self.url})
        return runner.invoke(app, list(words), **options)
