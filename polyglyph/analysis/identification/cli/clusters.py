"""`polyglyph identify clusters`."""

from typing import Annotated

import typer

from polyglyph.analysis.evaluation.options import words_of
from polyglyph.analysis.identification.cli.evidence import SCRIPT_COLUMNS, read
from polyglyph.analysis.identification.cli.options import (
    ALL_PHASES,
    By,
    EvidencePath,
    LabelsFile,
    Layers,
    Op,
    Phases,
    Renormalize,
    Value,
    editing_of,
    layers_of,
    phases_of,
)
from polyglyph.analysis.identification.identified import Identified

ALIKE = "alike"


def clusters(
    evidence: EvidencePath,
    *,
    of: Annotated[
        str,
        typer.Option(
            "--of", metavar="VALUE,...", help=f"The groups whose cluster is chosen; '{ALIKE}' for what all select."
        ),
    ],
    by: By = "script",
    labels: LabelsFile = None,
    layers: Layers = None,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Experts whose selections spread over the groups in the same way, as a set to turn together.

    The clusters are those of 'polyglyph analyze'. An expert set (-o NAME.experts.json) is a dial of requests.
    """
    from polyglyph.analysis.evidence.checks import NO_SCRIPT
    from polyglyph.analysis.identification.clusters import DEFAULT_EDITING, identify

    counts = read(evidence, labels)
    return identify(
        counts,
        by,
        () if of == ALIKE else words_of(of, "--of"),
        among=tuple(name for name in counts.values(by) if by not in SCRIPT_COLUMNS or name not in NO_SCRIPT),
        layers=layers_of(layers),
        editing=editing_of(op, value, renormalize, default=DEFAULT_EDITING),
        phases=phases_of(phases),
    )
