"""`polyglyph identify router-lens`: the experts that a task selects once only the routers were tuned on it."""

from pathlib import Path
from typing import Annotated

import typer

from polyglyph.analysis.identification.cli.offline_options import (
    BatchTokens,
    Device,
    LongestExample,
    Model,
    Precision,
    Threads,
    offline_model,
)
from polyglyph.analysis.identification.cli.options import (
    ALL_PHASES,
    CHOOSING,
    Layers,
    Op,
    Phases,
    Renormalize,
    Seed,
    Value,
    editing_of,
    layers_of,
    phases_of,
)
from polyglyph.analysis.identification.identified import Identified

TUNING = "Tuning the routers"


def router_lens(
    tasks: Annotated[
        Path,
        typer.Argument(metavar="TASKS", help="JSON Lines of prompt (text) or messages (chat), and completion (text)."),
    ],
    *,
    model: Model = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps.", rich_help_panel=TUNING)] = 200,
    examples_per_step: Annotated[
        int, typer.Option("--examples-per-step", min=1, help="Examples per step.", rich_help_panel=TUNING)
    ] = 8,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", min=0.0, help="Of AdamW.", rich_help_panel=TUNING)
    ] = 1e-3,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", min=0.0, help="Of AdamW.", rich_help_panel=TUNING)
    ] = 0.0,
    held_out: Annotated[
        float,
        typer.Option(
            "--held-out", min=0.0, max=0.9, help="Share of the items that is not tuned on.", rich_help_panel=TUNING
        ),
    ] = 0.1,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE.safetensors",
            help="Keep the tuning's progress here; the same command goes on from it.",
            rich_help_panel=TUNING,
        ),
    ] = None,
    save_router: Annotated[
        Path | None,
        typer.Option(
            "--save-router",
            metavar="FILE.safetensors",
            help="Write the tuned routers' parameters, by their names in transformers.",
            rich_help_panel=TUNING,
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Choose so many experts per layer.", rich_help_panel=CHOOSING)
    ] = 8,
    layers: Layers = None,
    op: Op = None,
    value: Value = None,
    renormalize: Renormalize = None,
    phases: Phases = ALL_PHASES,
    seed: Seed = 0,
    longest: LongestExample = 2048,
    batch_tokens: BatchTokens = 2048,
    device: Device = None,
    dtype: Precision = "auto",
    threads: Threads = 1,
) -> Identified:
    """Find the experts that a task wants (2508.19594): tune only the routers on TASKS, and see what they then select.

    The table has every expert's frequency with the tuned router and without, and the shift with an interval over
    items. The model's own files are left alone.
    """
    from polyglyph.analysis.identification.router_lens import DEFAULT_EDITING, Options, identify
    from polyglyph.analysis.offline.examples import read_tasks
    from polyglyph.analysis.offline.router_file import save_routers
    from polyglyph.analysis.offline.tuning import Tuning
    from polyglyph.analysis.offline.tuning_bar import TuningBar

    loaded = offline_model(model, device=device, dtype=dtype, threads=threads)
    tuning = Tuning(
        num_steps=steps,
        num_examples=examples_per_step,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        seed=seed,
    )
    options = Options(
        top=top,
        layers=layers_of(layers),
        editing=editing_of(op, value, renormalize, default=DEFAULT_EDITING),
        phases=phases_of(phases),
        held_out=held_out,
        seed=seed,
    )
    examples = read_tasks(tasks, loaded.tokenizer, longest=longest)
    with TuningBar(num_steps=steps) as bar:
        lens = identify(
            loaded, examples, tuning, options, checkpoint=checkpoint, report=bar.show, batch_tokens=batch_tokens
        )
    if save_router is not None:
        save_routers(save_router, loaded, lens.routers)
    return lens.found
