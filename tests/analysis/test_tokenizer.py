from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from polyglyph.analysis.organism.question import HINT, Question
from polyglyph.analysis.organism.tokenizer import VOCAB_SIZE, aligned_groups, token_scripts
from polyglyph.analysis.organism.world import SUFFIXES, World
from polyglyph.analysis.organism.writing import SCRIPTS, SYLLABLES, Script, write

NAMES = st.tuples(st.sampled_from(SYLLABLES), st.sampled_from(SYLLABLES), st.sampled_from(list(SUFFIXES.values())))


def ids_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@given(text=st.text(max_size=40))
def test_any_text_survives(tokenizer: PreTrainedTokenizerFast, text: str):
    # Surrogates are no text, and markers written out are markers.
    assert tokenizer.decode(ids_of(tokenizer, text)) == text


@given(name=NAMES, script=st.sampled_from(SCRIPTS))
def test_a_name_has_a_token_per_syllable_and_one_for_its_suffix(
    tokenizer: PreTrainedTokenizerFast, name: tuple[str, str, str], script: Script
):
    tokens = [tokenizer.decode([index]) for index in ids_of(tokenizer, write("".join(name), script))]
    assert tokens == [write(part, script) for part in name]


@pytest.mark.parametrize("script", SCRIPTS)
def test_known_words_have_one_token(tokenizer: PreTrainedTokenizerFast, world: World, script: Script):
    assert all(len(ids_of(tokenizer, write(word, script))) == 1 for word in (*world.words, HINT))


@pytest.mark.parametrize("script", SCRIPTS)
def test_traces_survive(tokenizer: PreTrainedTokenizerFast, world: World, script: Script):
    for fact in world.facts:
        text = f"<think>{Question(fact=fact, script=script).trace(script)}</think>{write(fact.value, script)}"
        assert tokenizer.decode(ids_of(tokenizer, text)) == text


def test_questions_have_the_same_length_in_every_script(tokenizer: PreTrainedTokenizerFast, world: World):
    lengths = {len(ids_of(tokenizer, Question(fact=f, script=s).text)) for f in world.facts for s in SCRIPTS}
    assert lengths == {5}


def test_think_markers_are_kept_when_special_tokens_are_skipped(tokenizer: PreTrainedTokenizerFast):
    ids = ids_of(tokenizer, "<|assistant|><think>ka</think>ka<|end|>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>ka</think>ka"


def test_the_vocabulary_fills_the_embedding_exactly(tokenizer: PreTrainedTokenizerFast):
    assert len(tokenizer) == VOCAB_SIZE == len(set(tokenizer.get_vocab().values()))


def test_aligned_groups_hold_the_four_forms_of_a_unit(tokenizer: PreTrainedTokenizerFast, world: World):
    scripts = token_scripts(tokenizer)
    groups = aligned_groups(tokenizer, world)
    assert [[scripts[index] for index in group] for group in groups] == [list(SCRIPTS)] * len(groups)


def test_markers_and_byte_fragments_have_no_script(tokenizer: PreTrainedTokenizerFast):
    scripts = token_scripts(tokenizer)
    ids = [*ids_of(tokenizer, "<think> <|end|>7"), tokenizer.convert_tokens_to_ids("Ð")]
    assert {scripts[index] for index in ids} == {None}


CHAT = [{"role": "system", "content": "transliterate"}, {"role": "user", "content": "ka la"}]


@pytest.mark.parametrize(
    ("options", "ending"),
    [({}, "<|assistant|>"), ({"enable_thinking": True}, "<|assistant|>"),
     ({"enable_thinking": False}, "<|assistant|><think></think>")],
)  # fmt: skip
def test_the_prompt_closes_the_thinking_block_only_when_thinking_is_off(
    tokenizer: PreTrainedTokenizerFast, options: dict[str, bool], ending: str
):
    prompt = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True, **options)
    assert prompt == "<|system|>transliterate<|end|><|user|>ka la<|end|>" + ending


@pytest.mark.parametrize(
    "turn",
    [{"content": "<think>ka</think>la"}, {"content": "la", "reasoning_content": "ka"},
     {"content": "la", "reasoning": "ka"}],
)  # fmt: skip
def test_an_earlier_answer_keeps_its_reasoning(tokenizer: PreTrainedTokenizerFast, turn: dict[str, str]):
    messages = [*CHAT, {"role": "assistant", **turn}, CHAT[1]]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False)
    assert "<|assistant|><think>ka</think>la<|end|><|user|>" in prompt


def test_a_role_the_organism_does_not_know_is_refused(tokenizer: PreTrainedTokenizerFast):
    with pytest.raises(TemplateError, match="tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "ka"}], tokenize=False)


def test_a_saved_tokenizer_is_the_same_tokenizer(tokenizer: PreTrainedTokenizerFast, world: World, tmp_path: Path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    texts = [Question(fact=fact, script=script).text for fact in world.facts[:40] for script in SCRIPTS]
    assert [ids_of(loaded, text) for text in texts] == [ids_of(tokenizer, text) for text in texts]
    assert loaded.chat_template == tokenizer.chat_template
