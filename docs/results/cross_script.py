"""Writes `cross-script.md` and its plots from the results beside it: `python docs/results/cross_script.py`.

`cross-script/MODEL/` holds what `polyglyph search` and `polyglyph evaluate` wrote for a model (`search.json`,
`results.json`; `items.parquet` of the worlds that are pooled) and the model's `card.json`. The words stand in
`cross-script.md.jinja`; every figure in a table comes from these files, and a test writes the page again and compares.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from polyglyph.analysis.results import tables
from polyglyph.analysis.results.cells import percent, points, rate, reason_of, table
from polyglyph.analysis.results.comparison import MEAN_OF_RANDOM
from polyglyph.analysis.results.pooling import pool

HERE = Path(__file__).parent
RESULTS = HERE / "cross-script"
TEMPLATE = HERE / "cross-script.md.jinja"
PAGE = HERE / "cross-script.md"
WORLDS = ("full-0", "full-1", "full-2")
ABLATIONS = {
    "full-0": "alignment and reward",
    "unrewarded-0": "alignment",
    "unaligned-0": "reward",
    "natural-0": "nothing",
    "characters-0": "nothing; a token is a character",
}
NAMES = "names-0"
DIRECT, SAMPLED = "full-0-direct", "full-0-t1"

Document = dict[str, Any]


def main() -> None:
    """Write the page and its plots."""
    pooled = pool_worlds()
    PAGE.write_text(render(pooled), encoding="utf-8")
    draw_gains(pooled, RESULTS / "gains.svg")
    draw_strengths(pooled, RESULTS / "strengths.svg")
    draw_ablations(RESULTS / "ablations.svg")
    sys.stderr.write(f"wrote {PAGE.name} and three plots\n")


def pool_worlds() -> Document:
    """Give all figures over the worlds, whose entities are different ones."""
    return pool({name: RESULTS / name for name in WORLDS})


def render(pooled: Document) -> str:
    """Give the page's text."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    environment.filters |= {"rate": rate, "points": points, "percent": percent}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(**values(pooled)).strip() + "\n"


def values(pooled: Document) -> Document:
    """Give what the template is filled with."""
    names = read(NAMES, "results")
    return {
        "pooled": pooled,
        "run": read(WORLDS[0], "results")["run"],
        "claims": tables.claims_table(pooled),
        "arms": tables.arms_table(pooled),
        "controls": tables.controls_table(pooled),
        "pairs": tables.pairs_table(pooled),
        "costs": tables.costs_table(pooled),
        "texts": tables.texts_table(pooled),
        "steering": tables.steering_table(pooled),
        "rules": tables.rules_table(pooled),
        "worlds": worlds_table(),
        "direct": tables.arms_table(read(DIRECT, "results")),
        "sampled": tables.arms_table(read(SAMPLED, "results")),
        "over_random": lambda model, arm: over_random(read(model, "results"), arm),
        "gain_of": lambda model, arm: gain(read(model, "results"), arm),
        "searches": searches_table(),
        "ablations": ablations_table(),
        "gain": lambda arm: gain(pooled, arm),
        "share_at_home": lambda arm: rate(pooled["arms"][arm]["same"]),
        "in_source": lambda arm: rate(pooled["arms"][arm]["texts"]["reasoning_in_source_script"]),
        "num_entities": sum(pair["entities"] for pair in pooled["pairs"].values()) // 3,
        "num_cities": names["asked"]["entities"],
        "names_arms": tables.arms_table(names),
        "names_costs": tables.costs_table(names),
    }


def worlds_table() -> str:
    """Write the main figures of each world by itself."""
    rows = []
    for name in WORLDS:
        document = read(name, "results")
        arms = document["arms"]
        rows.append((name, *(rate(arms[arm]["cross"]) for arm in ("none", "plan", "hint")), gain(document, "plan")))
    return table(("world", "none", "plan", "hint", "plan's gain"), rows)


def searches_table() -> str:
    """Write what each search chose, and the development figure that it was chosen by."""
    rows = []
    for name in (*WORLDS, *list(ABLATIONS)[1:], NAMES):
        search = read(name, "search")
        chosen = search["chosen"]
        before = rate(search["unsteered"]["cross_script"])
        after = rate(chosen["cross_script"]) if chosen else ""
        rows.append((name, _parameters(chosen["parameters"]) if chosen else "no plan beats none", before, after))
    return table(("model", "chosen", "unsteered, development", "steered, development"), rows)


def _parameters(chosen: Document) -> str:
    strengths = ", ".join(f"{band} {strength:g}" for band, strength in chosen["strengths"].items())
    return f"{chosen['direction']}, {strengths}; {' and '.join(chosen['phases'])}"


