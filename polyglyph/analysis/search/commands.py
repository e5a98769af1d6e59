"""The command `polyglyph search`: plans for every pair of scripts of a benchmark, chosen on its development half."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.options import own_model
from polyglyph.analysis.evaluation.serving import Concurrency, ServedModel, VllmFlags, connection_of, served
from polyglyph.analysis.evaluation.sources import find_benchmark
from polyglyph.analysis.search.direction import DirectionKind, Operation
from polyglyph.analysis.search.folder import REPORT_NAME, check_folder, report_of, write_outcome
from polyglyph.analysis.search.lines import lines_of, trial_line
from polyglyph.analysis.search.profiling import STATS_NAME, TAG, corpus_of, profile_corpus
from polyglyph.analysis.search.search import Options, Outcome, search
from polyglyph.analysis.search.space import SOURCED
from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.clients.connection import AdminKey, ApiKey, Connection, Url
from polyglyph.clients.keys import DEFAULT_URL
from polyglyph.clients.output import AsJson, print_data, print_json, say, words_console
from polyglyph.contract.exports.reading import read_stats

app = typer.Typer(help="Search for plans on a benchmark's development half.")

STATS, CHOOSING = "Stats", "Choosing"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the stats come from: a file, or a corpus that is profiled first.

    Attributes:
        file: Stats.
        corpus: A corpus' path, `organism` or `names`.
        num_tokens: To generate for each of its messages.
        tag: Of the stats to use; None for all of a file, and our own for a corpus.
        model: Directory of the model that is asked, where known.
    """

    file: Path | None
    corpus: str | None
    num_tokens: int
    tag: str | None
    model: Path | None


@app.command()
def command(
    context: typer.Context,
    *,
    benchmark: Annotated[
        str,
        typer.Argument(metavar="BENCHMARK", help="A benchmark file or name, as 'polyglyph evaluate' takes it."),
    ],
    flags: VllmFlags = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the search: new, empty, or with --resume its own.")
    ],
    stats: Annotated[
        Path | None, typer.Option("--stats", help="Stats of text in every script.", rich_help_panel=STATS)
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="CORPUS",
            help="Make the stats from a corpus that the model knows in every script; 'organism' or 'names' for ours.",
            rich_help_panel=STATS,
        ),
    ] = None,
    profile_tokens: Annotated[
        int,
        typer.Option("--profile-tokens", min=1, help="Tokens to generate per chat message.", rich_help_panel=STATS),
    ] = 1,
    tag: Annotated[
        str | None, typer.Option("--tag", help="Use only stats with this tag.", rich_help_panel=STATS)
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", min=2, help="Trials, the unsteered one included.", rich_help_panel=CHOOSING)
    ] = 48,
    items: Annotated[
        int, typer.Option("--items", min=2, help="Development items per trial.", rich_help_panel=CHOOSING)
    ] = 360,
    finalists: Annotated[
        int,
        typer.Option(
            "--finalists", min=1, help="Trials that are asked every item they are to mend.", rich_help_panel=CHOOSING
        ),
    ] = 5,
    direction: Annotated[
        list[DirectionKind] | None,
        typer.Option(
            "--direction",
            help="Directions to try (default: those that look at the source); repeatable.",
            rich_help_panel=CHOOSING,
        ),
    ] = None,
    operation: Annotated[
        list[Operation] | None,
        typer.Option(
            "--operation",
            help="What may be done with a direction (default: add_std); repeatable.",
            rich_help_panel=CHOOSING,
        ),
    ] = None,
    guard_weight: Annotated[
        float,
        typer.Option(
            "--guard-weight", min=0.0, help="What a lost guard costs, against a mended item.", rich_help_panel=CHOOSING
        ),
    ] = Options.guard_weight,
    per_pair: Annotated[
        bool, typer.Option("--per-pair", help="Give every pair strengths of its own.", rich_help_panel=CHOOSING)
    ] = False,
    rules: Annotated[
        bool, typer.Option("--rules/--no-rules", help="Fit rules that guess the source.", rich_help_panel=CHOOSING)
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws sample and trials.", rich_help_panel=CHOOSING)] = 0,
    concurrency: Concurrency = Options.concurrency,
    model: ServedModel = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the trials in the folder.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
    admin_key: AdminKey = None,
) -> None:
    """Find a plan for every pair of scripts that BENCHMARK asks across; choose nothing on its test half.

    Without --url (or POLYGLYPH_URL) a server is started for the length of the command. That no plan is better than
    none is a result too. --resume goes on with a search that was cut off.
    """
    if (stats is None) == (profile is None):
        raise typer.BadParameter("give --stats FILE or --profile CORPUS: directions are made of stats")
    connection = connection_of(context, Connection(url, api_key, admin_key), model=model, flags=flags)
    is_own = connection.url is None
    organism = own_model(model) if is_own else None
    options = Options(
        num_trials=trials,
        num_items=items,
        num_finalists=finalists,
        directions=tuple(dict.fromkeys(direction or SOURCED)),
        operations=tuple(dict.fromkeys(operation or [Operation.ADD_STD])),
        guard_weight=guard_weight,
        fits_pairs=per_pair,
        makes_rules=rules,
        seed=seed,
        concurrency=concurrency,
    )
    asked = find_benchmark(benchmark, model=organism)
    source = Source(file=stats, corpus=profile, num_tokens=profile_tokens, tag=tag, model=organism)
    check_folder(output, resumes=resume)
    with served(connection, model, flags, words="starting a server for this search") as server:
        outcome = asyncio.run(_run(server, asked, source, output, options, resumes=resume))
    write_outcome(outcome, output)
    _show(outcome, output, as_json=as_json)


async def _run(
    server: Connection, benchmark: Benchmark, source: Source, folder: Path, options: Options, *, resumes: bool
) -> Outcome:
    client = AsyncPolyglyph(server.url or DEFAULT_URL, api_key=server.api_key, admin_key=server.admin_key)
    async with client:
        path, tag = await _stats_of(client, source, folder)
        return await search(
            client,
            benchmark,
            read_stats(path),
            folder,
            options,
            tag=tag,
            resumes=resumes,
            watch=lambda record: words_console().print(trial_line(record), soft_wrap=True),
            say=say,
        )


async def _stats_of(client: AsyncPolyglyph, source: Source, folder: Path) -> tuple[Path, str | None]:
    """Give the stats file and the tag to use; a corpus is profiled once, also of a search that is resumed."""
    if source.file is not None:
        return source.file, source.tag
    assert source.corpus is not None
    path, tag = folder / STATS_NAME, source.tag or TAG
    if not path.exists():
        with corpus_of(source.corpus, model=source.model, tag=tag) as corpus:
            say(f"profiling {source.corpus}")
            await profile_corpus(client, corpus, path, tag=tag, max_tokens=source.num_tokens)
    return path, tag


def _show(outcome: Outcome, folder: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(report_of(outcome))
    else:
        print_data("\n".join(lines_of(outcome)))
    say(f"wrote {len(outcome.plans)} plans and {REPORT_NAME} to {folder}")
