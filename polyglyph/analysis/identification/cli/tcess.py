"""`polyglyph identify tcess`: the experts a task needs, and a plan that bans the others."""

from typing import Annotated

import typer

from polyglyph.analysis.identification.cli.options import (
    ALL_PHASES,
    CHOOSING,
    LabelsFile,
    Phases,
    Seed,
    phases_of,
)
from polyglyph.analysis.identification.cli.token_options import TracesPath
from polyglyph.analysis.identification.identified import Identified

Keep = Annotated[
    float,
    typer.Option(
        "--keep",
        help="Share of each layer's experts to keep, above 0 to 1; at least as many as a token selects are kept.",
        rich_help_panel=CHOOSING,
    ),
]
Select = Annotated[
    int | None,
    typer.Option(
        "--select",
        min=1,
        help="So many of a token's largest logits count as selected (default: what the router selected).",
        rich_help_panel=CHOOSING,
    ),
]
Confidence = Annotated[
    float,
    typer.Option(
        "--confidence",
        min=0.0,
        max=1.0,
        help="Least share among the selected (softmax over their logits) for a token to count.",
        rich_help_panel=CHOOSING,
    ),
]
Scored = Annotated[
    str | None,
    typer.Option(
        "--scoring",
        metavar="[softmax|sigmoid|sqrtsoftplus]",
        help="How the router makes scores of logits (default: as the run's model.json says, or a softmax by its sums).",
    ),
]
Counted = Annotated[
    str,
    typer.Option("--tokens", metavar="PHASE,...", help="Phases whose tokens are the task's.", rich_help_panel=CHOOSING),
]


def tcess(
    evidence: TracesPath,
    *,
    labels: LabelsFile = None,
    keep: Keep = 0.5,
    select: Select = None,
    confidence: Confidence = 0.0,
    scoring: Scored = None,
    tokens: Counted = ALL_PHASES,
    seed: Seed = 0,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Keep the experts of each layer that a task's tokens score highest, and ban the rest (PreMoe).

    TRACES are of the task, with the router's scores: 'polyglyph identify ask --scores' makes them.
    """
    from polyglyph.analysis.identification.tcess import identify
    from polyglyph.analysis.identification.tcess_sums import scoring_named, sum_scores
    from polyglyph.analysis.identification.trace_evidence import open_traces

    traces = open_traces(evidence, labels)
    sums = sum_scores(
        traces.by_item(),
        model=traces.model,
        phases=phases_of(tokens, "--tokens"),
        num_selected=select,
        confidence=confidence,
        scoring=scoring_named(scoring, traces.path),
    )
    return identify(sums, keep=keep, phases=phases_of(phases), seed=seed, evidence_sha256=traces.digest)
