"""Finds the model that a plan is bound to: a server, a plan, a labelled run, or the bundled organism."""

from pathlib import Path

from pydantic import ValidationError

from polyglyph import bundled_plans
from polyglyph.analysis.evaluation.plan_set import SUFFIX
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.identified import Identified
from polyglyph.clients.client import Polyglyph
from polyglyph.contract.base import as_request_error, read_json
from polyglyph.contract.model import ModelBinding, ModelDescription
from polyglyph.contract.plan import load_plan

MODEL_NAME = "model.json"
"""In the folder of a labelled run: the `ModelDescription` of the model that was asked."""


def with_binding(
    found: Identified, *, where: str | None, evidence: Path | None, api_key: str | None = None
) -> Identified:
    """Bind what was found to its model as far as it is known.

    Args:
        found: By a method.
        where: A server's URL, a plan or a `model.json`; None to look beside the evidence and at the organism's plans.
        evidence: What the method read.
        api_key: Of the server.

    Raises:
        IdentificationError: `where` is none of these, or of another model.
        PolyglyphError: The server cannot be asked.
    """
    if where is not None:
        return found.bound(_named(where, api_key=api_key))
    beside = evidence / MODEL_NAME if evidence is not None and evidence.is_dir() else None
    if beside is not None and beside.is_file():
        return found.bound(load_model(beside))
    if isinstance(found.model, ModelBinding) or found.model.architecture:
        return found
    bundled = load_plan(next(bundled_plans().glob(f"*{SUFFIX}"))).model
    return found.bound(bundled) if bundled.fingerprint == found.model.fingerprint else found


def load_model(path: Path) -> ModelDescription:
    """Read a `model.json`.

    Raises:
        RequestError: It is none; the text names the file.
    """
    document = read_json(path, kind="model")
    try:
        return ModelDescription.model_validate(document, strict=False)
    except ValidationError as error:
        raise as_request_error(error, root=path.name) from error


def _named(where: str, *, api_key: str | None) -> ModelBinding | ModelDescription:
    if where.startswith(("http://", "https://")):
        with Polyglyph(where, api_key=api_key) as server:
            model = server.model()
        return ModelDescription(binding=model.binding, routers=model.routers)
    path = Path(where)
    if not path.exists():
        raise IdentificationError(f"--bind: expected a server's URL, a plan or a {MODEL_NAME}, and there is no {where}")
    if path.is_dir():
        return load_model(path / MODEL_NAME)
    return load_model(path) if path.name == MODEL_NAME else load_plan(path).model
