"""`polyglyph identify super-experts`: the few experts with enormous outputs, as a guard against bans."""

from typing import Annotated

import typer

from polyglyph.analysis.evaluation.options import own_model
from polyglyph.analysis.identification.cli.offline_options import (
    BatchTokens,
    Device,
    LongestExample,
    Model,
    Precision,
    Threads,
    offline_model,
)
from polyglyph.analysis.identification.cli.options import CHOOSING
from polyglyph.analysis.identification.identified import Identified


def super_experts(
    texts: Annotated[
        str,
        typer.Argument(
            metavar="TEXTS",
            help="Calibration text: a corpus as 'polyglyph profile' takes it; 'organism' or 'names' for ours.",
        ),
    ],
    *,
    model: Model = None,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", min=1, help="Read so many tokens at most.", rich_help_panel=CHOOSING),
    ] = None,
    percentile: Annotated[
        float,
        typer.Option(
            "--percentile",
            min=0.0,
            max=100.0,
            help="Of all experts' largest outputs, to be exceeded.",
            rich_help_panel=CHOOSING,
        ),
    ] = 99.5,
    share_of_max: Annotated[
        float,
        typer.Option(
            "--share-of-max",
            min=0.0,
            max=1.0,
            help="Of the model's largest output, to be exceeded.",
            rich_help_panel=CHOOSING,
        ),
    ] = 0.1,
    share_of_layers: Annotated[
        float,
        typer.Option(
            "--share-of-layers", min=0.0, max=1.0, help="Look in so many of the first layers.", rich_help_panel=CHOOSING
        ),
    ] = 0.75,
    longest: LongestExample = 2048,
    batch_tokens: BatchTokens = 2048,
    device: Device = None,
    dtype: Precision = "auto",
    threads: Threads = 1,
) -> Identified:
    """Find the experts whose outputs dwarf all others' (2507.23279), by running the model over TEXTS with transformers.

    -o NAME.experts.json writes them as a guard that servers refuse bans of; -o NAME.csv the sizes of every expert's
    outputs. That there is no super expert is a result too.
    """
    from polyglyph.analysis.identification.super_experts import Thresholds, identify
    from polyglyph.analysis.offline.examples import read_texts
    from polyglyph.analysis.search.profiling import corpus_of

    loaded = offline_model(model, device=device, dtype=dtype, threads=threads)
    thresholds = Thresholds(percentile=percentile, share_of_max=share_of_max, share_of_layers=share_of_layers)
    with corpus_of(texts, model=own_model(model), tag="") as corpus:
        examples = read_texts(corpus, loaded.tokenizer, max_tokens=tokens, longest=longest)
    return identify(loaded, examples, thresholds, batch_tokens=batch_tokens)