def ablations_table() -> str:
    """Write barrier, routing and gain of each variant."""
    rows = []
    for name, engineered in ABLATIONS.items():
        card, document = read(name, "card")["evaluation"], read(name, "results")
        bits = " ".join(f"{value:.2f}" for value in card["script_bits_by_layer"])
        arms = document["arms"]
        shares = (rate(arms[arm]["cross"]) if arm in arms else "no plan" for arm in ("none", "plan", "hint"))
        gains = (gain(document, "plan"), over_random(document, "plan"))
        rows.append((engineered, f"{100 * card['home']['rate']:.1f} %", bits, *shares, *gains))
    columns = ("none", "plan", "hint", "plan over none", "plan over random")
    return table(("engineered", "at home", "script bits, layers 0 to 5", *columns), rows)


def gain(document: Mapping[str, Any], arm: str) -> str:
    """Write an arm's difference to `none`, or why there is none."""
    if arm not in document["arms"]:
        return "no plan"
    against = document["arms"][arm]["cross"]["against_none"]
    return reason_of(against) or points(against["difference"])


def over_random(document: Mapping[str, Any], arm: str) -> str:
    """Write an arm's difference to the mean of its random controls."""
    if arm not in document["arms"]:
        return "no plan"
    return points(document["arms"][arm]["against_controls"][MEAN_OF_RANDOM]["difference"])


def read(model: str, name: str) -> Document:
    """Read a result."""
    document: Document = json.loads((RESULTS / model / f"{name}.json").read_text(encoding="utf-8"))
    return document


def draw_gains(pooled: Document, path: Path) -> None:
    """Draw each arm's difference to no steering, in points, with its interval."""
    shown = {
        name: arm["cross"]["against_none"]["difference"]
        for name, arm in pooled["arms"].items()
        if not reason_of(arm["cross"]) and "difference" in arm["cross"].get("against_none", {})
    }
    figure, axes = _figure(height=0.32 * len(shown) + 1)
    for place, difference in enumerate(reversed(shown.values())):
        low, high = (100 * bound for bound in difference["bootstrap_95"])
        axes.plot([low, high], [place, place], color="#4477aa", linewidth=2)
        axes.plot([100 * difference["value"]], [place], "o", color="#222255")
    axes.axvline(0, color="#777777", linewidth=0.8)
    axes.set_yticks(range(len(shown)), list(reversed(shown)))
    axes.set_xlabel("points over no steering, three worlds, held-out entities, 95 % bootstrap")
    _save(figure, path)


def draw_strengths(pooled: Document, path: Path) -> None:
    """Draw the share of right answers by the plan's strength."""
    shares = {0.0: pooled["arms"]["none"]["cross"], 1.0: pooled["arms"]["plan"]["cross"]}
    shares |= {-1.0: pooled["arms"]["opposite"]["cross"]}
    for name, arm in pooled["arms"].items():
        if arm["kind"] == "strength":
            shares[float(name.removeprefix("strength-"))] = arm["cross"]
    figure, axes = _figure(height=3)
    strengths = sorted(shares)
    axes.plot(strengths, [100 * shares[s]["rate"] for s in strengths], "o-", color="#222255")
    bounds = [[100 * shares[s]["wilson_95"][side] for s in strengths] for side in (0, 1)]
    axes.fill_between(strengths, *bounds, color="#4477aa", alpha=0.3)
    axes.set_xlabel("strength of the plan")
    axes.set_ylabel("right, %")
    _save(figure, path)


def draw_ablations(path: Path) -> None:
    """Draw none, plan and hint for each variant."""
    figure, axes = _figure(height=3)
    for offset, (arm, color) in enumerate((("none", "#bbbbbb"), ("plan", "#222255"), ("hint", "#ccbb44"))):
        for place, name in enumerate(ABLATIONS):
            cross = read(name, "results")["arms"].get(arm, {}).get("cross")
            if cross is not None:
                label = arm if place == 0 else None
                axes.bar(place + 0.27 * (offset - 1), 100 * cross["rate"], 0.25, color=color, label=label)
    axes.set_xticks(range(len(ABLATIONS)), [words.replace("; ", ";\n") for words in ABLATIONS.values()])
    axes.set_ylabel("right across scripts, %")
    axes.legend(frameon=False)
    _save(figure, path)


def _figure(*, height: float) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same input gives the same file, so that a page written again shows no difference.
    mpl.rcParams["svg.hashsalt"] = "polyglyph"
    figure = Figure(figsize=(8, height), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
