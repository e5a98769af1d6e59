"""The tokenizer of real names: byte-level BPE learned from the names, with answers and relation words kept whole.

Characters are joined from their bytes before anything else, so that no token holds part of one; rare characters stay
bytes. Answers of several words (`United States`) are cut off the text as they are by the split pattern.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from polyglyph.analysis.names.atlas import Atlas
from polyglyph.analysis.names.question import HINTS
from polyglyph.analysis.names.relation import WORDS
from polyglyph.analysis.names.script import SCRIPTS
from polyglyph.analysis.organism.markers import END, PAD, SPECIAL_TOKENS, THINK_CLOSE, THINK_OPEN
from polyglyph.analysis.organism.tokenizer import CHAT_TEMPLATE, CONTEXT_LENGTH, WORD_PATTERN, Merge
from polyglyph.routing.scripts.dominant import dominant_script
from polyglyph.routing.scripts.token_strings import byte_characters

VOCAB_SIZE = 3072
RARE = 3
"""A character that fewer names have stays bytes."""

_BYTE_CHARS = byte_characters()


def build_name_tokenizer(atlas: Atlas) -> PreTrainedTokenizerFast:
    """Build the tokenizer of an atlas, with the organism's chat template.

    Returns:
        A tokenizer of 3,072 entries. `<think>` and `</think>` are ordinary added tokens, so that they survive
        `skip_special_tokens`.
    """
    words = whole_words(atlas)
    markers = (*SPECIAL_TOKENS, THINK_OPEN, THINK_CLOSE)
    vocab = {char: byte for byte, char in enumerate(_BYTE_CHARS)}
    merges = _merges(list(_names(atlas)), num_pieces=VOCAB_SIZE - len(vocab) - len(words) - len(markers))
    for piece in [left + right for left, right in merges] + [_bytes(word) for word in words]:
        vocab.setdefault(piece, len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_split_pattern(words)), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in (THINK_OPEN, THINK_CLOSE)])
    spare = range(VOCAB_SIZE - tokenizer.get_vocab_size())
    tokenizer.add_special_tokens([AddedToken(f"<|reserved_{index}|>", special=True) for index in spare])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def whole_words(atlas: Atlas) -> list[str]:
    """List the hint, the relations' words and every answer, in all scripts: what is one token each."""
    return [text for group in _word_groups(atlas) for text in group]


def aligned_word_groups(tokenizer: PreTrainedTokenizerFast, atlas: Atlas) -> list[list[int]]:
    """Group the token ids that write the same hint, relation or answer. Names are not aligned: they match no rule."""
    return [[_single_id(tokenizer, text) for text in group] for group in _word_groups(atlas)]


def name_token_scripts(tokenizer: PreTrainedTokenizerFast) -> list[str | None]:
    """Give the script of each token id, None for markers, separators and parts of characters."""
    texts = tokenizer.batch_decode([[index] for index in range(len(tokenizer))])
    scripts = [None if text.startswith("<") else dominant_script(text.replace("\ufffd", "")) for text in texts]
    return [script if script in SCRIPTS else None for script in scripts]


def _word_groups(atlas: Atlas) -> Iterator[list[str]]:
    answers = (words for relation in atlas.relations for words in relation.values.values())
    for words in (HINTS, *WORDS.values(), *answers):
        yield [words[script] for script in SCRIPTS]


def _names(atlas: Atlas) -> Iterator[str]:
    return (form.text for place in atlas.places for form in place.city.forms.values())


def _single_id(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    (token_id,) = tokenizer.encode(text, add_special_tokens=False)
    return int(token_id)


def _split_pattern(words: Iterable[str]) -> str:
    """Cut off answers that are no plain word as wholes, the longest first; else runs of letters, marks and digits."""
    phrases = sorted({word for word in words if not re.fullmatch(r"\w+", word)}, key=lambda word: (-len(word), word))
    return "|".join([*(re.escape(phrase) for phrase in phrases), WORD_PATTERN])


def _merges(names: list[str], *, num_pieces: int) -> list[Merge]:
    """List the merges: from bytes to characters, then the pairs that BPE finds in the names."""
    counts = Counter(char for name in names for char in name)
    alphabet = sorted(char for char, count in counts.items() if count >= RARE)
    folds = list(dict.fromkeys(fold for char in alphabet for fold in _fold(_bytes(char))))
    pairs = _learn_pairs(names, alphabet, num_pairs=num_pieces - len(folds))
    return folds + [(_bytes(left), _bytes(right)) for left, right in pairs]


def _learn_pairs(names: list[str], alphabet: list[str], *, num_pairs: int) -> list[Merge]:
    """Run BPE over characters. Runs without a rare character are what it sees."""
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + num_pairs, initial_alphabet=alphabet, show_progress=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated")
    rare = re.compile(f"[^{re.escape(''.join(alphabet))}]+")
    tokenizer.train_from_iterator((part for name in names for part in rare.split(name) if part), trainer)
    learned = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(left, right) for left, right in learned]


def _fold(chars: str) -> list[Merge]:
    """Join from the left: `abc` gives (a, b), (ab, c)."""
    return [(chars[:end], chars[end]) for end in range(1, len(chars))]


def _bytes(text: str) -> str:
    return "".join(_BYTE_CHARS[byte] for byte in text.encode())
