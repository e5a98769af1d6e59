"""Frequency: how often each expert is selected on text of each script.

Letters of shapes: B texts, T tokens, L layers, S scripts, E experts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from polyglyph.analysis.organism.decoding import Decoder
from polyglyph.analysis.organism.losses import script_information
from polyglyph.analysis.organism.model import NUM_EXPERTS, TOP_K, router_logits
from polyglyph.analysis.organism.question import chat
from polyglyph.analysis.organism.tokenizer import token_scripts
from polyglyph.analysis.organism.writing import SCRIPTS, Script, write_text


def selection_frequencies(decoder: Decoder, texts: Sequence[str]) -> Tensor:
    """Measure selection frequencies a(layer, expert; script) on users' texts.

    Args:
        decoder: The organism.
        texts: Latin texts; each is asked in all four scripts. Only tokens that have a script count.

    Returns:
        float32 of shape [layers, scripts, experts]; the sum over experts is the number selected per token.
    """
    return torch.stack([_in_script(decoder, texts, script) for script in SCRIPTS], dim=1)


def script_bits(decoder: Decoder, texts: Sequence[str]) -> tuple[float, ...]:
    """Measure the mutual information of script and selected expert on texts, in bits (0 to 2), per layer."""
    given_LSE = selection_frequencies(decoder, texts) / TOP_K
    scripts_SS = torch.eye(len(SCRIPTS))
    nats = [script_information(given_SE, scripts_SS) for given_SE in given_LSE]
    return tuple((torch.stack(nats) / torch.tensor(2.0).log()).tolist())


@torch.no_grad()
def _in_script(decoder: Decoder, texts: Sequence[str], script: Script) -> Tensor:
    has_script_V = torch.tensor([name is not None for name in token_scripts(decoder.tokenizer)])
    counts_LE = 0
    num_tokens = 0
    for _, ids_BT in decoder.batches([(chat(write_text(text, script)), True) for text in texts]):
        with router_logits(decoder.model) as collected:
            decoder.model(ids_BT, use_cache=False, logits_to_keep=1)
        is_counted_T = has_script_V[ids_BT.flatten()]
        selected_LTK = torch.stack(collected)[:, is_counted_T].topk(TOP_K).indices
        counts_LE = counts_LE + one_hot(selected_LTK, NUM_EXPERTS).sum(dim=(1, 2))
        num_tokens += int(is_counted_T.sum())
    return counts_LE / num_tokens
