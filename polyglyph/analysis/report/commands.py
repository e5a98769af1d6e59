"""The command `polyglyph analyze`: a report on stats, traces or a labelled run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyglyph.analysis.report.options import columns_of, filters_of, named_of, pairs_of
from polyglyph.clients.errors import UnwritableFileError
from polyglyph.clients.output import AsJson, print_data, print_json, say

if TYPE_CHECKING:
    from polyglyph.analysis.report.report import Report

app = typer.Typer(help="Report on stats.", add_completion=False)

COMPARING, TOKENS, WRITING = "Comparing", "Tokens", "Writing"


@app.command()
def command(
    *,
    evidence: Annotated[
        list[Path],
        typer.Argument(
            metavar="STATS...",
            help="Stats files of any format, traces, or a labelled run; several of one model add up.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The page: one HTML file.", rich_help_panel=WRITING),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="What tells groups apart: script (default), request-script, phase, plan, tag, or a label of a "
            "labelled run; repeat it to combine.",
            rich_help_panel=COMPARING,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="COLUMN=A,B",
            help="Keep only these values; repeatable. plan=none keeps what was not steered.",
            rich_help_panel=COMPARING,
        ),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            "--pair",
            metavar="A:B",
            help="Test A minus B; repeatable (default: all pairs, of more than 10 groups the largest with each other).",
            rich_help_panel=COMPARING,
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            metavar="NAME=A+B",
            help="Look for this set's signature too; above 10 groups only single ones and pairs are tried.",
            rich_help_panel=COMPARING,
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Experts in each list of --json.", rich_help_panel=COMPARING)
    ] = 20,
    traces: Annotated[
        Path | None,
        typer.Option(
            "--traces",
            help="Traces of the same model, for each expert's tokens, co-activation and pathways.",
            rich_help_panel=TOKENS,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="Labels of the requests in STATS, where these are traces.", rich_help_panel=TOKENS
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            "--tokenizer", help="The model's folder or its tokenizer.json, for tokens' texts.", rich_help_panel=TOKENS
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="Write every figure as SVG and PNG.", rich_help_panel=WRITING),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report how a model routes groups of tokens: as one page without a network, as figures, or as numbers.

    Without -o, --figures and --json a summary is printed. What cannot be computed is said where it would stand.
    """
    columns, filters, pairs, named = columns_of(by), filters_of(where), pairs_of(pair), named_of(group)
    # Refused before minutes of reading.
    _check_folder(output)
    from polyglyph.analysis.report.report import analyse

    report = analyse(
        list(evidence),
        by=columns,
        where=filters,
        pairs=pairs,
        named=named,
        traces=traces,
        tokenizer=tokenizer,
        labels=labels,
        top=top,
    )
    _write(report, output, figures)
    if as_json:
        print_json(report.document)
    elif output is None and figures is None:
        print_data(_summary(report.document))
    for note in report.document["notes"]:
        say(note, style="yellow")


def _check_folder(output: Path | None) -> None:
    if output is not None and not output.absolute().parent.is_dir():
        raise UnwritableFileError(f"{output} cannot be written: there is no folder {output.absolute().parent}")
    if output is not None and output.is_dir():
        raise UnwritableFileError(f"{output} cannot be written: it is a folder; name a file in it")


def _write(report: "Report", output: Path | None, figures: Path | None) -> None:
    try:
        if output is not None:
            report.write(output)
            say(f"wrote {output} ({output.stat().st_size:,} bytes); open it in a browser, it needs no network")
        if figures is not None:
            paths = report.write_figures(figures)
            say(f"wrote {len(paths)} figures to {figures}")
    except OSError as error:
        path = output if figures is None else error.filename or figures
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error


def _summary(document: dict[str, Any]) -> Any:
    from polyglyph.analysis.report.summary import summary_table

    return summary_table(document)
