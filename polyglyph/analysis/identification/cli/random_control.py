"""`polyglyph identify random`: a plan's matched random control."""

from pathlib import Path
from typing import Annotated

import typer

from polyglyph.analysis.identification.cli.options import EvidencePath, LabelsFile
from polyglyph.analysis.identification.identified import Identified


def random_control(
    evidence: EvidencePath,
    *,
    of: Annotated[Path, typer.Option("--of", help="The plan to control, a *.plan.json file.")],
    draw: Annotated[int, typer.Option("--draw", min=0, help="Which control: the same number is the same.")] = 1,
    labels: LabelsFile = None,
) -> Identified:
    """Deal a plan's edits to other experts of the same layers that are selected about as often.

    EVIDENCE says how often: stats, traces or a labelled run of the model that the plan is for.
    """
    from polyglyph.analysis.evidence.reading import read_evidence
    from polyglyph.analysis.identification.random_control import identify
    from polyglyph.contract.plan import load_plan

    return identify(load_plan(of), read_evidence(evidence, labels=labels), draw=draw)
