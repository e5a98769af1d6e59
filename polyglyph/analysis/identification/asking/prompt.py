"""Prompts: what is asked for a labelled run, and the file they stand in, an object per line."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.contract.base import Document, ScriptCode, as_request_error

RESERVED = frozenset(
    {"request_id", "id", "item", "label", "right", "text", "reasoning", "prompt", "entity", "finish_reason"}
    | {"script", "prompt_script", "prompt_label", "prompt_bytes", "sequence", "request_script", "phase", "plan", "tag"}
)
"""Columns that a run or its traces have themselves; further labels have other names."""


class Prompt(Document):
    """One prompt.

    Attributes:
        id: Its own.
        item: What it is a version of, such as one fact in several scripts; its id unless given.
        script: That it is written in.
        label: Of the prompt, such as `knows` or `refuses`.
        messages: Of a chat, or
        prompt: the text of a completion.
        expected: Accepted answers; with them the run says whether the answer is `right`.
        entity: What the prompt is about, as written in it.
        labels: Further columns to group by.
        steering: The request's `steering` field; unsteered unless given.
        chat_template_kwargs: Of the chat template.
        max_tokens: Tokens to generate; the run's unless given.
    """

    id: str = Field(min_length=1)
    item: str | None = None
    script: ScriptCode | None = None
    label: str | None = None
    messages: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, strict=False)] | None = None
    prompt: str | None = None
    expected: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = None
    entity: str | None = None
    labels: dict[str, str | bool] = Field(default_factory=dict)
    steering: Any = False
    chat_template_kwargs: dict[str, Any] | None = None
    max_tokens: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check_fields(self) -> "Prompt":
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("give either 'messages' or 'prompt'")
        if self.prompt is not None and self.chat_template_kwargs is not None:
            raise ValueError("'chat_template_kwargs' belongs to 'messages': a plain prompt has no template")
        if taken := sorted(RESERVED & self.labels.keys()):
            raise ValueError(f"labels: {taken[0]!r} is a column of the run itself; name it otherwise")
        return self

    @property
    def text(self) -> str:
        """The prompt, or the last message's text."""
        if self.messages is None:
            return self.prompt or ""
        content = self.messages[-1].get("content")
        return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)

    def columns(self) -> dict[str, Any]:
        """Give what the run writes of it, without what is absent."""
        fields = {
            "id": self.id,
            "item": self.item or self.id,
            "script": self.script,
            "label": self.label,
            "entity": self.entity,
            "prompt": self.text,
        }
        return {name: value for name, value in fields.items() if value is not None} | self.labels


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Read a prompts file, JSON lines in UTF-8; blank lines are none.

    Raises:
        IdentificationError: It cannot be read, holds no prompt, a line is none, or an id is there twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise IdentificationError(f"{path} cannot be read: {error}") from error
    prompts = tuple(_prompt(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip())
    if not prompts:
        raise IdentificationError(f"{path}: expected a prompt per line, found none")
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise IdentificationError(f"{path}: the id {prompt.id!r} is there twice; every prompt needs its own")
        seen.add(prompt.id)
    return prompts


def _prompt(line: str, place: str) -> Prompt:
    try:
        return Prompt.model_validate(json.loads(line))
    except ValidationError as error:
        raise IdentificationError(f"{place}: {as_request_error(error, root='prompt')}") from error
    except ValueError as error:
        raise IdentificationError(f"{place}: expected a JSON object: {error}") from error
