"""The contrast of an entity's tokens with the other tokens of the prompt that names it.

Letters of shapes: n tokens, X entities, G scripts, L MoE layers, E experts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.labelled_trace import LabelledTrace
from polyglyph.analysis.evidence.labels import PROMPT_SCRIPT
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.identified import Shape
from polyglyph.analysis.identification.token_selections import count_selections, unsteered
from polyglyph.analysis.identification.token_texts import TokenTexts
from polyglyph.contract.plan import PHASES
from polyglyph.contract.trace import SequenceTrace

ENTITY = "entity"

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class EntityContrast:
    """Entities whose tokens were seen in every script.

    Attributes:
        model: Whose selections they are.
        scripts: Sorted.
        items: The entities' items.
        difference_GXLE: Frequency on the entity's tokens less that on the prompt's other text.
        frequencies_LE: Over all tokens that were counted.
        num_tokens: Tokens of entities, by script.
        lost: Sequences left out, by the reason.
    """

    model: Shape
    scripts: tuple[str, ...]
    items: tuple[str, ...]
    difference_GXLE: Array
    frequencies_LE: Array
    num_tokens: Counter[str]
    lost: Counter[str]


@dataclass(frozen=True, eq=False)
class _Seen:
    """One prompt."""

    difference_LE: Array
    selected_LE: NDArray[np.int64]
    num_entity: int
    num_tokens: int


def entity_tokens(trace: SequenceTrace, entity: str, texts: TokenTexts) -> tuple[Mask, Mask]:
    """Tell the tokens of an entity from the prompt's other text.

    The entity is sought character by character in the decoded prompt, wherever it stands; a token that takes part in
    one of its characters is the entity's. Template tokens are neither.

    Args:
        trace: The sequence.
        entity: As the prompt writes it.
        texts: The tokenizer that made the prompt.

    Returns:
        Two bool [n]: the entity's tokens, and the others. The first is empty where the prompt does not name it.
    """
    prompt_n = trace.phases == PHASES.index("prompt")
    text = texts.read(trace.token_ids[prompt_n])
    spans = text.spans_of(re.compile(re.escape(entity))) if entity else []
    is_text = ~text.is_template_T & (text.end_T > text.begin_T)
    entity_n, other_n = np.zeros((2, trace.num_tokens), dtype=np.bool_)
    entity_n[prompt_n] = text.tokens_of(spans) & is_text
    other_n[prompt_n] = is_text
    return entity_n, other_n & ~entity_n


def contrast_entities(
    traces: Iterable[LabelledTrace], texts: TokenTexts, *, model: Shape, scripts: Sequence[str] | None = None
) -> EntityContrast:
    """Contrast the entities of labelled prompts.

    Args:
        traces: With the labels `item` (the entity, the same in every script) and `entity` (as the prompt writes it).
        texts: The tokenizer that made the prompts.
        model: Of the traces.
        scripts: Two or more; all that were asked in unless given.

    Raises:
        IdentificationError: No prompt has the label, fewer than two scripts are there, or no entity was seen in all of
            them. The text says how many prompts were left out and why.
    """
    seen: dict[str, dict[str, list[_Seen]]] = {}
    lost: Counter[str] = Counter()
    for each in traces:
        found = _see(each, texts, model=model)
        if isinstance(found, str):
            lost[found] += 1
        else:
            seen.setdefault(each.labels.get(PROMPT_SCRIPT) or each.trace.request_script, {}).setdefault(
                each.item, []
            ).append(found)
    names = tuple(sorted(set(scripts) if scripts else seen))
    items = _common_items(seen, names, lost=lost)
    used = [one for name in names for item in items for one in seen[name][item]]
    return EntityContrast(
        model=model,
        scripts=names,
        items=items,
        difference_GXLE=np.stack(
            [
                np.stack([np.mean([one.difference_LE for one in seen[name][item]], axis=0) for item in items])
                for name in names
            ]
        ),
        frequencies_LE=np.sum([one.selected_LE for one in used], axis=0) / sum(one.num_tokens for one in used),
        num_tokens=Counter({name: sum(one.num_entity for item in items for one in seen[name][item]) for name in names}),
        lost=lost,
    )


def _see(each: LabelledTrace, texts: TokenTexts, *, model: Shape) -> _Seen | str:
    """Give what one prompt shows, or the reason why it shows nothing."""
    if not each.labels.get(ENTITY):
        return f"have no label '{ENTITY}'"
    entity_n, other_n = entity_tokens(each.trace, each.labels[ENTITY], texts)
    if not entity_n.any():
        return "do not name their entity as the label writes it"
    own_n = unsteered(each.trace)
    entity_n, other_n = entity_n & own_n, other_n & own_n
    if not entity_n.any() or not other_n.any():
        return "have no token of the entity, or no other text, that was computed and not steered"
    counts = [count_selections(each.trace, mask, num_experts=model.experts) for mask in (entity_n, other_n)]
    return _Seen(
        difference_LE=counts[0] / entity_n.sum() - counts[1] / other_n.sum(),
        selected_LE=counts[0] + counts[1],
        num_entity=int(entity_n.sum()),
        num_tokens=int(entity_n.sum() + other_n.sum()),
    )


def _common_items(
    seen: dict[str, dict[str, list[_Seen]]], names: tuple[str, ...], *, lost: Counter[str]
) -> tuple[str, ...]:
    left_out = "".join(f"; {number} prompts {reason}" for reason, number in sorted(lost.items()))
    if len(names) < 2:
        raise IdentificationError(
            f"expected entities in two scripts or more, got {', '.join(names) or 'none'}{left_out}"
        )
    absent = [name for name in names if name not in seen]
    if absent:
        raise IdentificationError(
            f"no prompt in {absent[0]} names its entity, only in {', '.join(sorted(seen)) or 'no script'}{left_out}"
        )
    items = set.intersection(*(set(seen[name]) for name in names))
    if not items:
        raise IdentificationError(
            f"no entity was asked about in all of {', '.join(names)}: give prompts of one entity the same 'item'"
            f"{left_out}"
        )
    return tuple(sorted(items))
