"""`polyglyph experts`: the server's registry of expert sets."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from polyglyph.clients.answers import ExpertSetEntry
from polyglyph.clients.client import Polyglyph
from polyglyph.clients.connection import with_server
from polyglyph.clients.document_file import save_document
from polyglyph.clients.output import AsJson, print_data, print_json, say
from polyglyph.contract.expert_set import ExpertSet, load_expert_set

app = typer.Typer(no_args_is_help=True, help="List, read and change the server's expert sets.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of an expert set.")]
SetFile = Annotated[Path, typer.Argument(metavar="FILE", help="A *.experts.json file.")]


@app.command("list")
@with_server
def list_expert_sets(server: Polyglyph, *, as_json: AsJson = False) -> None:
    """List the expert sets of the server."""
    entries = server.expert_sets.list()
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    print_data(_entry_table(entries))
    if not entries:
        say("the server has no expert sets; add one with 'polyglyph experts push FILE'")


@app.command("show")
@with_server
def show(server: Polyglyph, *, name: Name, as_json: AsJson = False) -> None:
    """Show one expert set with its experts and their weights."""
    experts = server.expert_sets.get(name)
    if as_json:
        print_json(experts.to_json())
        return
    print_data(_heading(experts))
    print_data(_expert_table(experts))


@app.command("push")
@with_server
def push(server: Polyglyph, *, file: SetFile, as_json: AsJson = False) -> None:
    """Register an expert set's file under the set's name; needs the admin key."""
    experts = load_expert_set(file)
    server.expert_sets.put(experts)
    if as_json:
        print_json({"name": experts.name, "fingerprint": experts.fingerprint})
    else:
        say(f"{experts.name} is now {experts.fingerprint}")


@app.command("pull")
@with_server
def pull(
    server: Polyglyph,
    *,
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (default: NAME.experts.json; '-' is stdout).")
    ] = None,
) -> None:
    """Save an expert set of the server as a file."""
    experts = server.expert_sets.get(name)
    if output == Path("-"):
        print_json(experts.to_json())
        return
    path = output or Path(f"{experts.name}.experts.json")
    save_document(experts.to_json(), path)
    say(f"wrote {path}")


@app.command("delete")
@with_server
def delete(server: Polyglyph, *, name: Name) -> None:
    """Take an expert set out of the registry; needs the admin key."""
    server.expert_sets.delete(name)
    say(f"{name} is no longer an expert set of this server")


def _entry_table(entries: tuple[ExpertSetEntry, ...]) -> Table:
    table = Table("name", "experts", "layers", "readout", "guard", "fingerprint", "fits", "description")
    for entry in entries:
        table.add_row(
            entry.name,
            "" if entry.num_experts is None else str(entry.num_experts),
            " ".join(map(str, entry.layers)),
            _readout_words(entry),
            "yes" if entry.guard else "",
            entry.fingerprint[:19],
            "yes" if entry.fits_model else "other model",
            entry.description,
        )
    return table


def _readout_words(entry: ExpertSetEntry) -> str:
    kind = "probability" if entry.gives_probability else "share"
    limit = "" if entry.threshold is None else f" >= {entry.threshold:g}"
    return f"{entry.phase}: {kind}{limit}"


def _expert_table(experts: ExpertSet) -> Table:
    table = Table("layer", "experts", "weights")
    for entry in sorted(experts.experts, key=lambda entry: entry.layer):
        weights = " ".join(f"{weight:g}" for weight in entry.weights or ())
        table.add_row(str(entry.layer), " ".join(map(str, entry.experts)), weights)
    return table


def _heading(experts: ExpertSet) -> str:
    model = experts.model
    lines: dict[str, Any] = {
        "name": experts.name,
        "description": experts.description,
        "fingerprint": experts.fingerprint,
        "model": f"{model.architecture}, {model.layers} layers, {model.experts} experts, top-{model.top_k}",
        "phase": experts.phase,
        "bias": experts.bias,
        "threshold": experts.threshold_in_force,
        "guard": "yes" if experts.guard else None,
    }
    return "\n".join(f"{key}: {value}" for key, value in lines.items() if value not in (None, ""))
