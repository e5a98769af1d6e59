"""The options that say which sums a command wants."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from polyglyph.clients.stats.filters import StatsFilters

PANEL = "Which sums"
HELPS = {
    "request_script": "Only requests whose text is in this script (ISO 15924, such as Cyrl).",
    "script": "Only tokens of this script.",
    "phase": "Only this phase: prompt, reasoning or answer.",
    "plan": "Only this plan, by name or fingerprint; '' is unsteered.",
    "tag": "Only this tag; '' is none.",
    "since": "Only what was counted from this time on: 2026-01-31T12:00:00Z, or seconds since 1970.",
}


def with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option per filter, and its argument `filters` those that were named.

    Args:
        command: Takes `filters`; its other parameters stay the command's own.
    """

    def run(*args: Any, **kwargs: Any) -> None:
        filters: StatsFilters = {}
        for name in HELPS:
            if (value := kwargs.pop(name)) is not None:
                filters[name] = value  # type: ignore[literal-required] # the keys of HELPS are those of the filters
        command(*args, filters=filters, **kwargs)

    run.__doc__ = command.__doc__
    run.__name__ = getattr(command, "__name__", "command")
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "filters"]
    parameters = [*own, *(_option(name, text) for name, text in HELPS.items())]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    setattr(run, "__signature__", inspect.Signature(parameters))  # noqa: B010 - mypy knows no such attribute
    return run


def _option(name: str, text: str) -> inspect.Parameter:
    option = typer.Option(f"--{name.replace('_', '-')}", rich_help_panel=PANEL, help=text)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )
