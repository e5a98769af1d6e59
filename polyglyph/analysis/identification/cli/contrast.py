"""`polyglyph identify contrast`."""

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


def contrast(
    evidence: EvidencePath,
    *,
    of: Annotated[str, typer.Option("--of", metavar="VALUE,...", help="The class of the response.")],
    others: Annotated[
        str | None,
        typer.Option("--others", metavar="VALUE,...", help="What it is compared with (default: all other classes)."),
    ] = None,
    by: By = "label",
    span: Span = "prompt",
    labels: LabelsFile = None,
    top: Top = 10,
    fdr: Fdr = DEFAULT_FDR,
    layers: Layers = None,
    copies: Copies = True,
    seed: Seed = 0,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Experts that are more active in prompts whose response is of a class than in others (MoTE's fTRI).

    EVIDENCE is best the folder of a labelled run, asked with --class. The plan bans them; --op scale --value 0
    --renormalize leaves them selected and without weight.
    """
    from polyglyph.analysis.identification.choosing import Choosing
    from polyglyph.analysis.identification.contrast import DEFAULT_EDITING, identify

    counts = read(evidence, labels)
    sides = sides_of(by, ("--of", of), ("--others", others), span)
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
