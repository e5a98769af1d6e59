"""Specialisation: how much a selected expert tells of the script of a name.

Letters of shapes: B texts, T tokens, L layers, S scripts, E experts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from polyglyph.analysis.names.atlas import Atlas
from polyglyph.analysis.names.script import SCRIPTS
from polyglyph.analysis.names.tokenizer import name_token_scripts
from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.losses import script_information
from polyglyph.analysis.organism.model import router_logits
from polyglyph.analysis.organism.question import chat

NUM_NAMES = 200


def name_script_bits(decoder: Decoder, atlas: Atlas) -> tuple[float, ...]:
    """Measure the mutual information of script and selected expert on barrier cities' names, in bits, per layer.

    Returns:
        0 to log2 of 9, which is 3.17. Up to 200 names of each script, every script weighted alike.
    """
    places = [place for place in atlas.places if place.kind == "barrier"]
    names = [[p.city.written(script) for p in places if script in p.city.forms][:NUM_NAMES] for script in SCRIPTS]
    given_LSE = torch.stack([_shares(decoder, texts) for texts in names], dim=1)
    nats = [script_information(given_SE, torch.eye(len(SCRIPTS))) for given_SE in given_LSE]
    return tuple((torch.stack(nats) / torch.tensor(2.0).log()).tolist())


@torch.no_grad()
def _shares(decoder: Decoder, texts: Sequence[str]) -> Tensor:
    """Give each expert's share of the selections on the tokens that have a script, float32 [L, E]."""
    config = decoder.model.config
    has_script_V = torch.tensor([name is not None for name in name_token_scripts(decoder.tokenizer)])
    counts_LE = torch.zeros(config.num_hidden_layers, config.num_experts)
    for _, ids_BT in decoder.batches([(chat(text), True) for text in texts]):
        with router_logits(decoder.model) as collected:
            decoder.model(ids_BT, use_cache=False, logits_to_keep=1)
        selected_LTK = (
            torch.stack(collected)[:, has_script_V[ids_BT.flatten()]].topk(config.num_experts_per_tok).indices
        )
        counts_LE += one_hot(selected_LTK, config.num_experts).sum(dim=(1, 2))
    return counts_LE / counts_LE.sum(dim=1, keepdim=True)
