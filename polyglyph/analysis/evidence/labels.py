"""Labels of requests: a JSON Lines file that says of each request what traces cannot, such as item and outcome."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyglyph.analysis.evidence.checks import COLUMNS
from polyglyph.analysis.evidence.errors import EvidenceError

LABELS_FILE = "labels.jsonl"
TEXTS = ("text", "reasoning", "prompt")
"""Labels that hold whole texts: they stay with the traces and are no column of the counts."""
PROMPT_SCRIPT = "prompt_script"
"""What the label `script` of a prompt is called beside the script of each token."""
_OWN = frozenset(COLUMNS) - {"item"}

Labels = dict[str, dict[str, str]]
"""By request id, the labels by name."""


def read_labels(path: Path) -> Labels:
    """Read `labels.jsonl`: one object per line with `request_id` and labels, each a text, true or false.

    `script`, the script of a prompt, becomes `prompt_script`; true and false become texts; null is no label.

    Raises:
        EvidenceError: The file cannot be read, or a line is not as stated; the text names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvidenceError(f"{path}: expected a readable file of labels: {error}") from error
    found: Labels = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            request_id, labels = _parse(line, where=f"{path}, line {number}")
            if request_id in found:
                raise EvidenceError(f"{path}, line {number}: the request {request_id!r} is there twice")
            found[request_id] = labels
    if not found:
        raise EvidenceError(f"{path}: expected a line of labels per request, got none")
    return found


def _parse(line: str, *, where: str) -> tuple[str, dict[str, str]]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise EvidenceError(f"{where}: expected a JSON object, got {line[:60]!r}: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("request_id"), str):
        raise EvidenceError(f"{where}: expected a JSON object with the text 'request_id', got {line[:60]!r}")
    request_id = fields.pop("request_id")
    return request_id, _texts(fields, where=where)


def _texts(fields: Mapping[str, Any], *, where: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name, value in fields.items():
        label = PROMPT_SCRIPT if name == "script" else name
        if label in _OWN or label in labels:
            raise EvidenceError(f"{where}: the traces say {name!r} themselves: give this label another name")
        if isinstance(value, bool):
            labels[label] = "true" if value else "false"
        elif isinstance(value, str):
            labels[label] = value
        elif value is not None:
            raise EvidenceError(f"{where}: expected a text, true or false as {name!r}, got {str(value)[:60]}")
    return labels
