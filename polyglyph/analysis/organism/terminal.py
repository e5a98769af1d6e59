"""The terminal of the commands that make organisms: data on stdout, words and refusals on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from polyglyph.clients.output import print_data, print_json, say, say_error
from polyglyph.clients.profile.stop import INTERRUPTED
from polyglyph.contract.errors import PolyglyphError


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the user can mend into one line on stderr and exit code 1."""
    try:
        yield
    except PolyglyphError as error:
        say_error(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        say("stopped; if a training was under way, the same command with --resume goes on with it")
        raise typer.Exit(INTERRUPTED) from None
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("polyglyph"):
            raise
        say_error(
            f"this command needs the package that gives `{error.name}`: "
            "install polyglyph[cpu,analysis] or polyglyph[cuda,analysis]"
        )
        raise typer.Exit(1) from None


def quiet_torch(*, threads: int) -> None:
    """Set the threads, and keep transformers' bars and hints out of our words."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def print_card(document: dict[str, Any], directory: Path, *, as_json: bool) -> None:
    """Print a card as JSON, or the README that was written from it."""
    from polyglyph.analysis.organism.card import README_NAME

    if as_json:
        print_json(document)
    else:
        print_data((directory / README_NAME).read_text(encoding="utf-8").rstrip("\n"))
