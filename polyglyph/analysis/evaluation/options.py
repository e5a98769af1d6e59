"""What the options of `polyglyph evaluate` say, as the values that a run takes."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import typer

from polyglyph import bundled_organism, bundled_plans
from polyglyph.analysis.evaluation.arms import Mode
from polyglyph.analysis.evaluation.benchmark import Benchmark, Scorer
from polyglyph.analysis.evaluation.reading import make_benchmark
from polyglyph.clients.errors import MissingDependencyError
from polyglyph.contract.edits import MAX_STRENGTH

if TYPE_CHECKING:
    from polyglyph.analysis.rules.rule import Rule

MODES: tuple[Mode, ...] = get_args(Mode)
NEEDED = ("polars", "scipy", "statsmodels")
RULES_NAME = "rules.json"


def check_installed() -> None:
    """Refuse to begin a run whose report could not be written.

    Raises:
        MissingDependencyError: Names the extra that brings what is missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"this command needs {', '.join(missing)}, which is not installed here: pip install 'polyglyph[analysis]'"
        )


def words_of(value: str, option: str) -> tuple[str, ...]:
    """Read words with commas between them; each counts once."""
    words = tuple(dict.fromkeys(word.strip() for word in value.split(",")))
    if not all(words):
        raise typer.BadParameter(f"{option}: expected words with commas between them, got {value!r}")
    return words


def modes_of(value: str) -> tuple[Mode, ...]:
    """Read `--modes`."""
    words = words_of(value, "--modes")
    unknown = [word for word in words if word not in MODES]
    if unknown:
        raise typer.BadParameter(f"--modes: expected {' or '.join(MODES)}, got {unknown[0]!r}")
    return tuple(mode for word in words for mode in MODES if mode == word)


def numbers_of(value: str, option: str, *, at_least: float = -MAX_STRENGTH) -> tuple[float, ...]:
    """Read numbers with commas between them, up to the largest strength."""
    try:
        numbers = tuple(dict.fromkeys(float(word) for word in words_of(value, option)))
    except ValueError as error:
        raise typer.BadParameter(f"{option}: expected numbers with commas between them, got {value!r}") from error
    for number in numbers:
        if not (math.isfinite(number) and at_least <= number <= MAX_STRENGTH):
            raise typer.BadParameter(f"{option}: expected {at_least:g} to {MAX_STRENGTH:g}, got {number:g}")
    return numbers


def own_model(model: str | None) -> Path | None:
    """Give the directory of the model that a server of our own serves; None for a name of a model elsewhere."""
    path = bundled_organism() if model is None else Path(model)
    return path if path.is_dir() else None


def with_scorer(benchmark: Benchmark, scorer: Scorer | None) -> Benchmark:
    """Give a benchmark whose answers are judged otherwise."""
    if scorer is None or scorer == benchmark.header.scorer:
        return benchmark
    return make_benchmark(benchmark.header.model_copy(update={"scorer": scorer}), benchmark.items)


def rule_file_of(rules: Path | None, *, plans: str | None, is_bundled: bool) -> Path | None:
    """Find the file of rules: the one that is named, else the one beside the plans."""
    if rules is not None:
        if not rules.is_file():
            raise typer.BadParameter(f"--rules: there is no file {rules}")
        return rules
    folder = Path(plans) if plans is not None else bundled_plans() if is_bundled else None
    beside = folder / RULES_NAME if folder is not None else None
    return beside if beside is not None and beside.is_file() else None


def load_rule_file(path: Path | None) -> "tuple[Rule, ...]":
    """Load the rules of a file; none where there is no file."""
    if path is None:
        return ()
    from polyglyph.analysis.rules.rule_file import load_rules

    return load_rules(path)
