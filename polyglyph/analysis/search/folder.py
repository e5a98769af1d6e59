"""The folder of a search: plans, rules, policy and the record of every trial, written whole at the end."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polyglyph import __version__
from polyglyph.analysis.evaluation.plan_set import SUFFIX
from polyglyph.analysis.evaluation.whole_file import write_whole
from polyglyph.analysis.rules.rule_file import FILE_NAME as RULES_NAME
from polyglyph.analysis.rules.rule_file import RuleFile
from polyglyph.analysis.search.auto import policy_of
from polyglyph.analysis.search.direction import plan_name
from polyglyph.analysis.search.errors import SearchError
from polyglyph.analysis.search.profiling import STATS_NAME
from polyglyph.analysis.search.search import Outcome
from polyglyph.analysis.search.study import FILE_NAME as TRIALS_NAME
from polyglyph.contract.plan import Plan

SCHEMA = "polyglyph.search/1"
REPORT_NAME = "search.json"
POLICY_NAME = "auto.policy.json"
AWAY_NAME = "away"
"""Folder of the plans that need no source: beside those of the pairs they would be read as plans of a pair."""


def check_folder(folder: Path, *, resumes: bool) -> None:
    """Make the folder of a search, or refuse one that holds something else.

    Raises:
        SearchError: It is a file, holds something while this is not to resume it, or holds nothing to resume.
    """
    if folder.exists() and not folder.is_dir():
        raise SearchError(f"--output: {folder} is a file; name a folder")
    has_begun = any((folder / name).is_file() for name in (TRIALS_NAME, STATS_NAME))
    if folder.is_dir() and any(folder.iterdir()) and not resumes:
        advice = "go on with it by --resume, or name another" if has_begun else "name a new or empty one"
        raise SearchError(f"--output: {folder} is not empty: {advice}")
    if resumes and not has_begun:
        raise SearchError(f"--resume: {folder} holds no search to go on with; leave out --resume to begin one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SearchError(f"--output: {folder} cannot be made: {error.strerror or error}") from error


def write_outcome(outcome: Outcome, folder: Path) -> list[Path]:
    """Write what a search found; gives the files' paths, `search.json` last.

    Args:
        outcome: Of the search.
        folder: Existing; files of an earlier end of the same search are replaced or removed.

    Raises:
        SearchError: A file cannot be written.
    """
    try:
        return _written(outcome, folder)
    except OSError as error:
        raise SearchError(f"{folder} cannot be written: {error.strerror or error}") from error


def report_of(outcome: Outcome) -> dict[str, Any]:
    """Give the record of a search as plain JSON types, `polyglyph.search/1`."""
    final = outcome.final
    chosen = final.chosen
    return {
        "schema": SCHEMA,
        "tool": f"polyglyph {__version__}",
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "half": "development",
        **outcome.facts,
        "unsteered": final.unsteered.to_json(),
        "chosen": None if chosen is None else chosen.to_json(),
        "factors": {plan_name(pair): factor for pair, factor in outcome.factors.items()},
        "pairs": {} if chosen is None else {plan_name(pair): chosen.measured.to_json(pair) for pair in outcome.plans},
        "finalists": [finalist.to_json() for finalist in final.finalists],
        "away": None if final.away is None else final.away.to_json(),
        "rules": {trial.rule.name: trial.to_json() for trial in outcome.rules},
        "rules_left_out": dict(outcome.left_out),
        "trials": [trial.to_json() for trial in outcome.trials],
    }


def _written(outcome: Outcome, folder: Path) -> list[Path]:
    away = folder / AWAY_NAME
    if outcome.away:
        away.mkdir(exist_ok=True)
    _clear(folder)
    paths = [*_write_plans(outcome.plans.values(), folder), *_write_plans(outcome.away.values(), away)]
    if outcome.rules:
        rules = RuleFile(
            benchmark=outcome.facts["benchmark"],
            benchmark_sha256=outcome.facts["benchmark_sha256"],
            rules=tuple(trial.document for trial in outcome.rules),
        )
        paths.append(_write_json(rules.to_json(), folder / RULES_NAME))
        paths.append(_write_json(policy_of(outcome.rules[0], outcome.plans).to_json(), folder / POLICY_NAME))
    return [*paths, _write_json(report_of(outcome), folder / REPORT_NAME)]


def _clear(folder: Path) -> None:
    """Remove what an earlier end of this search wrote; its plans may be of pairs that now have none."""
    own = (RULES_NAME, POLICY_NAME, REPORT_NAME)
    for path in (
        *folder.glob(f"*{SUFFIX}"),
        *(folder / AWAY_NAME).glob(f"*{SUFFIX}"),
        *(folder / name for name in own),
    ):
        path.unlink(missing_ok=True)


def _write_plans(plans: Iterable[Plan], folder: Path) -> list[Path]:
    return [_write_json(plan.to_json(), folder / f"{plan.name}{SUFFIX}") for plan in plans]


def _write_json(document: Any, path: Path) -> Path:
    write_whole(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return path
