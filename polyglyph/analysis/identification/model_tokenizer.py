"""The tokenizer of the model that traces are of."""

from pathlib import Path

from polyglyph import bundled_organism, bundled_plans
from polyglyph.analysis.evaluation.plan_set import SUFFIX
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.identified import Shape
from polyglyph.analysis.identification.token_texts import TokenTexts, read_tokenizer
from polyglyph.contract.plan import load_plan


def model_tokenizer(folder: Path | None, model: Shape) -> TokenTexts:
    """Read the tokenizer that is named, or the organism's for traces of it.

    Raises:
        IdentificationError: None is named, and the traces are of another model than the organism.
        RequestError: It cannot be read.
    """
    if folder is not None:
        return read_tokenizer(folder)
    organism = load_plan(next(bundled_plans().glob(f"*{SUFFIX}"))).model
    if model.fingerprint != organism.fingerprint:
        raise IdentificationError(
            f"the traces are of the model {model.fingerprint[:19]}, not of the bundled organism: name the folder of "
            "its tokenizer with --tokenizer, to read the text of its tokens"
        )
    return read_tokenizer(bundled_organism())
