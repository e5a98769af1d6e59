"""Texts: how long an arm's answers are, in which scripts they and their reasoning are, and what steering touched."""

from typing import Any

import polars as pl

from polyglyph.analysis.statistics.figure import Missing, number
from polyglyph.analysis.statistics.wilson import Score

LOOP = 0.5
"""From this share of repeated n-grams on a text is a loop."""

NO_REASONING = "there is no reasoning with a script"


def texts_of(answers: pl.DataFrame) -> dict[str, Any]:
    """Describe the texts of one arm.

    Args:
        answers: Measured answers, one at least.

    Returns:
        Means, shares with Wilson intervals and scripts by share, as plain JSON types.
    """
    means = answers.select(
        pl.mean("prompt_tokens", "completion_tokens", "answer_characters", "reasoning_characters", "repetition")
    ).row(0, named=True)
    thinking = answers.filter(pl.col("reasoning_characters") > 0)
    return {"mean_" + name: number(value, otherwise="nothing was asked") for name, value in means.items()} | {
        "truncated": share(answers["finish_reason"] == "length", otherwise="nothing was asked"),
        "loops": share(answers["repetition"] >= LOOP, otherwise="nothing was asked"),
        "answer_in_target_script": share(answers["is_answer_in_target"], otherwise="no answer has a script"),
        "reasoning_in_source_script": share(answers["is_reasoning_in_source"], otherwise=NO_REASONING),
        "answer_scripts": scripts(answers["answer_script"]),
        "reasoning_scripts": scripts(thinking["reasoning_script"]),
    }


def steering_of(answers: pl.DataFrame) -> dict[str, Any]:
    """Describe what steering did to the requests of one arm: dose, tokens, share of steered requests."""
    return {
        "steered": share(answers["tokens_steered"] > 0, otherwise="nothing was asked"),
        "mean_dose": number(answers["dose"].mean(), otherwise="nothing was asked"),
        "mean_tokens_steered": number(answers["tokens_steered"].mean(), otherwise="nothing was asked"),
        "mean_strength": number(answers["strength"].mean(), otherwise="nothing was asked"),
    }


def guesses_of(answers: pl.DataFrame) -> dict[str, Any]:
    """Describe how often an arm's rule guessed the source script, over all answers for which it guessed any."""
    guessed = answers.filter(pl.col("guessed_source").is_not_null())
    return {
        "right_guesses": share(
            guessed["guessed_source"] == guessed["source_script"], otherwise="the rule never guessed"
        ),
        "guessed": share(answers["guessed_source"].is_not_null(), otherwise="nothing was asked"),
        "guesses": scripts(guessed["guessed_source"]),
    }


def share(flags: pl.Series, *, otherwise: str) -> dict[str, Any]:
    """Give the share of true flags with its Wilson interval; absent ones do not count."""
    known = flags.drop_nulls()
    return Score(int(known.sum()), len(known)).to_json() if len(known) else Missing(otherwise).to_json()


def scripts(labels: pl.Series) -> dict[str, float]:
    """Give the share of each script, the most frequent first."""
    counts = labels.drop_nulls().value_counts(sort=True, name="count")
    total = counts["count"].sum()
    return {str(script): round(count / total, 4) for script, count in counts.iter_rows()}
