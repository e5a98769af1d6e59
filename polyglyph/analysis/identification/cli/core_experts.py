"""`polyglyph identify core-experts`."""

from typing import Annotated

import typer

from polyglyph.analysis.identification.cli.evidence import beside_scripts, read, sides_of
from polyglyph.analysis.identification.cli.options import (
    ALL_PHASES,
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
    layers_of,
    phases_of,
)
from polyglyph.analysis.identification.identified import Identified


def core_experts(
    evidence: EvidencePath,
    *,
    positive: Annotated[
        str, typer.Option("--positive", metavar="VALUE,...", help="What the readout is to tell, such as 'knows'.")
    ],
    negative: Annotated[
        str | None,
        typer.Option("--negative", metavar="VALUE,...", help="What from (default: all others)."),
    ] = None,
    by: By = "label",
    span: Span = "prompt",
    labels: LabelsFile = None,
    top: Top = None,
    fdr: Fdr = DEFAULT_FDR,
    layers: Layers = None,
    copies: Copies = True,
    seed: Seed = 0,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Experts that tell prompts of one kind from prompts of another, as a readout for single requests (CEAI).

    Write an expert set (-o NAME.experts.json): weights and bias of a logistic readout, with its area under the ROC
    curve on items held out. With --op also a plan that promotes the experts of the positive prompts.
    """
    from polyglyph.analysis.identification.choosing import Choosing
    from polyglyph.analysis.identification.core_experts import identify
    from polyglyph.analysis.identification.editing import Editing

    if op is None and (value is not None or renormalize is not None):
        raise typer.BadParameter("--value and --renormalize are of an operation: name it with --op")
    counts = read(evidence, labels)
    sides = sides_of(by, ("--positive", positive), ("--negative", negative), span)
    found = identify(
        counts,
        sides,
        choosing=Choosing(top=top, fdr=fdr, layers=layers_of(layers)),
        editing=None if op is None else Editing(op=op, value=value, renormalize=renormalize),
        phases=phases_of(phases),
        looks_for_copies=copies,
        seed=seed,
    )
    return beside_scripts(found, counts, sides, evidence, labels)
