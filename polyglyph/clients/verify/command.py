"""`polyglyph verify`: the report on a running server."""

from collections.abc import Iterable
from typing import Annotated

import typer

from polyglyph.clients.client import Polyglyph
from polyglyph.clients.connection import with_server
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.clients.output import AsJson, print_data, print_json, say
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Line, Verdict
from polyglyph.clients.verify.probe import Probe
from polyglyph.clients.verify.report import CHECKS, examine

PROMISES = frozenset(check.promise for check in CHECKS)


@with_server
def verify(
    server: Polyglyph,
    *,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="URL", help="A plain vLLM server of the same model, for promise 1."),
    ] = None,
    only: Annotated[
        list[int] | None, typer.Option("--only", metavar="N", help="Check this promise only; repeat it for more.")
    ] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=4, help="Longest answer of a question.")] = 24,
    allow_unchecked: Annotated[
        bool, typer.Option("--allow-unchecked", help="Pass although a promise could not be checked here.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the server's promises from outside.

    1 idle, 2 isolation, 3 ban, 4 neutral, 5 prefix cache, 6 conservation, 9 serving, 10 closed.
    """
    promises = _promises(only)
    examination = Examination(Probe(server), server.model(), reference_url=reference, max_tokens=max_tokens)
    lines = []
    for line in examine(examination, promises):
        lines.append(line)
        if not as_json:
            print_data(_show(line))
    is_kept = all(line.verdict in _accepted(allow_unchecked=allow_unchecked) for line in lines)
    if as_json:
        print_json(
            {
                "url": server.url,
                "model": examination.model.binding.model_dump(mode="json"),
                "versions": examination.model.versions,
                "passed": is_kept,
                "promises": [line.to_json() for line in lines],
            }
        )
    else:
        say(_summary(lines))
    if not is_kept:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _promises(only: Iterable[int] | None) -> frozenset[int]:
    chosen = frozenset(only or PROMISES)
    if unknown := chosen - PROMISES:
        raise typer.BadParameter(
            f"--only: promise {min(unknown)} cannot be checked from outside; those that can are "
            f"{', '.join(map(str, sorted(PROMISES)))}"
        )
    return chosen


def _accepted(*, allow_unchecked: bool) -> frozenset[Verdict]:
    return frozenset({Verdict.PASSED, *([Verdict.NOT_CHECKED] if allow_unchecked else [])})


def _show(line: Line) -> str:
    figures = ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in line.figures.items())
    text = f"{line.promise:>2}  {line.name:<14} {line.verdict:<12} {line.text}"
    return f"{text}\n{'':>32}{figures}" if figures else text


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(len(value)) if isinstance(value, list) else str(value)


def _summary(lines: list[Line]) -> str:
    counts = {verdict: sum(line.verdict is verdict for line in lines) for verdict in Verdict}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
