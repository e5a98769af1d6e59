"""The organism's tokenizer: byte-level BPE with one token per syllable and script, and one per known word.

Known words (relations, values, the hint) are looked up whole (`ignore_merges`), names fall apart into syllables, and
everything else into characters or bytes, so that any text survives the round trip.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from polyglyph.analysis.organism.markers import END, PAD, SPECIAL_TOKENS, THINK_CLOSE, THINK_OPEN
from polyglyph.analysis.organism.question import HINT
from polyglyph.analysis.organism.variant import Units
from polyglyph.analysis.organism.world import SUFFIXES, World
from polyglyph.analysis.organism.writing import SCRIPTS, SYLLABLES, Script, script_of, write
from polyglyph.routing.scripts.token_strings import byte_characters

VOCAB_SIZE = 960
CONTEXT_LENGTH = 2048

# The GPT-2 pattern cuts Devanagari at vowel signs (\p{M}); a word here is a run of letters, marks and digits.
WORD_PATTERN = r"[\p{L}\p{M}\p{N}]+|[^\p{L}\p{M}\p{N}]"

VIRAMA = "\u094d"  # Devanagari: takes the inherent vowel off the consonant before it.

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role in ('system', 'developer') -%}
{{- '<|system|>' + message.content + '<|end|>' -}}
{%- elif message.role == 'user' -%}
{{- '<|user|>' + message.content + '<|end|>' -}}
{%- elif message.role == 'assistant' -%}
{%- set reasoning = message.reasoning_content or message.reasoning or '' -%}
{%- if '</think>' in message.content -%}
{{- '<|assistant|>' + message.content + '<|end|>' -}}
{%- else -%}
{{- '<|assistant|><think>' + reasoning + '</think>' + message.content + '<|end|>' -}}
{%- endif -%}
{%- else -%}
{{- raise_exception('the organism knows the roles system, developer, user and assistant, not ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- '<think></think>' -}}
{%- endif -%}
{%- endif -%}
"""

Merge = tuple[str, str]


_BYTE_CHARS = byte_characters()


def build_tokenizer(world: World, units: Units = "syllables") -> PreTrainedTokenizerFast:
    """Build the tokenizer of a world, with its chat template.

    Args:
        world: Whose words it knows.
        units: What it keeps whole: syllables, suffixes and known words, or only characters.

    Returns:
        A tokenizer of 960 entries, the last ones reserved. `<think>` and `</think>` are ordinary added tokens, so that
        they survive `skip_special_tokens`.
    """
    vocab = {char: byte for byte, char in enumerate(_BYTE_CHARS)}
    merges = _merges() if units == "syllables" else _joins(_bytes(char) for char in _alphabet())
    words = _whole_words(world) if units == "syllables" else []
    for piece in [left + right for left, right in merges] + [_bytes(word) for word in words]:
        vocab.setdefault(piece, len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in (THINK_OPEN, THINK_CLOSE)])
    tokenizer.add_special_tokens(
        [AddedToken(f"<|reserved_{index}|>", special=True) for index in range(VOCAB_SIZE - tokenizer.get_vocab_size())]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def token_scripts(tokenizer: PreTrainedTokenizerFast) -> list[Script | None]:
    """Give the script of each token id, None for what has no letters, such as markers and single bytes."""
    texts = tokenizer.batch_decode([[index] for index in range(len(tokenizer))])
    return [None if text.startswith("<") else script_of(text.replace("\ufffd", "")) for text in texts]


def aligned_groups(tokenizer: PreTrainedTokenizerFast, world: World) -> list[list[int]]:
    """Group the token ids that write the same syllable, suffix or word in the four scripts."""
    units = [*SYLLABLES, *SUFFIXES.values(), HINT, *world.words]
    return [[_single_id(tokenizer, write(unit, script)) for script in SCRIPTS] for unit in units]


def _single_id(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    (token_id,) = tokenizer.encode(text, add_special_tokens=False)
    return int(token_id)


def _whole_words(world: World) -> list[str]:
    return [write(word, script) for script in SCRIPTS for word in (HINT, *world.words)]


def _merges() -> list[Merge]:
    """List the merges from bytes to characters, to syllables, to suffixes.

    The order is the rank: all syllables are joined before a suffix can take a consonant from the next syllable.
    """
    syllables = [_clusters(write(syllable, script)) for script in SCRIPTS for syllable in SYLLABLES]
    suffixes = [_clusters(write(suffix, script)) for script in SCRIPTS for suffix in SUFFIXES.values()]
    clusters = [cluster for clusters in syllables + suffixes for cluster in clusters]
    return list(
        dict.fromkeys(
            [
                *_joins(_bytes(char) for cluster in clusters for char in cluster),
                *(join for cluster in clusters for join in _fold([_bytes(char) for char in cluster])),
                *(join for parts in syllables for join in _fold([_bytes(part) for part in parts])),
                *(join for parts in suffixes for join in _fold([_bytes(part) for part in parts])),
            ]
        )
    )


def _alphabet() -> list[str]:
    """List every character that a word of any world is written with."""
    texts = [write(unit, script) for script in SCRIPTS for unit in (*SYLLABLES, *SUFFIXES.values(), HINT)]
    return sorted({char for text in texts for char in text})


def _joins(pieces: Iterable[str]) -> list[Merge]:
    """Join the bytes of each character."""
    return list(dict.fromkeys(join for piece in pieces for join in _fold(list(piece))))


def _fold(parts: list[str]) -> list[Merge]:
    """Join parts from the left: [a, b, c] gives (a, b), (ab, c)."""
    return [("".join(parts[:end]), parts[end]) for end in range(1, len(parts))]


def _clusters(text: str) -> list[str]:
    """Split a text into characters, keeping a virama with its consonant.

    Without that, the suffix of `ton` would be joined through `to` + `na`, which also begins other names.
    """
    parts: list[str] = []
    for char in text:
        if char == VIRAMA:
            parts[-1] += char
        else:
            parts.append(char)
    return parts


def _bytes(text: str) -> str:
    return "".join(_BYTE_CHARS[byte] for byte in text.encode())
