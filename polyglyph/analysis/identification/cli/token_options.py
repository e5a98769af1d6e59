"""The options that methods share which look at single tokens, and what they say as values."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglyph.analysis.evaluation.options import words_of
from polyglyph.analysis.identification.cli.options import CHOOSING, EDITING

if TYPE_CHECKING:
    from polyglyph.analysis.identification.editing import Editing

TracesPath = Annotated[
    Path, typer.Argument(metavar="TRACES", help="Traces (a file or a folder), or the folder of a labelled run.")
]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of a labelled run, or traces with a --labels file.")
]
TokenizerFolder = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        help="Folder with the model's tokenizer.json, to read the text of tokens (default: the organism's).",
    ),
]
Scripts = Annotated[
    str | None,
    typer.Option(
        "--scripts",
        metavar="CODE,...",
        help="Scripts to compare, two or more (default: all that were asked in).",
        rich_help_panel=CHOOSING,
    ),
]
Promotion = Annotated[
    str,
    typer.Option(
        "--op",
        metavar="[add|add_std|force|ban|scale]",
        help="What the plan does with the chosen experts.",
        rich_help_panel=EDITING,
    ),
]
DEFAULT_STD = 0.5
"""Standard deviations of the logits, the value of 2510.04694."""
DEFAULT_FACTOR = 64.0
"""Times the routing weight, the value of RICE (2505.14681)."""


def scripts_of(value: str | None) -> tuple[str, ...] | None:
    """Read `--scripts`; None for all."""
    from polyglyph.routing.scripts import is_script_of_text

    words = None if value is None else tuple(dict.fromkeys(words_of(value, "--scripts")))
    unknown = next((word for word in words or () if not is_script_of_text(word)), None)
    if unknown is not None:
        raise typer.BadParameter(f"--scripts: expected ISO 15924 codes such as Latn, got {unknown!r}")
    return words


def promotion_of(op: str, value: float | None, *, renormalize: bool | None) -> "Editing":
    """Read the options of the plan's edits; `add_std` and `scale` have the values of the papers unless given."""
    from polyglyph.analysis.identification.editing import Editing, Operation

    if op not in tuple(Operation):
        raise typer.BadParameter(f"--op: expected one of {', '.join(Operation)}, got {op!r}")
    usual = {Operation.ADD_STD: DEFAULT_STD, Operation.SCALE: DEFAULT_FACTOR}
    operation = Operation(op)
    is_scale = operation is Operation.SCALE
    return Editing(
        op=operation,
        value=usual.get(operation) if value is None else value,
        renormalize=False if is_scale and renormalize is None else renormalize,
    )
