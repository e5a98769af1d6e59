"""The command `polyglyph evaluate`: asks a benchmark in the ways of many arms, and reports."""

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from polyglyph.analysis.evaluation.arms import ALL, Choice
from polyglyph.analysis.evaluation.benchmark import Benchmark, Scorer
from polyglyph.analysis.evaluation.errors import EvaluationRefusedError
from polyglyph.analysis.evaluation.evaluate import DEFAULT_PATIENCE_S, Run, Settings, evaluate
from polyglyph.analysis.evaluation.finishing import TABLE_NAME, finish
from polyglyph.analysis.evaluation.judging import judge_of
from polyglyph.analysis.evaluation.log import ANSWERS
from polyglyph.analysis.evaluation.options import (
    check_installed,
    load_rule_file,
    modes_of,
    numbers_of,
    own_model,
    rule_file_of,
    with_scorer,
    words_of,
)
from polyglyph.analysis.evaluation.progress import ProgressBar
from polyglyph.analysis.evaluation.run_record import check_folder
from polyglyph.analysis.evaluation.selection import Half
from polyglyph.analysis.evaluation.serving import (
    SENDING,
    Concurrency,
    ServedModel,
    VllmFlags,
    connection_of,
    served,
)
from polyglyph.analysis.evaluation.sources import find_benchmark
from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.clients.connection import AdminKey, ApiKey, Connection, Url
from polyglyph.clients.keys import DEFAULT_URL
from polyglyph.clients.output import AsJson, print_data, print_json, say
from polyglyph.clients.profile.stop import INTERRUPTED, Stop, ended_by_signals
from polyglyph.contract.errors import PolyglyphError

app = typer.Typer(help="Measure what a plan does.", add_completion=False)

ITEMS, ARMS, GOING_ON, SCORING = "Items", "Arms", "Going on", "Scoring"


