"""What it costs to guess a source script from a request's words or routing: `python -m benchmarks.guess`, no engine."""

import statistics
import time
from collections.abc import Callable
from random import Random

import numpy as np

from polyglyph.contract.entity_guess import EntityGuess
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.probe_guess import Classifier, ProbeGuess
from polyglyph.routing.scripts.romanised import MAX_GUESSED_CHARACTERS, romanised
from polyglyph.server.guessing import guess_by_words

LENGTHS = (14, 200, MAX_GUESSED_CHARACTERS, 65_536)
SHAPES = ((6, 16), (48, 128), (61, 256))
SCRIPTS = ("Latn", "Cyrl", "Deva", "Geor", "Arab", "Hani")
NUM_WORDS, NUM_SUFFIXES = 20_000, 500
ROUNDS = 101


def main() -> None:
    """Print a row for each length of text, and one for each shape of model."""
    random = Random(0)
    guess = tables(random)
    print("| by words: characters | words met before: processor ms, median | words not met: ms |")
    print("|---|---|---|")
    for length in LENGTHS:
        text = russian(random, length)
        known = median_ms(lambda text=text: guess_by_words(guess, text))
        fresh = median_ms(lambda text=text: guess_by_words(guess, text), before=romanised.cache_clear)
        print(f"| {length:,} | {known:.3f} | {fresh:.3f} |")
    print("\n| by a probe: layers x experts | processor ms, median |")
    print("|---|---|")
    for shape in SHAPES:
        probe, selected_LE = classifier(shape), np.random.default_rng(0).integers(0, 100, shape)
        took = median_ms(lambda probe=probe, selected_LE=selected_LE: probe.source_of(selected_LE, query_script="Cyrl"))
        print(f"| {shape[0]} x {shape[1]} | {took:.3f} |")


def median_ms(call: Callable[[], object], *, before: Callable[[], object] = lambda: None) -> float:
    """Time many calls, after a first one that does not count; processor time, which other work leaves as it is."""
    call()
    times_ms = []
    for _ in range(ROUNDS):
        before()
        start = time.thread_time()
        call()
        times_ms.append((time.thread_time() - start) * 1e3)
    return statistics.median(times_ms)


def russian(random: Random, length: int) -> str:
    """Give words of three to ten letters, hardly any of them twice."""
    words: list[str] = []
    while sum(map(len, words)) + len(words) < length:
        words.append("".join(random.choices("абвгдеиклмнопрстуя", k=random.randint(3, 10))))
    return " ".join(words)[:length]


def tables(random: Random) -> EntityGuess:
    """Give tables as large as a gazetteer's."""

    def words(number: int, letters: int) -> dict[str, str]:
        return {"".join(random.choices("abcdefgh", k=letters)): random.choice(SCRIPTS) for _ in range(number)}

    return EntityGuess(kind="entities", words=words(NUM_WORDS, 9), suffixes=words(NUM_SUFFIXES, 5))


def classifier(shape: tuple[int, int]) -> ProbeGuess:
    """Give a probe of all layers of a model."""
    layers, experts = shape
    weights = np.random.default_rng(0).normal(size=(len(SCRIPTS), layers, experts))
    binding = ModelBinding(
        architecture="MadeUp", layers=layers, experts=experts, top_k=1, fingerprint="sha256:" + "0" * 64
    )
    return ProbeGuess(
        kind="probe",
        model=binding,
        scripts=SCRIPTS,
        layers=tuple(range(layers)),
        classifier=Classifier.model_validate({"weights": weights.tolist(), "bias": [0.0] * len(SCRIPTS)}),
    )


if __name__ == "__main__":
    main()
