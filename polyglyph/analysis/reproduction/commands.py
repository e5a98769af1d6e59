"""The command `polyglyph reproduce`: what papers claim of their methods, on the organism, against random controls."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyglyph.analysis.evaluation.options import check_installed, own_model
from polyglyph.analysis.evaluation.serving import Concurrency, ServedModel, VllmFlags, connection_of, served
from polyglyph.analysis.reproduction.registry import ALL, NAMES, named
from polyglyph.clients.connection import AdminKey, ApiKey, Connection, Url
from polyglyph.clients.output import AsJson, print_data, print_json, say

if TYPE_CHECKING:
    from polyglyph.analysis.reproduction.running import Options

app = typer.Typer(help="Reproduce on the organism what papers claim, each method against its random control.")


@app.command()
def command(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"{', '.join(NAMES)}, or {ALL}.")],
    flags: VllmFlags = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the records, NAME.json.")],
    items: Annotated[
        int, typer.Option("--items", min=8, help="Questions per task that an arm is asked at most.")
    ] = 160,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Random controls of each kind.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws questions, resamples and controls.")] = 0,
    concurrency: Concurrency = 64,
    model: ServedModel = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
    admin_key: AdminKey = None,
) -> None:
    """Find experts on development questions as a paper does, and judge its claim on test questions of the organism.

    Without --url (or POLYGLYPH_URL) a server is started for the length of the command. That a claim does not hold here
    is a result too: the command ends well.
    """
    from polyglyph.analysis.reproduction.errors import ReproductionError
    from polyglyph.analysis.reproduction.lines import lines_of
    from polyglyph.analysis.reproduction.running import Options, check_folder

    check_installed()
    connection = connection_of(context, Connection(url, api_key, admin_key), model=model, flags=flags)
    organism = own_model(model)
    if organism is None:
        raise ReproductionError(f"--model: expected the directory of an organism, got {model}")
    names = named(name)
    check_folder(output, names)
    options = Options(items=items, draws=draws, seed=seed, concurrency=concurrency)
    with served(connection, model, flags, words="starting a server of the organism") as server:
        records = asyncio.run(_run(server, names, output, options, organism))
    if as_json:
        print_json(records if name == ALL else records[0])
    else:
        print_data("\n".join(line for record in records for line in lines_of(record)))


async def _run(
    server: Connection, names: tuple[str, ...], folder: Path, options: "Options", model: Path
) -> list[dict[str, Any]]:
    from polyglyph.analysis.reproduction.running import run_all
    from polyglyph.clients.async_client import AsyncPolyglyph
    from polyglyph.clients.keys import DEFAULT_URL
    from polyglyph.clients.run_bar import RunBar

    client = AsyncPolyglyph(server.url or DEFAULT_URL, api_key=server.api_key, admin_key=server.admin_key)
    async with client:
        with RunBar() as bar:

            def watch(current: str, number: int) -> None:
                place = names.index(current)
                bar.draw(f"{current}, {number} requests", completed=place, total=len(names))

            def done(record: dict[str, Any]) -> None:
                say(f"{record['name']}: {record['verdict']}, {record['run']['seconds']:.0f} s")

            return await run_all(client, names, folder, options, model=model, watch=watch, done=done)
