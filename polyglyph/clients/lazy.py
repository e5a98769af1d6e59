"""Commands of other parts, imported only when they are used.

A part offers a Typer app under the entry-point group `polyglyph.commands`. Its module may need torch or vLLM, so
listing the commands must not import it.
"""

import os
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from polyglyph.clients.errors import MissingDependencyError
from polyglyph.clients.exit_codes import exit_code_of
from polyglyph.clients.output import say_error
from polyglyph.contract.errors import PolyglyphError

GROUP = "polyglyph.commands"
PANEL = "Commands that need an engine"
SUMMARIES = {
    "serve": "Start an OpenAI-compatible server; vLLM's own flags pass through.",
    "organism": "Make and train the bundled model organism.",
    "names": "Real cities in nine scripts: their table, benchmark and organism.",
    "identify": "Find the experts of a behaviour and write a plan.",
    "evaluate": "Measure what a plan does.",
    "search": "Search for plans on the development half of a benchmark.",
    "analyze": "Report on stats.",
    "bench": "Measure what steering costs.",
}


class LazyCommand(TyperCommand):
    """Stands in for a part's command until it is used.

    Args:
        entry_point: Where the part's Typer app is.
    """

    def __init__(self, entry_point: EntryPoint) -> None:
        summary = SUMMARIES.get(entry_point.name, f"See 'polyglyph {entry_point.name} --help'.")
        super().__init__(name=entry_point.name, help=summary, rich_help_panel=PANEL)
        self._entry_point = entry_point

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Hand over to the real command, with the arguments as they came."""
        real = typer.main.get_command(self._load())
        return real.make_context(info_name, args, parent=parent, **extra)

    def _load(self) -> typer.Typer:
        app = self._entry_point.load()
        if not isinstance(app, typer.Typer):
            raise TypeError(f"entry point {self._entry_point.value} must be a Typer app, is {type(app).__name__}")
        return app


class RootGroup(TyperGroup):
    """The root of the command line: knows the parts' commands, and turns errors into a line and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Give our own commands, then the parts'."""
        own = super().list_commands(ctx)
        return [*own, *sorted(set(_entry_points()) - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give a command without importing the part that it comes from."""
        found = super().get_command(ctx, cmd_name)
        if found is not None or cmd_name not in _entry_points():
            return found
        return LazyCommand(_entry_points()[cmd_name])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; no user error ends in a traceback."""
        try:
            return super().invoke(ctx)
        except PolyglyphError as error:
            say_error(str(error))
            raise typer.Exit(exit_code_of(error)) from error
        except ImportError as error:
            missing = _missing_dependency(error)
            if missing is None:
                raise
            say_error(str(missing))
            raise typer.Exit(exit_code_of(missing)) from error


def _entry_points() -> dict[str, EntryPoint]:
    return {found.name: found for found in entry_points(group=GROUP)}


def _missing_dependency(error: ImportError) -> MissingDependencyError | None:
    """Say which extra brings what is missing; None when it is a part of our own that fails to import."""
    package = (error.name or "").partition(".")[0]
    if not package or os.environ.get("POLYGLYPH_TRACEBACK"):
        return None
    if package == "polyglyph":
        return MissingDependencyError(f"this installation lacks {error.name}; reinstall polyglyph to get this command")
    return MissingDependencyError(
        f"this command needs '{package}', which is not installed here; install Polyglyph with its engine: "
        'pip install "polyglyph[cpu]" for processors, pip install "polyglyph[cuda]" for NVIDIA GPUs'
    )
