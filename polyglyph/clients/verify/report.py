"""Runs the checks one after another and gathers a line for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from polyglyph.clients.verify.ban import check_ban
from polyglyph.clients.verify.closed import check_closed
from polyglyph.clients.verify.conservation import check_conservation
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.idle import check_idle
from polyglyph.clients.verify.isolation import check_isolation
from polyglyph.clients.verify.line import Finding, Line, NotCheckedError, Verdict
from polyglyph.clients.verify.neutral import check_neutral
from polyglyph.clients.verify.prefix_cache import check_prefix_cache
from polyglyph.clients.verify.serving import check_serving
from polyglyph.contract.errors import PolyglyphError


@dataclass(frozen=True)
class Check:
    """A promise and how it is checked."""

    promise: int
    name: str
    run: Callable[[Examination], Finding]


CHECKS = (
    Check(1, "idle", check_idle),
    Check(2, "isolation", check_isolation),
    Check(3, "ban and force", check_ban),
    Check(4, "neutral", check_neutral),
    Check(5, "prefix cache", check_prefix_cache),
    Check(6, "conservation", check_conservation),
    Check(9, "serving", check_serving),
    Check(10, "closed", check_closed),
)


def examine(examination: Examination, promises: frozenset[int]) -> Iterator[Line]:
    """Give a line per promise, as soon as it is known."""
    for check in CHECKS:
        if check.promise in promises:
            yield line_of(check, examination)


def line_of(check: Check, examination: Examination) -> Line:
    """Run one check; a server that fails on the way has broken the promise."""
    try:
        finding = check.run(examination)
    except NotCheckedError as error:
        return Line(check.promise, check.name, Verdict.NOT_CHECKED, str(error))
    except PolyglyphError as error:
        return Line(check.promise, check.name, Verdict.FAILED, str(error))
    verdict = Verdict.FAILED if finding.fault else Verdict.PASSED
    return Line(check.promise, check.name, verdict, finding.fault or finding.text, finding.figures)
