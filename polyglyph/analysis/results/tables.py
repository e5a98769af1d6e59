"""Tables: a results document as Markdown that one reads from top to bottom, the claims first."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from polyglyph.analysis.results.cells import p_value, percent, plain, points, rate, reason_of, shares, table

Document = Mapping[str, Any]

_REACHED = {True: "yes", False: "no", None: "not judged"}


def render(document: Document) -> str:
    """Write a results document as Markdown."""
    parts = [_head(document)]
    for title, words, body in _sections(document):
        text = body(document)
        if text:
            parts.append("\n\n".join(part for part in (f"## {title}", words, text) if part))
    return "\n\n".join(parts) + "\n"


Body = Callable[[Document], str]


def _sections(_: Document) -> Iterator[tuple[str, str, Body]]:
    yield "Claims", "", claims_table
    yield "Arms, across scripts", _ARMS_WORDS, arms_table
    yield "The plan against its controls, across scripts", "", controls_table
    yield "By query script and source script", "", pairs_table
    yield "What it costs", "", costs_table
    yield "Texts", "", texts_table
    yield "Steering", "", steering_table
    yield "Rules that guess the source script", "", rules_table
    yield "Transfer (ECLeKTic)", "", _transfer
    yield "Languages (MultiLoKo), official exact match", "", _languages
    yield "Rank consistency (RankC)", "", _ranks
    yield "Regression: log odds of a right answer", "", _regression


_ARMS_WORDS = (
    "Questions in another script than their facts were learned in. Shares with Wilson 95 % intervals; differences are "
    "paired, in points, with bootstrap 95 % intervals over entities; p is McNemar's mid-p, with the questions gained "
    "and lost."
)


def _head(document: Document) -> str:
    benchmark, asked = document["benchmark"], document["asked"]
    halves = ", ".join(f"{count} {half}" for half, count in asked["halves"].items())
    counts = (
        f"{asked['answers']:,} answers to {asked['items']:,} items about {asked['entities']:,} entities ({halves})."
    )
    words = f"{counts} Scorer: {benchmark['scorer']}. Every figure is explained in docs/statistics.md."
    return "\n\n".join(part for part in (f"# {benchmark['name']}", benchmark["description"], words) if part)


def claims_table(document: Document) -> str:
    """Write what was claimed of each plan, with figures, and whether it was reached."""
    return table(
        ("arm", "claim", "figures", "reached"),
        (
            (arm, claim["claim"], _figures(name, claim), _REACHED[claim["reached"]])
            for arm, claims in document["claims"].items()
            for name, claim in claims.items()
        ),
    )


def _figures(name: str, claim: Document) -> str:
    if reason := reason_of(claim):
        return reason
    write: Callable[[Document], str] = points if name in {"gain", "controls"} else percent
    if "figure" in claim:
        return write(claim["figure"])
    parts = [f"{control}: {write(figure)}" for control, figure in claim["figures"].items()]
    missing = [f"missing: {', '.join(claim['missing'])}"] if claim.get("missing") else []
    return "; ".join(parts + missing)


def arms_table(document: Document) -> str:
    """Write every arm across scripts: its share and its difference to `none`."""
    return table(
        ("arm", "right of asked", "share", "difference to none", "p", "official", "unicode"),
        (_arm_row(name, arm["cross"]) for name, arm in document["arms"].items()),
    )


def _arm_row(name: str, cross: Document) -> tuple[str, ...]:
    if reason := reason_of(cross):
        return name, reason, "", "", "", "", ""
    counts = f"{cross['right']} of {cross['asked']}"
    against = cross.get("against_none", {})
    gain = reason_of(against) or (points(against["difference"]) if against else "")
    test = p_value(against.get("mcnemar", {}))
    return name, counts, rate(cross), gain, test, percent(cross["official"]), percent(cross["unicode"])


def controls_table(document: Document) -> str:
    """Write the differences of each plan to its controls, across scripts."""
    return table(
        ("arm", "control", "difference", "p"),
        (
            (name, control, points(result["difference"]), p_value(result.get("mcnemar", {})))
            for name, arm in document["arms"].items()
            for control, result in arm.get("against_controls", {}).items()
        ),
    )


def pairs_table(document: Document) -> str:
    """Write `none` and the plans for each query script and source script."""
    return table(
        ("query to source", "questions", "entities", "arm", "share", "difference to none"),
        (
            (name, str(pair["questions"]), str(pair["entities"]), arm, rate(score), _gain(score))
            for name, pair in document["pairs"].items()
            for arm, score in pair["arms"].items()
            if document["arms"][arm]["kind"] in {"none", "plan"}
        ),
    )


def _gain(score: Document) -> str:
    against = score.get("against_none")
    return "" if against is None else reason_of(against) or points(against["difference"])


def costs_table(document: Document) -> str:
    """Write what each arm does to questions at home and to other tasks."""
    tasks = sorted({task for arm in document["arms"].values() for task in arm["tasks"]})
    return table(
        ("arm", "same script", "share of none's", *tasks),
        (
            (
                name,
                rate(arm["same"]),
                percent(arm["same"]["share_of_none"]) if "share_of_none" in arm["same"] else "",
                *(rate(arm["tasks"][task]) for task in tasks),
            )
            for name, arm in document["arms"].items()
        ),
    )


def texts_table(document: Document) -> str:
    """Write lengths, loops and scripts of what each arm wrote."""
    header = (
        "arm", "tokens", "characters of reasoning", "truncated", "loops", "reasoning in the source script",
        "reasoning scripts", "answer in the question's script",
    )  # fmt: skip
    return table(header, (_text_row(name, arm["texts"]) for name, arm in document["arms"].items()))


def _text_row(name: str, texts: Document) -> tuple[str, ...]:
    return (
        name,
        plain(texts["mean_completion_tokens"], decimals=1),
        plain(texts["mean_reasoning_characters"], decimals=1),
        rate(texts["truncated"]),
        rate(texts["loops"]),
        rate(texts["reasoning_in_source_script"]),
        shares(texts["reasoning_scripts"]),
        rate(texts["answer_in_target_script"]),
    )


def steering_table(document: Document) -> str:
    """Write how much each arm steered."""
    return table(
        ("arm", "steered", "strength", "dose", "tokens steered"),
        (
            (name, rate(part["steered"]), *(plain(part[field]) for field in _STEERING_FIELDS))
            for name, part in ((name, arm["steering"]) for name, arm in document["arms"].items())
        ),
    )


_STEERING_FIELDS = ("mean_strength", "mean_dose", "mean_tokens_steered")


def rules_table(document: Document) -> str:
    """Write how often each rule guessed right, and how much of the gain it kept."""
    return table(
        ("arm", "rule", "right guesses", "oracle", "share of the oracle's gain"),
        (
            (name, str(arm["rule"]), rate(arm["auto"]["right_guesses"]), oracle, percent(figure))
            for name, arm in document["arms"].items()
            if "auto" in arm
            for oracle, figure in arm["auto"]["share_of_oracle"].items()
        ),
    )


def _transfer(document: Document) -> str:
    return table(
        ("arm", "questions", "overall", "transfer"),
        (
            (name, str(part["questions"]), percent(part["overall"]), percent(part["transfer"]))
            for name, part in ((name, arm["transfer"]) for name, arm in document["arms"].items())
            if not reason_of(part)
        ),
    )


def _languages(document: Document) -> str:
    return table(
        ("arm", "average", "gap", "best", "worst", "mother tongue effect", "locality effect"),
        (
            (
                name,
                percent(part["average"]),
                percent(part["gap"]),
                part["best"],
                part["worst"],
                points(part["mother_tongue_effect"]),
                points(part["locality_effect"]),
            )
            for name, part in ((name, arm["languages"]) for name, arm in document["arms"].items())
            if not reason_of(part)
        ),
    )


def _ranks(document: Document) -> str:
    ranks = document["rank_consistency"]
    if reason_of(ranks):
        return ""
    return table(
        ("arm", "questions", "RankC"),
        ((name, str(part.get("questions", 0)), plain(part, decimals=3)) for name, part in ranks.items()),
    )


def _regression(document: Document) -> str:
    return table(
        ("answers", "term", "log odds ratio", "odds ratio"),
        (
            (group, name, plain(term), "" if reason_of(term) else f"{term['odds_ratio'][0]:.2f}")
            for group, part in document["regression"].items()
            for name, term in part.get("log_odds", {}).items()
        ),
    )
