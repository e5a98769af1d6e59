"""What every subcommand ends with: options that say where the result goes, and the printing and writing of it."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from polyglyph.analysis.evaluation.options import check_installed
from polyglyph.analysis.identification.cli.options import RESULT
from polyglyph.analysis.identification.identified import Identified
from polyglyph.clients.connection import ApiKey, Connection
from polyglyph.clients.output import AsJson, print_data, print_json, say

P = ParamSpec("P")

Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        help="A plan (.plan.json), an expert set (.experts.json) or a table (.parquet, .csv) to write; repeatable.",
        rich_help_panel=RESULT,
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Of the plan or expert set (default: the file's).", rich_help_panel=RESULT),
]
Bind = Annotated[
    str | None,
    typer.Option(
        "--bind",
        metavar="URL|FILE",
        help="The model that a plan is for: a server of it, one of its plans, or a run's model.json. Needed for "
        "evidence that does not say, such as stats of a model that is not the organism.",
        rich_help_panel=RESULT,
    ),
]
Controls = Annotated[
    int,
    typer.Option(
        "--controls",
        min=0,
        max=100,
        help="Write so many random controls beside the plan: other experts of the same layers, selected as often.",
        rich_help_panel=RESULT,
    ),
]
Draw = Annotated[int, typer.Option("--draw", min=0, help="Number of the first control.", rich_help_panel=RESULT)]
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "output": (Outputs, None),
    "name": (Name, None),
    "bind": (Bind, None),
    "controls": (Controls, 0),
    "draw": (Draw, 1),
    "as_json": (AsJson, False),
    "api_key": (ApiKey, None),
}


def finished(command: Callable[P, Identified], *, has_controls: bool = True) -> Callable[..., None]:
    """Give a command that returns what it found the options of its result, and let it print and write.

    Args:
        command: Its parameters stay its own; what it gets as `evidence` is looked beside for the model.
        has_controls: Whether random controls can be written beside a plan.
    """

    def run(**values: Any) -> None:
        context: typer.Context = values["context"] if "context" in taken else values.pop("context")
        # A command that asks a server has the option of its key itself.
        own = {name: values.pop(name) for name in options}
        _finish(context, own, values, command)

    parameters = list(inspect.signature(command, eval_str=True).parameters.values())
    taken = {parameter.name for parameter in parameters} | (set() if has_controls else {"controls", "draw"})
    options = [name for name in _OPTIONS if name not in taken]
    _declare(run, command, parameters, options)
    return run


def _finish(
    context: typer.Context, own: dict[str, Any], values: dict[str, Any], command: Callable[..., Identified]
) -> None:
    check_installed()
    from polyglyph.analysis.identification.binding import with_binding
    from polyglyph.analysis.identification.display import as_table, to_json, words_of
    from polyglyph.analysis.identification.writing import check_paths, write_identified

    paths: list[Path] = own["output"] or []
    num_controls, draw = own.get("controls", 0), own.get("draw", 1)
    check_paths(paths, num_controls=num_controls)
    base = context.obj if isinstance(context.obj, Connection) else Connection.from_environment()
    found = command(**values)
    api_key = own.get("api_key") or values.get("api_key") or base.api_key
    found = with_binding(found, where=own["bind"], evidence=values.get("evidence"), api_key=api_key)
    if own["as_json"]:
        print_json(to_json(found))
    else:
        print_data(as_table(found))
    for line in words_of(found):
        say(line)
    # Last: where there is nothing to write, the table has said what was found.
    for path in write_identified(found, paths, name=own["name"], num_controls=num_controls, draw=draw):
        say(f"wrote {path}")


def _declare(
    run: Callable[..., None], command: Callable[..., Any], parameters: list[inspect.Parameter], names: list[str]
) -> None:
    """Give `run` the signature that Typer reads options from."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(name, keyword, default=_OPTIONS[name][1], annotation=_OPTIONS[name][0]) for name in names
    ]
    own = [parameter.replace(kind=keyword) for parameter in parameters]
    has_context = any(parameter.name == "context" for parameter in own)
    context = [] if has_context else [inspect.Parameter("context", keyword, annotation=typer.Context)]
    declared = [*context, *own, *options]
    run.__doc__ = command.__doc__
    run.__name__ = getattr(command, "__name__", "command")
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in declared}
    setattr(run, "__signature__", inspect.Signature(declared))  # noqa: B010 - mypy knows no such attribute
