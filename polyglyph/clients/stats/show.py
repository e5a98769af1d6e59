"""`polyglyph stats show`: sums as a table, from a server or from a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.clients.output import AsJson, print_data, print_json, say
from polyglyph.clients.stats.filters import StatsFilters
from polyglyph.clients.stats.options import By, columns_of
from polyglyph.contract.errors import RequestError
from polyglyph.contract.sums import Column

if TYPE_CHECKING:
    from polyglyph.contract.exports.conservation import Conservation
    from polyglyph.contract.exports.loaded import LoadedStats


def show(
    server: Polyglyph,
    *,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A stats file; without it the server's stats.")
    ] = None,
    filters: StatsFilters,
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="What to tell apart; repeat it to combine (default: script and phase)."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Experts to name per line, or lines with --by expert.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show tokens, routing entropy (bits) by range of layers, and the most selected experts, line by line.

    --by script tells tokens apart by their own script, --by request-script by the script of the request's text. Exit
    code 1 when selections are not tokens x layers x top-k.
    """
    from polyglyph.clients.stats.lines import lines_of
    from polyglyph.contract.exports.conservation import conservation_of

    words = by or [By.SCRIPT, By.PHASE]
    columns = columns_of(words)
    stats = _of_server(server, columns, filters) if file is None else _of_file(file, columns, filters)
    names = _plan_names(server) if file is None and "plan" in columns else {}
    labels = [*columns, *(["layer"] if By.LAYER in words and By.EXPERT not in words else [])]
    lines = lines_of(stats, by=labels, plan_names=names)
    conservation = conservation_of(stats.header, stats.groups)
    if as_json:
        print_json(_document(stats, lines, conservation, num_top=top))
    else:
        _print_table(stats, lines, labels, num_top=top, is_by_expert=By.EXPERT in words)
        _say_rest(stats, conservation)
    if not conservation.holds:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _of_server(server: Polyglyph, columns: tuple[Column, ...], filters: StatsFilters) -> "LoadedStats":
    from polyglyph.contract.exports.documents import load_document

    wanted: StatsFilters = {**filters, "by": columns}
    return load_document(server.stats(**wanted))


def _of_file(path: Path, columns: tuple[Column, ...], filters: StatsFilters) -> "LoadedStats":
    from polyglyph.contract.exports.reading import read_stats
    from polyglyph.contract.exports.selection import select
    from polyglyph.contract.sums import StatsQuery

    if "since" in filters:
        raise RequestError("--since: a file does not say when its tokens were counted; ask the server", param="since")
    plan = filters.get("plan")
    if plan and not plan.startswith("sha256:"):
        raise RequestError(
            f"--plan: a file knows plans by fingerprint (sha256:...), not by name; got {plan!r:.60}", param="plan"
        )
    wanted: Any = filters
    return select(read_stats(path), StatsQuery(by=columns, **wanted))


def _plan_names(server: Polyglyph) -> dict[str, str]:
    return {entry.fingerprint: entry.name for entry in server.plans.list()}


def _print_table(stats: "LoadedStats", lines: Any, labels: list[str], *, num_top: int, is_by_expert: bool) -> None:
    from polyglyph.clients.stats.table import expert_table, line_table

    if is_by_expert:
        print_data(expert_table(lines, columns=labels, num_top=num_top))
    else:
        print_data(line_table(lines, columns=labels, num_layers=stats.header.layers, num_top=num_top))


def _say_rest(stats: "LoadedStats", conservation: "Conservation") -> None:
    header = stats.header
    say(f"since {header.since}, until {header.until}, model {header.model_fingerprint[:19]}")
    if overflow := stats.tally.overflow_tokens:
        say(f"{overflow} tokens found no free group; they are counted under tag 'overflow'", style="yellow")
    if conservation.holds:
        say(f"conservation holds: {conservation}")
    else:
        say(f"conservation is broken: {conservation}", style="red")


def _document(stats: "LoadedStats", lines: Any, conservation: "Conservation", *, num_top: int) -> dict[str, Any]:
    from polyglyph.clients.stats.table import line_json

    header = stats.header
    return {
        **header.model_dump(mode="json", by_alias=True),
        "schema": "polyglyph.stats-lines/1",
        "overflow_tokens": stats.tally.overflow_tokens,
        "conservation": {
            "holds": conservation.holds,
            "selections": conservation.selections,
            "expected": conservation.expected,
            "tokens": conservation.tokens,
        },
        "lines": [line_json(line, num_layers=header.layers, num_top=num_top) for line in lines],
    }
