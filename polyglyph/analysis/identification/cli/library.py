"""`polyglyph identify library`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyglyph.analysis.evaluation.options import check_installed
from polyglyph.analysis.identification.cli.evidence import read
from polyglyph.analysis.identification.cli.finishing import Bind
from polyglyph.analysis.identification.cli.options import By, EvidencePath, LabelsFile, Span, layers_of, spans_of
from polyglyph.clients.connection import ApiKey, Connection
from polyglyph.clients.output import AsJson, print_data, print_json, say

if TYPE_CHECKING:
    from rich.table import Table

    from polyglyph.analysis.evidence.counts import Counts
    from polyglyph.analysis.identification.library import FoundLibrary, Kind
    from polyglyph.contract.model import ModelBinding
    from polyglyph.contract.policy import PolicyTarget


def library(
    context: typer.Context,
    evidence: EvidencePath,
    *,
    layers: Annotated[
        str, typer.Option("--layers", metavar="FIRST-LAST,...", help="MoE layers to compare, early ones as a rule.")
    ],
    plans: Annotated[
        list[str] | None,
        typer.Option(
            "--plan",
            metavar="KIND=PLAN[:STRENGTH]",
            help="What prompts of a kind get; the others are not steered. Repeatable.",
        ),
    ] = None,
    by: By = "label",
    span: Span = "prompt",
    min_similarity: Annotated[
        float, typer.Option("--min-similarity", min=0.0, max=1.0, help="Cosine from which the nearest pattern counts.")
    ] = 0.0,
    labels: LabelsFile = None,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="POLICY", help="A policy whose rules go on where no pattern is near."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The policy to write, *.policy.json.")] = None,
    bind: Bind = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Known kinds of prompts by their routing, each with a plan: the pattern library of a policy (PreMoe).

    EVIDENCE are unsteered prompts with labels. Says how well each kind is told from the others, on items held out.
    """
    check_installed()
    from polyglyph.analysis.identification.library import find_library
    from polyglyph.clients.document_file import save_document
    from polyglyph.contract.policy import Policy, load_policy

    policy = load_policy(rules) if rules is not None else Policy()
    counts = read(evidence, labels)
    base = context.obj if isinstance(context.obj, Connection) else Connection.from_environment()
    found = find_library(
        counts,
        model=_binding(counts, bind, evidence, api_key or base.api_key),
        column=by,
        layers=layers_of(layers) or (),
        plans=dict(_target_of(text) for text in plans or ()),
        span=spans_of(span),
        min_similarity=min_similarity,
    )
    if as_json:
        print_json([kind.to_json() for kind in found.kinds])
    else:
        print_data(_table(found))
    for note in found.notes:
        say(note)
    if output is not None:
        save_document(policy.model_copy(update={"patterns": found.library}).to_json(), output)
        say(f"wrote {output}")


def _binding(counts: "Counts", bind: str | None, evidence: Path, api_key: str | None) -> "ModelBinding":
    """Find the model where a plan's would be found."""
    import polars as pl

    from polyglyph.analysis.identification.binding import with_binding
    from polyglyph.analysis.identification.identified import Identified

    unbound = Identified(method="library", model=counts.model, table=pl.DataFrame())
    return with_binding(unbound, where=bind, evidence=evidence, api_key=api_key).binding


def _target_of(text: str) -> "tuple[str, PolicyTarget]":
    """Read `KIND=PLAN:STRENGTH`."""
    from pydantic import ValidationError

    from polyglyph.contract.base import as_request_error
    from polyglyph.contract.policy import PolicyTarget

    kind, equals, what = text.partition("=")
    plan, colon, strength = what.partition(":")
    try:
        number = float(strength) if colon else 1.0
    except ValueError as error:
        raise typer.BadParameter(f"--plan: expected a number behind the colon, got {strength!r}") from error
    if not (kind and equals and plan):
        raise typer.BadParameter(f"--plan: expected KIND=PLAN or KIND=PLAN:STRENGTH, got {text!r}")
    try:
        return kind, PolicyTarget(plan=plan, strength=number)
    except ValidationError as error:
        raise as_request_error(error, root="--plan") from error


def _table(found: "FoundLibrary") -> "Table":
    from rich.table import Table

    table = Table("kind", "prompts", "tokens", "plan", "told right, held out", "cosine of 95 % of them")
    for kind in found.kinds:
        plan = "none" if kind.plan is None else f"{kind.plan.plan} x {kind.plan.strength:g}"
        similarity = "-" if kind.low_similarity is None else f"{kind.low_similarity:.4f}"
        table.add_row(kind.name, str(kind.num_prompts), str(kind.num_tokens), plan, _held_out(kind), similarity)
    return table


def _held_out(kind: "Kind") -> str:
    if kind.held_out is None:
        return "-"
    low, high = kind.held_out.interval
    return f"{kind.held_out.rate:.0%} [{low:.0%}, {high:.0%}] of {kind.held_out.num_asked:g}"
