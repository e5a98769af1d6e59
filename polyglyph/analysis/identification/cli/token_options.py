"""The options that methods share which look at single tokens, and what they say as values."""

from pathlib import Path
from typing import Annotated

import typer

from polyglyph.analysis.evaluation.options import words_of
from polyglyph.analysis.identification.cli.options import CHOOSING

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


def scripts_of(value: str | None) -> tuple[str, ...] | None:
    """Read `--scripts`; None for all."""
    from polyglyph.analysis.identification.markers import is_code

    words = None if value is None else tuple(dict.fromkeys(words_of(value, "--scripts")))
    unknown = next((word for word in words or () if not is_code(word)), None)
    if unknown is not None:
        raise typer.BadParameter(f"--scripts: expected ISO 15924 codes such as Latn, got {unknown!r}")
    return words
