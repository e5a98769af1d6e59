"""The command `polyglyph organism`: look at the world, train the organism, measure it.

Data goes to stdout, words to stderr. Exit codes: 0 done, 1 refused (the text says why), 2 wrong usage.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglyph import bundled_organism
from polyglyph.analysis.organism.errors import OutputError
from polyglyph.analysis.organism.run import MAX_SEED, Run
from polyglyph.analysis.organism.terminal import print_card, quiet_torch, refusals
from polyglyph.analysis.organism.variant import variant_named
from polyglyph.clients.output import print_data, print_json, say

if TYPE_CHECKING:
    from polyglyph.analysis.organism.training import Trained

app = typer.Typer(
    help="The model organism: a tiny MoE trained on a world written in four scripts.", no_args_is_help=True
)

Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Makes the world, the weights and the lessons.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest on a busy machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the data as JSON.")]


@app.command()
def world(
    *,
    seed: Seed = Run.seed,
    output: Annotated[Path | None, typer.Option(help="Write the world to this new file instead, as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the synthetic world: its relations and entities, and a fact of each home script in every script."""
    with refusals():
        from polyglyph.analysis.organism.world import make_world

        made = make_world(seed)
        if output is not None:
            _write_new(output, json.dumps(made.to_json(), indent=2, ensure_ascii=False))
        elif as_json:
            print_json(made.to_json())
        else:
            from polyglyph.analysis.organism.summary import summarise

            print_data(summarise(made))


@app.command()
def train(
    *,
    output: Annotated[Path, typer.Option(help="A new or empty directory for the model.")],
    seed: Seed = Run.seed,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = Run.num_steps,
    lessons: Annotated[int, typer.Option(min=1, help="Training examples per step.")] = Run.num_lessons,
    variant: Annotated[
        str, typer.Option(help="What is engineered into it: full, unaligned, unrewarded, natural or characters.")
    ] = Run.variant,
    threads: Threads = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the directory.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an organism from nothing, measure it and write its card. About five minutes on one core."""
    with refusals():
        variant_named(variant)
        _check_output(output, resume=resume)
        quiet_torch(threads=threads)
        from polyglyph.analysis.organism.card import describe_training, write_card
        from polyglyph.analysis.organism.checkpoint import FILE_NAME
        from polyglyph.analysis.organism.model import save_model

        output.mkdir(parents=True, exist_ok=True)
        trained = _train(Run(seed=seed, num_steps=steps, num_lessons=lessons, variant=variant), output)
        save_model(trained.model, trained.tokenizer, output)
        say("measuring")
        card = write_card(output, describe_training(trained.progress))
        (output / FILE_NAME).unlink()
        print_card(card, output, as_json=as_json)


@app.command()
def card(
    *,
    directory: Annotated[Path, typer.Argument(help="Directory of a trained organism.")],
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Measure an organism again and rewrite its card.json and README.md."""
    with refusals():
        _check_exists(directory)
        quiet_torch(threads=threads)
        from polyglyph.analysis.organism.card import read_training, write_card

        print_card(write_card(directory, read_training(directory)), directory, as_json=as_json)


@app.command()
def prompts(
    *,
    directory: Annotated[
        Path | None, typer.Argument(help="Directory of a trained organism; the bundled one unless named.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the files.")],
    as_json: AsJson = False,
) -> None:
    """Write prompts about an organism's world, which `polyglyph identify` asks to find experts."""
    with refusals():
        model = bundled_organism() if directory is None else directory
        _check_exists(model)
        from polyglyph.analysis.benchmarks.organism_prompts import write_prompts

        written = write_prompts(model, output)
        if as_json:
            print_json(written)
        else:
            print_data("\n".join(f"{name}: {count}" for name, count in written.items()))
        say(f"wrote {len(written)} files to {output}")


def _train(run: Run, output: Path) -> "Trained":
    from polyglyph.analysis.organism.curriculum import WorldCurriculum
    from polyglyph.analysis.organism.display import TrainingDisplay
    from polyglyph.analysis.organism.training import train as train_run
    from polyglyph.analysis.organism.world import make_world

    try:
        with TrainingDisplay(num_steps=run.num_steps) as display:
            curriculum = WorldCurriculum(make_world(run.seed), variant_named(run.variant).units)
            return train_run(run, curriculum, directory=output, report=display)
    except KeyboardInterrupt:
        advice = "go on with the same command and --resume" if _has_checkpoint(output) else "there is no checkpoint yet"
        say(f"stopped; {advice}")
        raise typer.Exit(130) from None


def _check_output(output: Path, *, resume: bool) -> None:
    has_checkpoint = _has_checkpoint(output)
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output} is a file, not a directory: give a new directory")
    if resume and not has_checkpoint:
        raise OutputError(f"{output} holds no checkpoint to resume: leave out --resume to start anew")
    if not resume and output.is_dir() and any(output.iterdir()):
        advice = "give --resume to go on with it, or a new directory" if has_checkpoint else "give a new directory"
        raise OutputError(f"{output} is not empty: {advice}")


def _has_checkpoint(output: Path) -> bool:
    from polyglyph.analysis.organism.checkpoint import FILE_NAME

    return (output / FILE_NAME).is_file()


def _check_exists(directory: Path) -> None:
    if not directory.is_dir():
        raise OutputError(f"{directory} is not a directory: give the directory of a trained organism")


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
