"""What the tests of reports look at: sums and traces of small models, made by hand or by a seed."""

from pathlib import Path

import numpy as np

from polyglyph.contract.exports.writing import save_stats
from tests.analysis.evidence_world import counts_of, drawn, shape, stats_of, trace, write_labels, write_traces

BANDS = ("early", "middle", "late")
TOKENS = ("漢字", b"\xe0\xa4", "سلام", "हिन्दी", "ि", " de", "한국", "Grüße", "ไทย", "საქართველო", "שלום")
TEXTS = {"Latn": "lake", "Cyrl": "озеро", "Arab": "بحيرة", "Hani": "湖泊"}


def sums(frequencies, *, tokens=1000, top_k=None):
    """Give counts of sums: by script, the frequency of each expert of each layer."""
    values = {script: np.asarray(frequency) for script, frequency in frequencies.items()}
    selected = [np.round(frequency * tokens).astype(np.int64) for frequency in values.values()]
    layers, experts = selected[0].shape
    rows = [{"script": script, "phase": "prompt"} for script in values]
    model = shape(layers, experts, top_k or round(float(next(iter(values.values()))[0].sum())))
    return counts_of(selected, [tokens] * len(rows), rows, model=model, has_sequences=False)


def stats_file(path: Path, *groups, model=None):
    """Write stats; a group is a key, tokens and counts."""
    save_stats(stats_of(*groups, model=model).snapshot(), path, format="parquet")
    return path


def labelled_run(folder: Path, *, items=6, num_tokens=12, layers=3, experts=8, top_k=2, scripts=("Latn", "Cyrl")):
    """Write a labelled run of parallel items, in which each script prefers experts of its own."""
    random = np.random.default_rng(0)
    folder.mkdir()
    traces, labels = [], []
    for item in range(items):
        for number, script in enumerate(scripts):
            probabilities = np.ones((layers, experts))
            probabilities[:, 2 * number] = 40.0
            request_id = f"{item}-{script}"
            ids = drawn(probabilities, num_tokens, top_k, random)
            token_ids = random.integers(10 * number, 10 * number + 15, num_tokens)
            weights = np.full(ids.shape, 1 / top_k)
            traces.append(
                trace(ids, request_id=request_id, scripts=[script] * num_tokens, weights=weights, token_ids=token_ids)
            )
            labels.append({"request_id": request_id, "item": str(item), "prompt": TEXTS[script] * (item + 1)})
    write_traces(folder / "traces.parquet", traces, model=shape(layers, experts, top_k))
    write_labels(folder / "labels.jsonl", labels)
    return folder


def tokenizer_file(path):
    """Write a tokenizer whose first tokens are `TOKENS`: Han, a piece of a character, Arabic and so on."""
    from tokenizers import Tokenizer, decoders, models

    from polyglyph.routing.scripts.token_strings import byte_characters

    characters = byte_characters()
    texts = [text.encode() if isinstance(text, str) else text for text in TOKENS]
    texts += [f"w{number}".encode() for number in range(len(texts), 40)]
    vocabulary = {"".join(characters[byte] for byte in text): number for number, text in enumerate(texts)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=next(iter(vocabulary))))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(path))
    return path
