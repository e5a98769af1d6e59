"""`polyglyph identify npmi`: experts that go with a class of tokens."""

from typing import Annotated

import typer

from polyglyph.analysis.identification.cli.options import (
    ALL_PHASES,
    CHOOSING,
    DEFAULT_FDR,
    Copies,
    Fdr,
    LabelsFile,
    Layers,
    Op,
    Phases,
    Renormalize,
    Seed,
    Top,
    Value,
    editing_of,
    layers_of,
    phases_of,
)
from polyglyph.analysis.identification.cli.token_options import TokenizerFolder, TracesPath
from polyglyph.analysis.identification.identified import Identified

Markers = Annotated[
    list[str],
    typer.Option(
        "--marker",
        metavar="[+|-]NAME=WHAT",
        help="A class of tokens: a regular expression that is searched in the text, phase:PHASE or script:CODE; with "
        "- before its name it counts against an expert. Repeatable.",
        rich_help_panel=CHOOSING,
    ),
]


def npmi(
    evidence: TracesPath,
    *,
    marker: Markers,
    tokenizer: TokenizerFolder = None,
    labels: LabelsFile = None,
    top: Top = 2,
    fdr: Fdr = DEFAULT_FDR,
    layers: Layers = None,
    copies: Copies = True,
    seed: Seed = 0,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
) -> Identified:
    """Choose the experts with the highest nPMI with a class of tokens, such as those around a thought (RICE).

    The plan scales their routing weights by 64, and the sum of the weights is left larger, unless told otherwise.
    --fdr 1 chooses by the score alone.
    """
    from polyglyph.analysis.identification.choosing import Choosing
    from polyglyph.analysis.identification.marker_counts import count_markers
    from polyglyph.analysis.identification.markers import parse_markers
    from polyglyph.analysis.identification.model_tokenizer import model_tokenizer
    from polyglyph.analysis.identification.npmi import DEFAULT_EDITING, identify
    from polyglyph.analysis.identification.trace_evidence import open_traces

    markers = parse_markers(marker)
    editing = editing_of(op, value, renormalize, default=DEFAULT_EDITING)
    traces = open_traces(evidence, labels)
    needs_text = any(each.kind == "text" for each in markers)
    texts = model_tokenizer(tokenizer, traces.model) if needs_text else None
    return identify(
        count_markers(traces.by_item(), markers, model=traces.model, texts=texts),
        editing,
        phases=phases_of(phases),
        choosing=Choosing(top=top, fdr=fdr, layers=layers_of(layers)),
        looks_for_copies=copies,
        seed=seed,
        evidence_sha256=traces.digest,
    )
