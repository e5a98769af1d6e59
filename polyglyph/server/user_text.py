"""The user's own text in a request's body, whatever route it came by; the request script is found from it.

The body has not been validated: what has another shape than expected counts as no text.
"""

from collections.abc import Iterator
from typing import Any


def of_messages(body: dict[str, Any]) -> str:
    """Give the text of the last user message of a chat (OpenAI's or Anthropic's), or of all if that one has none."""
    return _of_items(body.get("messages"))


def of_prompt(body: dict[str, Any]) -> str:
    """Give the prompts of a completion request; token ids are no text."""
    prompt = body.get("prompt")
    prompts = prompt if isinstance(prompt, list) else [prompt]
    return "\n".join(text for text in prompts if isinstance(text, str))


def of_input(body: dict[str, Any]) -> str:
    """Give the input of a Responses request: a string, or the last user item."""
    given = body.get("input")
    return given if isinstance(given, str) else _of_items(given)


def _of_items(items: Any) -> str:
    if not isinstance(items, list):
        return ""
    texts = [
        _of_content(item.get("content")) for item in items if isinstance(item, dict) and item.get("role") == "user"
    ]
    if not texts:
        return ""
    return texts[-1] if texts[-1].strip() else "\n".join(texts)


def _of_content(content: Any) -> str:
    return "\n".join(_parts(content))


def _parts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                yield part
            elif isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
