"""`polyglyph profile`: drives a corpus through a running server, or through an engine of its own."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.clients.connection import MAX_CONCURRENCY, AdminKey, ApiKey, Connection, Url
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.clients.keys import DEFAULT_URL
from polyglyph.clients.output import AsJson, print_data, print_json, say
from polyglyph.clients.profile.offline import offline_engine
from polyglyph.clients.profile.progress import ProgressBar
from polyglyph.clients.profile.report import Ending, ProfileReport
from polyglyph.clients.profile.run import DEFAULT_PATIENCE_S, ProfileFailedError, profile
from polyglyph.clients.profile.stop import INTERRUPTED, Stop, ended_by_signals
from polyglyph.clients.profile.text_file import Split
from polyglyph.contract.errors import PolyglyphError
from polyglyph.contract.exports.formats import format_of

READING, SENDING, GOING_ON, OFFLINE = "Reading", "Sending", "Going on", "An engine of its own"


def profile_command(
    context: typer.Context,
    *,
    corpus: Annotated[
        Path,
        typer.Argument(metavar="CORPUS", help="A file or folder of .txt, .jsonl, .ndjson, .parquet or .csv."),
    ],
    engine: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [-- VLLM FLAGS]",
            help="With --offline: what to serve (default: the bundled organism), and vLLM's flags after '--'.",
            show_default=False,
        ),
    ] = None,
    tag: Annotated[
        str, typer.Option("--tag", help="Label in the stats of documents without one.", rich_help_panel=READING)
    ] = "",
    split: Annotated[
        Split, typer.Option("--split", help="What a document of a .txt file is.", rich_help_panel=READING)
    ] = Split.NONE,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take the first N documents.", rich_help_panel=READING)
    ] = None,
    steering: Annotated[
        str | None,
        typer.Option(
            "--steering",
            help="off, auto, a plan's name or a steering field as JSON (default: the server's).",
            rich_help_panel=SENDING,
        ),
    ] = None,
    max_tokens: Annotated[
        int,
        typer.Option("--max-tokens", min=1, help="Tokens to generate for chat messages.", rich_help_panel=SENDING),
    ] = 1,
    prefix_cache: Annotated[
        bool,
        typer.Option(
            "--prefix-cache",
            help="Let the prefix cache serve what documents share; those tokens are not in the sums.",
            rich_help_panel=SENDING,
        ),
    ] = False,
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency", min=1, max=MAX_CONCURRENCY, help="Documents in flight at once.", rich_help_panel=SENDING
        ),
    ] = 16,
    patience: Annotated[
        float,
        typer.Option(
            "--patience", min=0.0, help="Seconds to go on trying while nothing answers.", rich_help_panel=GOING_ON
        ),
    ] = DEFAULT_PATIENCE_S,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            help="Where finished documents are noted (default: in the user's state folder).",
            rich_help_panel=GOING_ON,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with a run that was cut off: nothing is counted again.", rich_help_panel=GOING_ON
        ),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Start an engine for this run and end it after.", rich_help_panel=OFFLINE),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the stats of this run's tag; needs the admin key.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
    admin_key: AdminKey = None,
) -> None:
    """Send every document of CORPUS to a server, so that its routing is in the server's stats.

    Texts are only read: what is counted is their tokens. Ctrl-C ends the run with its report.
    """
    own = Connection(url, api_key, admin_key)
    if offline:
        _check_offline(own, output=output, resume=resume, state=state)
    elif engine:
        raise typer.BadParameter(f"'{engine[0]}' belongs to --offline: a running server has its model")
    base = context.obj if isinstance(context.obj, Connection) else Connection()
    options = {
        "tag": tag,
        "split": split,
        "limit": limit,
        "steering": _steering(steering),
        "max_tokens": max_tokens,
        "shares_prefixes": prefix_cache,
        "concurrency": concurrency,
        "patience_s": patience,
        "keeps_state": not offline,
        "state": state,
        "resumes": resume,
    }
    if offline:
        say("starting an engine for this run")
        with offline_engine(engine or ()) as connection:
            _profile(connection, corpus, options, output=output, as_json=as_json)
    else:
        _profile(own.over(base), corpus, options, output=output, as_json=as_json)


def _check_offline(own: Connection, *, output: Path | None, resume: bool, state: Path | None) -> None:
    if own.url or own.api_key or own.admin_key:
        raise typer.BadParameter("--offline starts a server of its own: leave out --url, --api-key and --admin-key")
    if resume or state:
        raise typer.BadParameter("--offline begins with empty sums: there is nothing to go on with")
    if output is None:
        raise typer.BadParameter("--offline: the sums end with the engine; save them with -o FILE")


def _steering(value: str | None) -> Any:
    """Read `--steering`: JSON where it begins like an object or is `false`, else a word."""
    if value is None or not (value.lstrip().startswith("{") or value == "false"):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"--steering: expected a steering field as JSON: {error}") from error


def _profile(
    connection: Connection, corpus: Path, options: dict[str, Any], *, output: Path | None, as_json: bool
) -> None:
    if output is not None:
        _check_can_save(connection, output)
    try:
        report = asyncio.run(_run(connection, corpus, options))
    except ProfileFailedError as error:
        _show(error.report, as_json=as_json)
        with suppress(PolyglyphError):  # the failure itself is what the command ends with
            _save(connection, error.report, output)
        raise error.__cause__ or error from None
    _show(report, as_json=as_json)
    _save(connection, report, output)
    if report.ending is Ending.INTERRUPTED:
        raise typer.Exit(INTERRUPTED)
    if not report.holds:
        raise typer.Exit(ExitCode.CHECK_FAILED)


async def _run(connection: Connection, corpus: Path, options: dict[str, Any]) -> ProfileReport:
    stop = Stop()
    client = AsyncPolyglyph(connection.url or DEFAULT_URL, api_key=connection.api_key, admin_key=connection.admin_key)
    async with client:
        with ProgressBar() as bar, ended_by_signals(stop):
            return await profile(client, corpus, **options, stop=stop, watch=bar.show)


def _show(report: ProfileReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report.to_json())
    else:
        print_data("\n".join(report.lines()))


def _check_can_save(connection: Connection, output: Path) -> None:
    """Refuse before anything is sent what could not be saved after."""
    format_of(output)
    if not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"--output: there is no folder {output.absolute().parent}")
    with connection.open() as server:
        server.stats(by="")


def _save(connection: Connection, report: ProfileReport, output: Path | None) -> None:
    if output is None:
        return
    tags = sorted(report.usage)
    with connection.open() as server:
        if len(tags) == 1:
            server.pull_stats(output, tag=tags[0])
            say(f"saved the stats of {f'tag {tags[0]}' if tags[0] else 'what has no tag'} as {output}")
        else:
            server.pull_stats(output)
            say(f"saved all stats of the server as {output}: this corpus has {len(tags)} tags")
