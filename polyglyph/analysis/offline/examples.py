"""Examples: texts and tasks as token ids, read from files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from polyglyph.analysis.offline.errors import OfflineError
from polyglyph.clients.profile.corpus import open_corpus
from polyglyph.clients.profile.document import Document, Skip
from polyglyph.clients.profile.json_lines import read_json_lines
from polyglyph.clients.profile.row import BadRow, Row

LONGEST = 2048
"""Tokens of an example that are read, unless told otherwise."""


@dataclass(frozen=True)
class Example:
    """A sequence of tokens.

    Attributes:
        ids: Token ids, at least one.
        num_prompt: How many of them are given; what follows is the completion. All of them for plain text.
        item: What it is resampled with: examples of one item stay together.
    """

    ids: tuple[int, ...]
    num_prompt: int
    item: str

    @property
    def num_completion(self) -> int:
        """Tokens of the completion."""
        return len(self.ids) - self.num_prompt


def read_texts(path: Path, tokenizer: Any, *, max_tokens: int | None = None, longest: int = LONGEST) -> list[Example]:
    """Read texts and chats, as `polyglyph profile` takes them.

    Args:
        path: A file or a folder: rows of `text` or `messages` in JSON Lines, CSV or Parquet, or plain text files.
        tokenizer: Of the model.
        max_tokens: Stop when so many tokens are read; None for all.
        longest: Tokens of one text that are read; the rest is left out.

    Raises:
        OfflineError: There is no text, or one that cannot be read; the text names its place.
    """
    examples: list[Example] = []
    left = max_tokens
    for entry in open_corpus(path):
        if isinstance(entry.found, Skip):
            raise OfflineError(f"{path}, {entry.found.place}: {entry.found.reason}: {entry.found.detail}")
        ids = _ids_of(entry.found, tokenizer)[: longest if left is None else min(longest, left)]
        if ids:
            examples.append(Example(tuple(ids), len(ids), entry.found.id or str(entry.found.place)))
        if left is not None:
            left -= len(ids)
            if left <= 0:
                break
    if not examples:
        raise OfflineError(f"{path}: expected texts with at least one token, found none")
    return examples


def read_tasks(path: Path, tokenizer: Any, *, longest: int = LONGEST) -> list[Example]:
    """Read task data: JSON Lines of `prompt` (text) or `messages` (a chat), and `completion` (text).

    The end-of-sequence token is added to every completion. `item`, or else `id`, says which lines hang together;
    `chat_template_kwargs` go to the chat template. Other fields are left alone.

    Args:
        path: The file.
        tokenizer: Of the model.
        longest: Most tokens of an example; a longer one is refused, since its completion would be cut.

    Raises:
        OfflineError: A line is no task; the text names it.
    """
    if not path.is_file():
        raise OfflineError(f"{path}: there is no such file of tasks")
    examples = [_task(row, tokenizer, longest) for row in _rows(path)]
    if not examples:
        raise OfflineError(f"{path}: expected lines with prompt and completion, found none")
    return examples


def digest_of(examples: Sequence[Example]) -> str:
    """Give `sha256:<hex>` of what examples hold, for provenance."""
    lines = (json.dumps([each.ids, each.num_prompt, each.item]) for each in examples)
    return "sha256:" + sha256("\n".join(lines).encode()).hexdigest()


def token_ids(tokenizer: Any, text: str, *, is_start: bool) -> list[int]:
    """Give a text's token ids; special tokens of a sequence's start only at its start."""
    return [int(token) for token in tokenizer(text, add_special_tokens=is_start)["input_ids"]]


def chat_ids(tokenizer: Any, messages: Sequence[Any], *, goes_on: bool, options: dict[str, Any]) -> list[int]:
    """Give a chat's token ids by the tokenizer's template; with the start of the assistant's turn where it goes on.

    Raises:
        OfflineError: The tokenizer has no template, or its template refuses the chat.
    """
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=goes_on, **options
        )
    except (ValueError, TypeError, TemplateError) as error:
        raise OfflineError(f"the model's chat template cannot render a chat: {error}") from error
    return token_ids(tokenizer, text, is_start=False)


def _ids_of(document: Document, tokenizer: Any) -> list[int]:
    if document.messages is not None:
        return chat_ids(tokenizer, document.messages, goes_on=True, options={})
    return token_ids(tokenizer, document.text or "", is_start=True)


def _rows(path: Path) -> Iterator[Row]:
    for row in read_json_lines(path, path.name):
        if isinstance(row, BadRow):
            raise OfflineError(f"{row.skip.place}: {row.skip.reason}: {row.skip.detail}")
        yield row


def _task(row: Row, tokenizer: Any, longest: int) -> Example:
    fields = row.fields
    completion = fields.get("completion")
    if not isinstance(completion, str) or not completion:
        raise OfflineError(f"{row.place}: expected a completion, a text that is not empty; got {completion!r:.60}")
    prompt = _prompt(row, tokenizer)
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    ids = [*prompt, *token_ids(tokenizer, completion, is_start=False), *end]
    if len(ids) > longest:
        raise OfflineError(
            f"{row.place}: expected at most {longest} tokens, got {len(ids)}; shorten it or leave it out"
        )
    if not prompt:
        raise OfflineError(f"{row.place}: expected a prompt of at least one token, got none")
    return Example(tuple(ids), len(prompt), str(fields.get("item") or fields.get("id") or row.place))


def _prompt(row: Row, tokenizer: Any) -> list[int]:
    prompt, messages = row.fields.get("prompt"), row.fields.get("messages")
    if isinstance(prompt, str) and messages is None:
        return token_ids(tokenizer, prompt, is_start=True)
    if isinstance(messages, list) and messages and prompt is None:
        options = row.fields.get("chat_template_kwargs") or {}
        return chat_ids(tokenizer, messages, goes_on=True, options=dict(options))
    raise OfflineError(
        f"{row.place}: expected either prompt (a text) or messages (a chat), got {', '.join(sorted(row.fields))}"
    )
