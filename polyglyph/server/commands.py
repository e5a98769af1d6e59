"""`polyglyph serve`: vLLM's OpenAI-compatible server with Polyglyph in it."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from polyglyph.server.settings import PREFIX, read_settings

app = typer.Typer(add_completion=False)
OWN = "Polyglyph"


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": ["-h", "--help"],
    }
)
def serve(
    context: typer.Context,
    *,
    admin_key: Annotated[
        str | None, typer.Option(help="Key for what changes the server or reads others' stats.", rich_help_panel=OWN)
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where plans, policy and sums are kept (default: polyglyph in the user's state folder).",
            rich_help_panel=OWN,
        ),
    ] = None,
    store_url: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL to keep them in instead, shared by several servers: postgresql+psycopg://... "
            "(better given as POLYGLYPH_STORE_URL, which no process list shows).",
            rich_help_panel=OWN,
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file: script -> plan and strength.", rich_help_panel=OWN)
    ] = None,
    steering_default: Annotated[
        str | None,
        typer.Option(
            help="What a request without a steering field gets: off, auto or a plan's name (default: off).",
            rich_help_panel=OWN,
        ),
    ] = None,
    inline_edits: Annotated[
        bool | None,
        typer.Option(
            "--inline-edits/--no-inline-edits",
            help="Take edits in requests (default: on).",
            rich_help_panel=OWN,
            show_default=False,
        ),
    ] = None,
    max_body_bytes: Annotated[
        int | None,
        typer.Option(help="Largest request body that is read (default: 8388608, 8 MiB).", rich_help_panel=OWN),
    ] = None,
    stats: Annotated[
        bool | None,
        typer.Option(
            "--stats/--no-stats",
            help="Keep sums over all tokens (default: on).",
            rich_help_panel=OWN,
            show_default=False,
        ),
    ] = None,
    flush_seconds: Annotated[
        float | None, typer.Option(help="Seconds between two flushes of sums (default: 1).", rich_help_panel=OWN)
    ] = None,
    stats_bucket_seconds: Annotated[
        int | None,
        typer.Option(help="How finely `since` can tell times apart (default: 3600).", rich_help_panel=OWN),
    ] = None,
    stats_max_groups: Annotated[
        int | None,
        typer.Option(help="Most groups of sums; further ones go to the overflow (default: 4096).", rich_help_panel=OWN),
    ] = None,
    expert_metrics: Annotated[
        bool | None,
        typer.Option(
            "--expert-metrics/--no-expert-metrics",
            help="Give a series per layer and expert at /metrics (default: off).",
            rich_help_panel=OWN,
            show_default=False,
        ),
    ] = None,
    max_trace_bytes: Annotated[
        int | None,
        typer.Option(help="Memory for traces in the workers (default: 1073741824, 1 GiB).", rich_help_panel=OWN),
    ] = None,
    trace_scores: Annotated[
        bool | None,
        typer.Option(
            "--trace-scores/--no-trace-scores",
            help="Log router scores on GPUs, for requests that ask for them (default: off; a processor always can).",
            rich_help_panel=OWN,
            show_default=False,
        ),
    ] = None,
    trace_dir: Annotated[
        Path | None,
        typer.Option(
            help="Write every request's routing, token by token, to Parquet files in this folder (default: none).",
            rich_help_panel=OWN,
        ),
    ] = None,
    vllm_help: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Show vLLM's flags: all, a group's name or a flag's.", rich_help_panel=OWN),
    ] = None,
) -> None:
    """Serve MODEL; without one, the bundled organism.

    MODEL and vLLM's own flags pass through, in any order: polyglyph serve MODEL --max-model-len 4096 --admin-key KEY.

    The server listens on 127.0.0.1:8000 unless --host and --port say otherwise. Every flag here is also a variable,
    POLYGLYPH_ADMIN_KEY and so on, which plain `vllm serve` reads too.
    """
    from polyglyph.server import launch

    if vllm_help is not None:
        launch.show_help(vllm_help)
        return
    given = {
        "admin_key": admin_key,
        "data_dir": data_dir,
        "store_url": store_url,
        "policy": policy,
        "steering_default": steering_default,
        "inline_edits": inline_edits,
        "max_body_bytes": max_body_bytes,
        "stats": stats,
        "flush_seconds": flush_seconds,
        "stats_bucket_seconds": stats_bucket_seconds,
        "stats_max_groups": stats_max_groups,
        "expert_metrics": expert_metrics,
        "trace_dir": trace_dir,
        "max_trace_bytes": max_trace_bytes,
        "trace_scores": trace_scores,
    }
    os.environ.update(as_environment(given))
    read_settings()
    launch.run(context.args)


def as_environment(given: dict[str, Any]) -> dict[str, str]:
    """Write the flags that were given as the variables that every process reads."""
    return {
        PREFIX + name.upper(): str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if value is not None
    }
