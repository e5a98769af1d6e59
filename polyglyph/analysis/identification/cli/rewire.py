"""`polyglyph identify rewire`: a plan for one conversation, found by trying vectors on its own context."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglyph.analysis.evaluation.serving import Concurrency, ServedModel, VllmFlags, connection_of, served
from polyglyph.analysis.identification.cli.options import ALL_PHASES, CHOOSING, Layers, Phases, Seed, layers_of
from polyglyph.analysis.identification.cli.options import phases_of as read_phases
from polyglyph.analysis.identification.identified import Identified
from polyglyph.clients.connection import AdminKey, ApiKey, Connection, Url

if TYPE_CHECKING:
    from polyglyph.analysis.identification.rewiring.context import Context
    from polyglyph.analysis.identification.rewiring.rewire import Options
    from polyglyph.analysis.search.frequencies import ScriptFrequencies
    from polyglyph.contract.exports.loaded import LoadedStats
    from polyglyph.contract.model import ModelBinding


def rewire(
    context: typer.Context,
    *,
    flags: VllmFlags = None,
    messages: Annotated[
        Path | None,
        typer.Option(
            "--messages",
            metavar="FILE.json",
            help="The conversation: a list of chat messages, or a chat request's fields with 'messages'.",
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="The context as text, in place of a chat.")] = None,
    stats: Annotated[
        Path | None,
        typer.Option(
            "--stats",
            help="Stats of text in several scripts: what each script selects more is tried first.",
            rich_help_panel=CHOOSING,
        ),
    ] = None,
    budget: Annotated[int, typer.Option("--budget", min=2, help="Requests in all.", rich_help_panel=CHOOSING)] = 200,
    per_round: Annotated[
        int, typer.Option("--per-round", min=1, help="Candidates per round.", rich_help_panel=CHOOSING)
    ] = 24,
    step: Annotated[
        float,
        typer.Option(
            "--step",
            min=0.001,
            max=16.0,
            help="Standard deviations of the logits that one expert is moved by at first.",
            rich_help_panel=CHOOSING,
        ),
    ] = 1.0,
    smallest_gain: Annotated[
        float,
        typer.Option(
            "--smallest-gain",
            min=0.0,
            help="Nats per token by which a step must lower the loss to be taken.",
            rich_help_panel=CHOOSING,
        ),
    ] = 1e-3,
    layers: Layers = None,
    phases: Phases = ALL_PHASES,
    seed: Seed = 0,
    concurrency: Concurrency = 16,
    model: ServedModel = None,
    url: Url = None,
    api_key: ApiKey = None,
    admin_key: AdminKey = None,
) -> Identified:
    """Find a plan for one conversation (after 2510.14853): additive vectors that make its context likelier.

    Candidates are tried as parallel requests with inline edits; the loss of the context's first half chooses, the
    second half is held out. Without --url (or POLYGLYPH_URL) a server is started for the length of the command.
    """
    if (messages is None) == (prompt is None):
        raise typer.BadParameter("give either --messages FILE or --prompt TEXT")
    from polyglyph.analysis.identification.rewiring.context import Context, read_messages
    from polyglyph.analysis.identification.rewiring.rewire import Options
    from polyglyph.contract.exports.reading import read_stats

    connection = connection_of(context, Connection(url, api_key, admin_key), model=model, flags=flags)
    asked = Context(body={"prompt": prompt}) if messages is None else read_messages(messages)
    loaded = None if stats is None else read_stats(stats)
    options = Options(
        budget=budget,
        per_round=per_round,
        step=step,
        smallest_gain=smallest_gain,
        layers=layers_of(layers),
        phases=read_phases(phases),
        concurrency=concurrency,
        seed=seed,
    )
    with served(connection, model, flags, words="starting a server for this conversation") as server:
        return asyncio.run(_run(server, asked, options, loaded))


async def _run(server: Connection, context: "Context", options: "Options", stats: "LoadedStats | None") -> Identified:
    from dataclasses import replace

    from polyglyph.analysis.identification.rewiring.candidates import directions_of
    from polyglyph.analysis.identification.rewiring.rewire import rewire as search
    from polyglyph.clients.async_client import AsyncPolyglyph
    from polyglyph.clients.keys import DEFAULT_URL
    from polyglyph.clients.run_bar import RunBar

    client = AsyncPolyglyph(server.url or DEFAULT_URL, api_key=server.api_key, admin_key=server.admin_key)
    async with client:
        with RunBar() as bar:

            def watch(done: int) -> None:
                bar.draw(f"{done} of at most {options.budget} requests", completed=done, total=options.budget)

            if stats is None:
                return await search(client, context, options, watch=watch)
            frequencies = _frequencies(stats, (await client.model()).binding)
            found = await search(client, context, options, directions=directions_of(frequencies), watch=watch)
            return replace(found, frequencies_LE=frequencies.mean_LE)


def _frequencies(stats: "LoadedStats", model: "ModelBinding") -> "ScriptFrequencies":
    from polyglyph.analysis.search.frequencies import script_frequencies

    scripts = {group.key.script for group in stats.groups if group.tokens and not group.key.plan}
    return script_frequencies(stats, sorted(scripts - {"Zyyy"}), model=model)
