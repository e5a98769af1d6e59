"""The options that methods share, and what they say as values."""

from pathlib import Path
from typing import Annotated

import typer

from polyglyph.analysis.evaluation.options import words_of
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.contract.plan import PHASES, Phase

CHOOSING, EDITING, RESULT = "Choosing", "The plan's edits", "Result"

EvidencePath = Annotated[
    Path,
    typer.Argument(metavar="EVIDENCE", help="Stats, traces (a file or a folder), or the folder of a labelled run."),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels", help="A labels.jsonl for traces: labels by request; a labelled run has its own."),
]
Op = Annotated[
    Operation | None,
    typer.Option("--op", help="What the plan does with the chosen experts.", rich_help_panel=EDITING),
]
Value = Annotated[
    float | None, typer.Option("--value", help="Of the operation, where it has one.", rich_help_panel=EDITING)
]
Renormalize = Annotated[
    bool | None,
    typer.Option(
        "--renormalize/--no-renormalize",
        help="Whether scaled weights keep their sum; for --op scale.",
        rich_help_panel=EDITING,
    ),
]
Phases = Annotated[
    str,
    typer.Option(
        "--phases",
        metavar="PHASE,...",
        help="When the plan steers: prompt, reasoning, answer.",
        rich_help_panel=EDITING,
    ),
]
Top = Annotated[
    int | None, typer.Option("--top", min=1, help="Choose so many experts at most.", rich_help_panel=CHOOSING)
]
Fdr = Annotated[
    float,
    typer.Option(
        "--fdr",
        min=0.0,
        max=1.0,
        help="Choose only experts whose q (Benjamini-Hochberg) is at most this; 1 for all.",
        rich_help_panel=CHOOSING,
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layers", metavar="FIRST-LAST,...", help="MoE layers to choose from (default: all).", rich_help_panel=CHOOSING
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of resamples and permutations.", rich_help_panel=CHOOSING)]
By = Annotated[str, typer.Option("--by", metavar="COLUMN", help="Label that tells the groups apart.")]
Span = Annotated[
    str | None,
    typer.Option("--span", metavar="PHASE,...", help="Compare only tokens of these phases (default: all)."),
]
Copies = Annotated[
    bool,
    typer.Option(
        "--copies/--no-copies",
        help="Look for layers whose experts of the same index are copies of one another, and test those once.",
        rich_help_panel=CHOOSING,
    ),
]
ALL_PHASES = ",".join(PHASES)
DEFAULT_FDR = 0.05


def editing_of(op: Operation | None, value: float | None, renormalize: bool | None, *, default: Editing) -> Editing:  # noqa: FBT001 - the option's own value
    """Read `--op`, `--value` and `--renormalize`; the method's own operation stands unless another is named."""
    if op is None or op is default.op:
        return Editing(op=default.op, value=default.value if value is None else value, renormalize=renormalize)
    return Editing(op=op, value=value, renormalize=renormalize)


def spans_of(value: str | None) -> tuple[str, ...]:
    """Read `--span`; none for all phases."""
    return () if value is None else phases_of(value, "--span")


def phases_of(value: str, option: str = "--phases") -> tuple[Phase, ...]:
    """Read phases with commas between them."""
    words = words_of(value, option)
    unknown = [word for word in words if word not in PHASES]
    if unknown:
        raise typer.BadParameter(f"{option}: expected {', '.join(PHASES)} with commas between, got {unknown[0]!r}")
    return tuple(phase for phase in PHASES if phase in words)


def layers_of(value: str | None) -> tuple[int, ...] | None:
    """Read `--layers`, such as `0,4-7`; None for all."""
    if value is None:
        return None
    found: set[int] = set()
    for word in words_of(value, "--layers"):
        first, _, last = word.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal() and int(last or first) >= int(first)):
            raise typer.BadParameter(f"--layers: expected numbers or ranges such as 0,4-7, got {word!r}")
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))
