"""The command `polyglyph names`: look at the real names, write their benchmark, train an organism on them, measure it.

Data goes to stdout, words to stderr. Exit codes: 0 done, 1 refused (the text says why), 2 wrong usage, 130 stopped.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from polyglyph.analysis.organism.run import MAX_SEED
from polyglyph.analysis.organism.terminal import print_card, quiet_torch, refusals
from polyglyph.clients.output import print_data, say

app = typer.Typer(help="Real cities in nine scripts: their table, benchmark and organism.", no_args_is_help=True)

VARIANT = "names"

Seed = Annotated[
    int, typer.Option(min=0, max=MAX_SEED, help="Deals what is taught where, and draws samples and weights.")
]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest on a busy machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the data as JSON.")]


class Style(StrEnum):
    """How questions are worded."""

    ORGANISM = "organism"
    SENTENCE = "sentence"


@app.command()
def summary(*, seed: Seed = 0) -> None:
    """Show how many cities there are in each script, what guessing would give, and a fact in every script."""
    with refusals():
        from polyglyph.analysis.names.atlas import make_atlas
        from polyglyph.analysis.names.summary import summarise_atlas

        print_data(summarise_atlas(make_atlas(seed)))


@app.command()
def table(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="A new Parquet file.")],
    seed: Seed = 0,
) -> None:
    """Write every name with its distance from the Latin one, and what is true of its city, as Parquet."""
    with refusals():
        from polyglyph.analysis.names.atlas import make_atlas
        from polyglyph.analysis.names.table import write_table

        write_table(make_atlas(seed), output)
        print_data(str(output))


@app.command()
def benchmark(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The benchmark file, JSON lines.")],
    style: Annotated[Style, typer.Option(help="`organism` for our own model, `sentence` for others.")] = Style.ORGANISM,
    per_pair: Annotated[int, typer.Option(min=1, help="Items of each half, home script and question script.")] = 100,
    seed: Seed = 0,
) -> None:
    """Write the benchmark of real names, to be run with `polyglyph evaluate`."""
    with refusals():
        from polyglyph.analysis.benchmarks.names import names_benchmark
        from polyglyph.analysis.evaluation.reading import write_benchmark

        write_benchmark(names_benchmark(seed, style=style.value, per_pair=per_pair), output)
        print_data(str(output))


@app.command()
def train(
    *,
    output: Annotated[Path, typer.Option(help="A new or empty directory for the model.")],
    seed: Seed = 0,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 8000,
    lessons: Annotated[int, typer.Option(min=1, help="Training examples per step.")] = 64,
    threads: Threads = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the directory.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an organism on real names from nothing, measure it and write its card. About 40 minutes on one core."""
    with refusals():
        _check_output(output, resume=resume)
        quiet_torch(threads=threads)
        from polyglyph.analysis.names.atlas import make_atlas
        from polyglyph.analysis.names.card import write_names_card
        from polyglyph.analysis.names.curriculum import NamesCurriculum
        from polyglyph.analysis.organism.card import describe_training
        from polyglyph.analysis.organism.checkpoint import FILE_NAME
        from polyglyph.analysis.organism.display import TrainingDisplay
        from polyglyph.analysis.organism.model import save_model
        from polyglyph.analysis.organism.run import Run
        from polyglyph.analysis.organism.training import train as train_run

        output.mkdir(parents=True, exist_ok=True)
        atlas = make_atlas(seed)
        run = Run(seed=seed, num_steps=steps, num_lessons=lessons, variant=VARIANT)
        with TrainingDisplay(num_steps=steps) as display:
            trained = train_run(run, NamesCurriculum(atlas), directory=output, report=display)
        save_model(trained.model, trained.tokenizer, output)
        say("measuring")
        document = write_names_card(output, describe_training(trained.progress), atlas=atlas)
        (output / FILE_NAME).unlink()
        print_card(document, output, as_json=as_json)


@app.command()
def card(
    *,
    directory: Annotated[Path, typer.Argument(help="Directory of a trained organism.")],
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Measure an organism again and rewrite its card.json and README.md."""
    with refusals():
        quiet_torch(threads=threads)
        from polyglyph.analysis.names.card import read_names_training, write_names_card

        print_card(write_names_card(directory, read_names_training(directory)), directory, as_json=as_json)


def _check_output(output: Path, *, resume: bool) -> None:
    from polyglyph.analysis.names.errors import NamesError
    from polyglyph.analysis.organism.checkpoint import FILE_NAME

    has_checkpoint = (output / FILE_NAME).is_file()
    if resume and not has_checkpoint:
        raise NamesError(f"{output} holds no checkpoint to resume: leave out --resume to start anew")
    if not resume and output.exists() and not (output.is_dir() and not any(output.iterdir())):
        advice = "give --resume to go on with it, or a new directory" if has_checkpoint else "give a new directory"
        raise NamesError(f"{output} is not an empty directory: {advice}")
