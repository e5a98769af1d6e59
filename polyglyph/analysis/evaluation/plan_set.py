"""Plan sets: the plan of each query script and source script, in a folder of `*.plan.json` files or on a server.

A plan named `QUERY-to-SOURCE` (`cyrl-to-latn`) is for questions written in QUERY about what was learned in
SOURCE; `to-SOURCE` is for any other query script; any other name is for every pair, when there is nothing else.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from polyglyph.analysis.evaluation.errors import PlanSetError
from polyglyph.contract.plan import Plan, load_plan

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph

Pair = tuple[str, str]
SUFFIX = ".plan.json"
_NAME = re.compile(r"^(?:(?P<query>[a-z]{4})-)?to-(?P<source>[a-z]{4})$", re.IGNORECASE)


@dataclass(frozen=True)
class PlanSet:
    """Plans by (query script, source script).

    Attributes:
        plans: One per pair; a pair without one is never steered.
    """

    plans: Mapping[Pair, Plan]

    def check_covers(self, pairs: Collection[Pair]) -> None:
        """Refuse to go on without the plan of a pair.

        Raises:
            PlanSetError: Names the pairs that have no plan, and those that have one.
        """
        missing = sorted(set(pairs) - self.plans.keys())
        if missing:
            raise PlanSetError(
                f"no plan for {_named(missing)} (query script to source script); there are plans for "
                f"{_named(sorted(self.plans)) or 'no pair'}; add them, or ask these items unsteered with "
                "--allow-missing-pairs"
            )


def load_plan_set(folder: Path, *, scripts: Collection[str]) -> PlanSet:
    """Load a folder of `*.plan.json` files.

    Args:
        folder: Nothing else in it is read; what a plan is for is told by its file's name.
        scripts: What `to-SOURCE` and plans for every pair are spread over: those of the benchmark.

    Raises:
        PlanSetError: There is no plan in it, or two are for one pair.
        RequestError: A file is no plan; the text names it.
    """
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise PlanSetError(f"{folder}: expected a folder with files *{SUFFIX}, found none")
    return plan_set_of({path.name.removesuffix(SUFFIX): load_plan(path) for path in paths}, scripts=scripts)


async def fetch_plan_set(client: "AsyncPolyglyph", pattern: str | None = None, *, scripts: Collection[str]) -> PlanSet:
    """Fetch plans from a server's registry.

    Args:
        client: The server.
        pattern: Of plan names, as in a shell (`to-*`); None takes those that fit the loaded model and are named
            after scripts, none at all included.
        scripts: See `load_plan_set`.

    Raises:
        PlanSetError: No plan's name matches the pattern, or two are for one pair.
    """
    entries = await client.plans.list()
    if pattern is None:
        names = [entry.name for entry in entries if entry.fits_model and _NAME.match(entry.name)]
    else:
        names = [entry.name for entry in entries if fnmatchcase(entry.name, pattern)]
    if pattern is not None and not names:
        there = ", ".join(entry.name for entry in entries) or "none"
        raise PlanSetError(f"--plans {pattern}: no such folder, and no such plan on the server, which has {there}")
    return plan_set_of({name: await client.plans.get(name) for name in names}, scripts=scripts)


def plan_set_of(plans: Mapping[str, Plan], *, scripts: Collection[str]) -> PlanSet:
    """Tell by their names which pairs plans are for; a plan for one pair goes before one for any query script.

    Raises:
        PlanSetError: Two plans are for one pair, or one is named after no script though there are others.
    """
    general: dict[Pair, tuple[str, Plan]] = {}
    special: dict[Pair, tuple[str, Plan]] = {}
    for name, plan in sorted(plans.items()):
        match = _NAME.match(name)
        if match is None and len(plans) > 1:
            raise PlanSetError(
                f"plan {name!r}: expected a name such as 'cyrl-to-latn' or 'to-latn'; a plan for every pair of scripts "
                f"must be the only one, but there are {', '.join(sorted(plans))}"
            )
        into = special if match and match["query"] else general
        for pair in _pairs(match, scripts):
            if pair in into:
                raise PlanSetError(f"plans {into[pair][0]!r} and {name!r} are both for {_named([pair])}")
            into[pair] = (name, plan)
    return PlanSet({pair: plan for pair, (_, plan) in (general | special).items()})


def _pairs(match: "re.Match[str] | None", scripts: Collection[str]) -> Iterator[Pair]:
    if match is None:
        yield from permutations(sorted(scripts), 2)
        return
    source = match["source"].capitalize()
    queries = [match["query"].capitalize()] if match["query"] else sorted(scripts)
    yield from ((query, source) for query in queries if query != source)


def _named(pairs: Collection[Pair]) -> str:
    return ", ".join(f"{query}-to-{source}".lower() for query, source in pairs)
