"""`polyglyph identify task-experts`."""

from pathlib import Path
from typing import Annotated

import typer

from polyglyph.analysis.identification.cli.evidence import beside_scripts, read, sides_of
from polyglyph.analysis.identification.cli.options import (
    ALL_PHASES,
    CHOOSING,
    DEFAULT_FDR,
    By,
    Copies,
    EvidencePath,
    Fdr,
    LabelsFile,
    Layers,
    Op,
    Phases,
    Renormalize,
    Seed,
    Span,
    Top,
    Value,
    editing_of,
    layers_of,
    phases_of,
)
from polyglyph.analysis.identification.identified import Identified


def task_experts(
    evidence: EvidencePath,
    *,
    task: Annotated[str, typer.Option("--task", metavar="VALUE,...", help="The label of the task's sequences.")],
    plain: Annotated[
        str | None,
        typer.Option("--plain", metavar="VALUE,...", help="The label of plain text (default: all others)."),
    ] = None,
    by: By = "label",
    span: Span = None,
    labels: LabelsFile = None,
    tau: Annotated[
        float,
        typer.Option("--tau", min=0.0, max=1.0, help="Smallest difference, 0.25 to 0.5.", rich_help_panel=CHOOSING),
    ] = 0.25,
    bands: Annotated[
        Path | None,
        typer.Option(
            "--bands",
            metavar="EVIDENCE",
            help="Text in several scripts that tells which layers are the middle (default: the evidence itself).",
            rich_help_panel=CHOOSING,
        ),
    ] = None,
    layers: Layers = None,
    top: Top = None,
    fdr: Fdr = DEFAULT_FDR,
    copies: Copies = True,
    seed: Seed = 0,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Middle-layer experts that the sequences of a task select more than plain text does (2510.04694).

    Chosen where the mean over sequences of a(task) - a(plain) is above tau. The plan adds half a standard deviation of
    the logits.
    """
    from polyglyph.analysis.identification.choosing import Choosing
    from polyglyph.analysis.identification.task_experts import DEFAULT_EDITING, identify

    if bands is not None and layers is not None:
        raise typer.BadParameter("--bands finds the layers that --layers names: give one of them")
    counts = read(evidence, labels)
    sides = sides_of(by, ("--task", task), ("--plain", plain), span)
    found = identify(
        counts,
        sides,
        tau=tau,
        bands_from=None if bands is None else read(bands, None),
        choosing=Choosing(top=top, fdr=fdr, layers=layers_of(layers)),
        editing=editing_of(op, value, renormalize, default=DEFAULT_EDITING),
        phases=phases_of(phases),
        looks_for_copies=copies,
        seed=seed,
    )
    return beside_scripts(found, counts, sides, evidence, labels)
