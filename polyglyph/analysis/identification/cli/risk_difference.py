"""`polyglyph identify risk-difference`."""

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
    editing_of,
    layers_of,
    phases_of,
)
from polyglyph.analysis.identification.identified import Identified


def risk_difference(
    evidence: EvidencePath,
    *,
    first: Annotated[str, typer.Option("--first", metavar="VALUE,...", help="The group whose experts are promoted.")],
    second: Annotated[
        str | None,
        typer.Option("--second", metavar="VALUE,...", help="The group it is compared with (default: all others)."),
    ] = None,
    by: By = "label",
    span: Span = None,
    labels: LabelsFile = None,
    top: Top = 20,
    fdr: Fdr = DEFAULT_FDR,
    layers: Layers = None,
    copies: Copies = True,
    seed: Seed = 0,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Experts that tokens of one group select more often, or less, than those of another (SteerMoE).

    Ranked by a(first) - a(second) over all layers. The plan forces what the first group selects more, at most k in a
    layer, and bans what it selects less.
    """
    from polyglyph.analysis.identification.choosing import Choosing
    from polyglyph.analysis.identification.risk_difference import DEFAULT_EDITING, identify

    counts = read(evidence, labels)
    sides = sides_of(by, ("--first", first), ("--second", second), span)
    found = identify(
        counts,
        sides,
        choosing=Choosing(top=top, fdr=fdr, layers=layers_of(layers)),
        editing=editing_of(op, value, renormalize, default=DEFAULT_EDITING),
        phases=phases_of(phases),
        looks_for_copies=copies,
        seed=seed,
    )
    return beside_scripts(found, counts, sides, evidence, labels)
