"""`polyglyph identify ask`: prompts through a server, into the folder of a labelled run."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglyph.analysis.evaluation.serving import Concurrency, ServedModel, VllmFlags, connection_of, served
from polyglyph.analysis.scoring.matching import Matcher
from polyglyph.clients.connection import AdminKey, ApiKey, Connection, Url
from polyglyph.clients.output import say

if TYPE_CHECKING:
    from polyglyph.analysis.identification.asking.prompt import Prompt
    from polyglyph.analysis.identification.asking.question import AskingOptions

LABELS = "Labels"


def ask(
    context: typer.Context,
    *,
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="A prompts file, JSON lines.")],
    flags: VllmFlags = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run: new, empty, or of the same run, which goes on.")
    ],
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME=REGEX",
            help="Label by the class of the response: the first whose pattern is found, else 'other'; repeatable.",
            rich_help_panel=LABELS,
        ),
    ] = None,
    scorer: Annotated[
        Matcher,
        typer.Option("--scorer", help="How an answer is compared with what is expected.", rich_help_panel=LABELS),
    ] = "normalised",
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens", min=1, help="Tokens to generate where a prompt does not say; with 1, the prompt is traced."
        ),
    ] = 1,
    scores: Annotated[bool, typer.Option("--scores", help="Trace the routers' scores of all experts too.")] = False,
    concurrency: Concurrency = 32,
    model: ServedModel = None,
    url: Url = None,
    api_key: ApiKey = None,
    admin_key: AdminKey = None,
) -> None:
    """Ask the prompts of a file and write a labelled run: a trace and a line of labels for each.

    Without --url (or POLYGLYPH_URL) a server is started for the length of the command. A run that was cut off goes on
    by the same command.
    """
    from polyglyph.analysis.identification.asking.prompt import read_prompts
    from polyglyph.analysis.identification.asking.question import AskingOptions
    from polyglyph.analysis.identification.asking.response_class import parse_class

    connection = connection_of(context, Connection(url, api_key, admin_key), model=model, flags=flags)
    asked = read_prompts(prompts)
    options = AskingOptions(
        max_tokens=max_tokens,
        wants_scores=scores,
        classes=tuple(parse_class(text) for text in classes or ()),
        scorer=scorer,
    )
    with served(connection, model, flags, words="starting a server for this run") as server:
        is_whole = asyncio.run(_run(server, asked, output, options, concurrency=concurrency))
    if not is_whole:
        say(f"{output} holds a part of the run; the same command goes on with it")
        raise typer.Exit(_interrupted())
    say(f"wrote {len(asked)} answers with traces and labels to {output}")


async def _run(
    server: Connection, prompts: "tuple[Prompt, ...]", folder: Path, options: "AskingOptions", *, concurrency: int
) -> bool:
    from polyglyph.analysis.evaluation.progress import ProgressBar
    from polyglyph.analysis.identification.asking.ask import ask_prompts
    from polyglyph.clients.async_client import AsyncPolyglyph
    from polyglyph.clients.keys import DEFAULT_URL
    from polyglyph.clients.profile.stop import Stop, ended_by_signals

    stop = Stop()
    client = AsyncPolyglyph(server.url or DEFAULT_URL, api_key=server.api_key, admin_key=server.admin_key)
    async with client:
        with ended_by_signals(stop), ProgressBar() as bar:
            return await ask_prompts(
                client, prompts, folder, options, concurrency=concurrency, stop=stop, watch=bar.show
            )


def _interrupted() -> int:
    from polyglyph.clients.profile.stop import INTERRUPTED

    return INTERRUPTED
