"""The options of methods that run a model with transformers, and the model that they say."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from polyglyph import bundled_organism

if TYPE_CHECKING:
    from polyglyph.analysis.offline.offline_model import OfflineModel

RUNNING = "Running the model"
Dtype = Literal["auto", "float32", "bfloat16"]

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="FOLDER|NAME",
        help="The model, in the Hugging Face format (default: the organism).",
        rich_help_panel=RUNNING,
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda, cuda:1 (default: CUDA where there is one).", rich_help_panel=RUNNING),
]
Precision = Annotated[
    Dtype,
    typer.Option("--dtype", help="auto: the checkpoint's own on CUDA, float32 on a CPU.", rich_help_panel=RUNNING),
]
Threads = Annotated[
    int, typer.Option("--threads", min=1, help="CPU threads; one is fastest for the organism.", rich_help_panel=RUNNING)
]
LongestExample = Annotated[
    int, typer.Option("--longest", min=1, help="Most tokens of one example.", rich_help_panel=RUNNING)
]
BatchTokens = Annotated[
    int,
    typer.Option("--batch-tokens", min=1, help="Tokens that are computed at once, about.", rich_help_panel=RUNNING),
]


def offline_model(model: str | None, *, device: str | None, dtype: Dtype, threads: int) -> "OfflineModel":
    """Load the model that was named, or the organism; its own words and bars are kept out of ours.

    Raises:
        OfflineError: It cannot be loaded or read.
    """
    from polyglyph.analysis.offline.offline_model import load_offline
    from polyglyph.analysis.organism.terminal import quiet_torch

    quiet_torch(threads=threads)
    return load_offline(model or bundled_organism(), device=device, dtype=dtype)
