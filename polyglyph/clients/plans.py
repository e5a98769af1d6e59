"""`polyglyph plans`: the server's registry of plans."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from polyglyph.clients.answers import PlanEntry
from polyglyph.clients.client import Polyglyph
from polyglyph.clients.connection import with_server
from polyglyph.clients.document_file import save_document
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.clients.output import AsJson, print_data, print_json, say
from polyglyph.contract.plan import Edit, Plan, load_plan

app = typer.Typer(no_args_is_help=True, help="List, read and change the server's plans.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a plan, or its fingerprint.")]
PlanFile = Annotated[Path, typer.Argument(metavar="FILE", help="A *.plan.json file.")]


@app.command("list")
@with_server
def list_plans(server: Polyglyph, *, as_json: AsJson = False) -> None:
    """List the plans of the server."""
    entries = server.plans.list()
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    print_data(_entry_table(entries))
    if not entries:
        say("the server has no plans; add one with 'polyglyph plans push FILE'")


@app.command("show")
@with_server
def show(server: Polyglyph, *, name: Name, as_json: AsJson = False) -> None:
    """Show one plan with its edits."""
    plan = server.plans.get(name)
    if as_json:
        print_json(plan.to_json())
        return
    print_data(_heading(plan))
    print_data(edit_table(plan.edits))


@app.command("push")
@with_server
def push(server: Polyglyph, *, file: PlanFile, as_json: AsJson = False) -> None:
    """Register a plan file under the plan's name; needs the admin key."""
    plan = load_plan(file)
    server.plans.put(plan)
    if as_json:
        print_json({"name": plan.name, "fingerprint": plan.fingerprint})
    else:
        say(f"{plan.name} is now {plan.fingerprint}")


@app.command("pull")
@with_server
def pull(
    server: Polyglyph,
    *,
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (default: NAME.plan.json; '-' is stdout).")
    ] = None,
) -> None:
    """Save a plan of the server as a file."""
    plan = server.plans.get(name)
    if output == Path("-"):
        print_json(plan.to_json())
        return
    path = output or Path(f"{plan.name}.plan.json")
    save_document(plan.to_json(), path)
    say(f"wrote {path}")


@app.command("delete")
@with_server
def delete(server: Polyglyph, *, name: Name) -> None:
    """Take a name out of the registry; needs the admin key. The content stays reachable by fingerprint."""
    server.plans.delete(name)
    say(f"{name} is no longer a plan of this server")


@app.command("validate")
@with_server
def validate(server: Polyglyph, *, file: PlanFile, as_json: AsJson = False) -> None:
    """Try a plan file against the loaded model; exit code 1 when the server would refuse it."""
    answer = server.validate(plan=load_plan(file))
    if as_json:
        print_json(answer.model_dump(mode="json", exclude_none=True))
    elif answer.valid:
        print_data(edit_table(answer.edits))
        say(f"{file}: the loaded model can be steered by this plan")
    for fault in () if as_json else answer.errors:
        say(f"{file}: {fault.message}", style="red")
    if not answer.valid:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def edit_table(edits: tuple[Edit, ...]) -> Table:
    """Lay edits out as a table."""
    table = Table("layer", "op", "value", "experts")
    for edit in edits:
        value = "" if edit.value is None else f"{edit.value:g}"
        table.add_row(str(edit.layer), edit.op, value, " ".join(map(str, edit.experts)))
    return table


def _entry_table(entries: tuple[PlanEntry, ...]) -> Table:
    table = Table("name", "edits", "phases", "fingerprint", "fits", "description")
    for entry in entries:
        edits = "" if entry.num_edits is None else str(entry.num_edits)
        fits = "yes" if entry.fits_model else "other model"
        table.add_row(entry.name, edits, " ".join(entry.phases), entry.fingerprint[:19], fits, entry.description)
    return table


def _heading(plan: Plan) -> str:
    lines: dict[str, Any] = {
        "name": plan.name,
        "description": plan.description,
        "fingerprint": plan.fingerprint,
        "model": f"{plan.model.architecture}, {plan.model.layers} layers, {plan.model.experts} experts, "
        f"top-{plan.model.top_k}",
        "phases": ", ".join(plan.phases),
    }
    return "\n".join(f"{key}: {value}" for key, value in lines.items() if value)
