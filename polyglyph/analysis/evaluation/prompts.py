"""The words that ask an item: the benchmark's templates, filled in."""

import re
from collections.abc import Mapping
from typing import Literal, get_args

import icu

from polyglyph.analysis.evaluation.benchmark import Prompts
from polyglyph.analysis.evaluation.item import Item

Words = Literal["plain", "hint", "think_in_source", "context"]
WORDS: tuple[Words, ...] = get_args(Words)
Message = dict[str, str]

ANY_SCRIPT = "*"
_FIELD = re.compile(r"\{(question|entity_hint|context|script)\}")


def messages_of(item: Item, prompts: Prompts, words: str = "plain") -> list[Message]:
    """Give the chat messages that ask an item.

    Args:
        item: What is asked.
        prompts: The benchmark's templates.
        words: Which of them; an item that lacks what the template needs is asked plainly.

    Returns:
        One system message at most, in which the benchmark's own goes before the arm's, and the user's turn. An item's
        own system message is what its question is about: it stands alone.
    """
    values = _values(item)
    template = None if missing_field(item, prompts, words) else _template(item, prompts, words)
    own = item.system if item.system is not None else _fill(prompts.system or "", values)
    system = "\n\n".join(part for part in (own, _fill(template or "", values)) if part)
    system = system if item.system is None else item.system
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": _fill(prompts.user, values)}]


def has_words(prompts: Prompts, words: str) -> bool:
    """Whether a benchmark has such words for any item."""
    return words == "plain" or bool(getattr(prompts, words))


def missing_field(item: Item, prompts: Prompts, words: str) -> str | None:
    """Give what an item lacks to be asked with these words; None when it lacks nothing."""
    if words == "plain":
        return None
    template = _template(item, prompts, words)
    if template is None:
        return f"words for the script {item.target_script}"
    values = _values(item)
    return next((name for name in _FIELD.findall(template) if values[name] is None), None)


def script_name(code: str) -> str:
    """Give the English name of a script by its ISO 15924 code, such as Devanagari."""
    return str(icu.Locale(f"und_{code}").getDisplayScript(icu.Locale.getEnglish()))


def _template(item: Item, prompts: Prompts, words: str) -> str | None:
    if words == "hint":
        return prompts.hint
    if words == "context":
        return prompts.context
    if words == "think_in_source":
        by_script = prompts.think_in_source
        return by_script.get(item.target_script, by_script.get(ANY_SCRIPT))
    return None


def _values(item: Item) -> dict[str, str | None]:
    return {
        "question": item.question,
        "entity_hint": item.entity_hint,
        "context": item.context,
        "script": script_name(item.source_script),
    }


def _fill(template: str, values: Mapping[str, str | None]) -> str:
    # Once over the template: braces in a question are the question's own.
    return _FIELD.sub(lambda match: values[match[1]] or "", template)