@app.command()
def command(
    context: typer.Context,
    *,
    benchmark: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK",
            help="A benchmark file (JSON lines), organism, organism:DIR, names, names:sentence, eclektic:PATH or "
            "multiloko:PATH.",
        ),
    ],
    flags: VllmFlags = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run: new, empty, or with --resume an earlier run's.")
    ],
    half: Annotated[
        Half,
        typer.Option(
            "--half", help="Parameters are chosen on development and reported on test.", rich_help_panel=ITEMS
        ),
    ] = "test",
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take N items at most, whole entities.", rich_help_panel=ITEMS)
    ] = None,
    arms: Annotated[
        str,
        typer.Option(
            "--arms",
            help="all, or kinds and names with commas: none, plan, random, wrong-script, opposite, strength, hint, "
            "think-in-source, context, hint+plan, auto, random-3, plan-direct-t1 ...",
            rich_help_panel=ARMS,
        ),
    ] = ALL,
    modes: Annotated[
        str, typer.Option("--modes", help="thinking, direct, or both with a comma.", rich_help_panel=ARMS)
    ] = "thinking",
    temperatures: Annotated[
        str, typer.Option("--temperatures", help="With commas; 0 is greedy.", rich_help_panel=ARMS)
    ] = "0",
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Answers per item above temperature 0.", rich_help_panel=ARMS)
    ] = 1,
    plans: Annotated[
        str | None,
        typer.Option(
            "--plans",
            help="A folder of *.plan.json, or a pattern of the server's plan names (default: those named after "
            "scripts, such as cyrl-to-latn and to-latn).",
            rich_help_panel=ARMS,
        ),
    ] = None,
    strength: Annotated[float, typer.Option("--strength", help="The plans' strength.", rich_help_panel=ARMS)] = 1.0,
    strengths: Annotated[
        str, typer.Option("--strengths", help="The sweep, with commas.", rich_help_panel=ARMS)
    ] = "0.5,1.5,2",
    random_draws: Annotated[
        int, typer.Option("--random-draws", min=0, help="Random controls; a claim needs 5.", rich_help_panel=ARMS)
    ] = 5,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", help="Fitted rules that guess source scripts, for auto.", rich_help_panel=ARMS),
    ] = None,
    allow_missing_pairs: Annotated[
        bool,
        typer.Option(
            "--allow-missing-pairs", help="Ask items of scripts without a plan unsteered.", rich_help_panel=ARMS
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the order of requests and of sampling.", rich_help_panel=SENDING)
    ] = 0,
    concurrency: Concurrency = 32,
    model: ServedModel = None,
    patience: Annotated[
        float,
        typer.Option(
            "--patience", min=0.0, help="Seconds to go on trying while nothing answers.", rich_help_panel=GOING_ON
        ),
    ] = DEFAULT_PATIENCE_S,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in the folder; what is there stays.", rich_help_panel=GOING_ON
        ),
    ] = False,
    scorer: Annotated[
        Scorer | None,
        typer.Option("--scorer", help="Judge answers otherwise than the benchmark says.", rich_help_panel=SCORING),
    ] = None,
    rank: Annotated[
        bool,
        typer.Option(
            "--rank", help="Rank candidates too, for RankC, without steering and by plan.", rich_help_panel=SCORING
        ),
    ] = False,
    rank_facts: Annotated[
        int, typer.Option("--rank-facts", min=1, help="Facts to rank candidates of.", rich_help_panel=SCORING)
    ] = 100,
    judge_url: Annotated[
        str | None,
        typer.Option("--judge-url", help="OpenAI-compatible endpoint that judges, with /v1.", rich_help_panel=SCORING),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option("--judge-model", help="The model that judges there.", rich_help_panel=SCORING)
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: ApiKey = None,
    admin_key: AdminKey = None,
) -> None:
    """Ask every item of BENCHMARK in the way of every arm, and report what steering did.

    Without --url (or POLYGLYPH_URL) a server is started for the length of the command. Ctrl-C ends the run; --resume
    goes on with it.
    """
    check_installed()
    connection = connection_of(context, Connection(url, api_key, admin_key), model=model, flags=flags)
    is_own = connection.url is None
    asked = with_scorer(find_benchmark(benchmark, model=own_model(model) if is_own else None), scorer)
    judge = judge_of(asked, url=judge_url, model=judge_model)
    rule_file = rule_file_of(rules, plans=plans, is_bundled=is_own and model is None)
    settings = Settings(
        choice=Choice(
            names=words_of(arms, "--arms"),
            modes=modes_of(modes),
            temperatures=numbers_of(temperatures, "--temperatures", at_least=0.0),
            num_samples=samples,
            strength=strength,
            strengths=numbers_of(strengths, "--strengths"),
            num_draws=random_draws,
        ),
        half=half,
        limit=limit,
        plans=plans,
        allows_missing_pairs=allow_missing_pairs,
        seed=seed,
        concurrency=concurrency,
        patience_s=patience,
        rank_facts=rank_facts if rank else None,
        rules_sha256=sha256(rule_file.read_bytes()).hexdigest() if rule_file else None,
        judge=judge.name if judge else None,
    )
    check_folder(output, resumes=resume)
    with served(connection, model, flags, words="starting a server for this run") as server:
        run = _run(server, asked, output, settings, argument=benchmark, rule_file=rule_file, resumes=resume)
    for name, reason in run.left_out.items():
        say(f"left out {name}: {reason}")
    if not run.is_finished:
        say(f"{run.num_answers} answers are in {output}; go on with --resume")
        raise typer.Exit(INTERRUPTED)
    _show(finish(run, asked, output, judge=judge), output, as_json=as_json)


def _run(
    server: Connection,
    benchmark: Benchmark,
    folder: Path,
    settings: Settings,
    *,
    argument: str,
    rule_file: Path | None,
    resumes: bool,
) -> Run:
    async def run() -> Run:
        stop = Stop()
        client = AsyncPolyglyph(server.url or DEFAULT_URL, api_key=server.api_key, admin_key=server.admin_key)
        async with client:
            with ProgressBar() as bar, ended_by_signals(stop):
                return await evaluate(
                    client,
                    benchmark,
                    folder,
                    settings,
                    argument=argument,
                    rules=load_rule_file(rule_file),
                    resumes=resumes,
                    stop=stop,
                    watch=bar.show,
                )

    try:
        return asyncio.run(run())
    except PolyglyphError as error:
        if (folder / ANSWERS).exists() and not isinstance(error, EvaluationRefusedError):
            say(f"the answers that came are in {folder}; go on with --resume")
        raise


def _show(document: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        print_data((folder / TABLE_NAME).read_text(encoding="utf-8"))
    say(f"written to {folder}")
