"""What a reproduction says of itself, as lines of text and as cells of a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from polyglyph.analysis.results.cells import REASON, reason_of, table

Document = Mapping[str, Any]

REACHED = {True: "yes", False: "no", None: "not judged"}
_DRAWN = {"matched": "matched random", "uniform": "random of the same layers"}
_SIGNS = {"at least": "≥", "above": ">", "below": "<"}


def lines_of(document: Document) -> Iterator[str]:
    """Give a record in a few lines."""
    paper = document["paper"]
    yield f"{document['name']}: {document['verdict']}; better than random: {document['beats_random']}"
    yield f"  {paper['name']} ({paper['arxiv']}): {paper['claim']}"
    for part in document["parts"]:
        figures = ", ".join(f"{name} {cell(figure)}" for name, figure in part["figures"].items())
        beside = "" if part["decides"] else " (beside)"
        yield f"  {part['part']}{beside}: {REACHED[part['reached']]}; {figures}"


def cell(figure: Any, *, decimals: int = 3) -> str:
    """Write a figure with its interval, or why there is none."""
    if reason := reason_of(figure):
        return reason
    low, high = figure["bootstrap_95"]
    value = f"{figure['value']:.{decimals}f}"
    return value if low == high else f"{value} [{low:.{decimals}f}, {high:.{decimals}f}]"


def threshold_text(threshold: Document) -> str:
    """Write what a figure has to reach: ≥ 0.97."""
    interval = ", the whole interval" if threshold["judged_by"] == "interval" else ""
    return f"{_SIGNS[threshold['bound']]} {threshold['limit']:g}{interval} ({threshold['source']})"


def thresholds_table(document: Document) -> str:
    """Write a record's thresholds."""
    return table(
        ("figure", "what it is", "has to be"),
        (
            (name.replace("_", " "), threshold["words"], threshold_text(threshold))
            for name, threshold in document["thresholds"].items()
        ),
    )


def parts_table(document: Document) -> str:
    """Write a record's parts with the figures that decide, and those beside."""
    rows = []
    for part in document["parts"]:
        figures = "; ".join(f"{name.replace('_', ' ')} {cell(figure)}" for name, figure in part["figures"].items())
        beside = "; ".join(f"{words}: {cell(figure)}" for words, figure in part.get("beside", {}).items())
        note = f" ({part['note']})" if part.get("note") else ""
        reached = REACHED[part["reached"]] + ("" if part["decides"] else ", beside")
        over = cell(part["over_random"]) if "over_random" in part else ""
        rows.append((part["part"] + note, figures, reached, over, beside))
    return table(("setting", "figures", "reached", "over the random controls", "beside"), rows)


def arms_table(document: Document) -> str:
    """Write the shares of right answers, a column for each arm; of random draws of a kind mean, lowest and highest."""
    rows = {
        (experiment, asked): cells
        for experiment, arms in document["arms"].items()
        for asked, cells in _by_questions(arms).items()
    }
    names = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    header = ("right answers", *names)
    return table(header, ((_words(*key), *(cells.get(name, "") for name in names)) for key, cells in rows.items()))


def summary_row(document: Document) -> tuple[str, ...]:
    """Write a record's line in the table of all."""
    paper, run = document["paper"], document["run"]
    deciding = [part for part in document["parts"] if part["decides"]]
    num_reached = sum(part["reached"] is True for part in deciding)
    return (
        f"`{document['name']}`",
        f"{paper['name']} ([{paper['arxiv']}](https://arxiv.org/abs/{paper['arxiv']}))",
        f"{document['verdict']}, {num_reached} of {len(deciding)}",
        document["beats_random"],
        f"{run['seconds']:.0f} s",
        f"{run['requests']:,}",
    )


def _by_questions(arms: Any) -> dict[str, dict[str, str]]:
    """Give the cells of each set of questions, by arm; random draws of one kind are one arm."""
    found: dict[str, dict[str, list[Document]]] = {}
    for arm in arms:
        name = _DRAWN.get(arm["kind"], arm["arm"])
        for asked, score in arm["sets"].items():
            found.setdefault(asked, {}).setdefault(name, []).append(score)
    return {asked: {name: _shares(scores) for name, scores in cells.items()} for asked, cells in found.items()}


def _words(experiment: str, asked: str) -> str:
    return asked if asked == experiment else f"{experiment}: {asked}"


def _shares(scores: list[Document]) -> str:
    if any(REASON in score for score in scores):
        return "nothing was asked"
    rates = [100 * score["rate"] for score in scores]
    if len(rates) == 1:
        low, high = (100 * bound for bound in scores[0]["wilson_95"])
        return f"{scores[0]['right']} of {scores[0]['asked']}, {rates[0]:.1f} % [{low:.1f}, {high:.1f}]"
    return f"{sum(rates) / len(rates):.1f} % ({min(rates):.1f} to {max(rates):.1f}, {len(rates)} draws)"
