"""Benchmarks: items with the words that ask them and the scorer that judges them.

A file is JSON lines: the header first, then an item a line.
"""

from typing import Any, Literal

from pydantic import Field

from polyglyph.analysis.evaluation.item import Item
from polyglyph.contract.base import Document

Scorer = Literal["exact", "normalised", "contains", "judge"]


class Prompts(Document):
    """The words around a question. `{question}`, `{entity_hint}`, `{context}` and `{script}` are filled in.

    Attributes:
        user: The user's turn.
        system: System message of every request; None for none.
        hint: System message of the arms with the entity hint; None where the benchmark has no such arm.
        think_in_source: By target script, the system message that asks to think in the source script; `*` for all.
        context: System message of the arm that gives the source context.
    """

    user: str = "{question}"
    system: str | None = None
    hint: str | None = None
    think_in_source: dict[str, str] = Field(default_factory=dict)
    context: str | None = None


class Header(Document):
    """What all items of a benchmark share.

    Attributes:
        name: Of the benchmark.
        description: What it measures, for the report.
        licence: Of the items.
        scorer: How answers are judged: `exact` after trimming, `normalised` (Unicode-aware), `contains`, or `judge`, an
            OpenAI-compatible model that has to be named.
        prompts: The words around the questions.
        max_tokens: Tokens to allow an answer, reasoning included.
        thinking: Extra fields of a request that thinks (`{"chat_template_kwargs": {"enable_thinking": true}}`).
        direct: Extra fields of a request that does not.
        seed: What halves are drawn by.
    """

    schema_: Literal["polyglyph.benchmark/1"] = Field(default="polyglyph.benchmark/1", alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    description: str = ""
    licence: str = ""
    scorer: Scorer = "normalised"
    prompts: Prompts = Field(default_factory=Prompts)
    max_tokens: int = Field(default=2048, ge=1)
    thinking: dict[str, Any] = Field(default_factory=lambda: {"chat_template_kwargs": {"enable_thinking": True}})
    direct: dict[str, Any] = Field(default_factory=lambda: {"chat_template_kwargs": {"enable_thinking": False}})
    seed: int = 0


class Benchmark(Document):
    """A benchmark in memory; `reading` checks that ids are unique and draws the halves.

    Attributes:
        header: What the items share.
        items: Every one with its half.
        sha256: Of header and items as they are asked; a run can only be resumed with the same.
    """

    header: Header
    items: tuple[Item, ...]
    sha256: str
