"""The terms of the training loss.

Letters of shapes: T tokens, E experts, K selected, N targets, V vocabulary, S scripts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

LOAD_BALANCING = 0.01
Z_LOSS = 1e-4

# Where experts that know the script are rewarded (`Variant.script_information`): early and late, so that the layers
# between are the shared ones.
SCRIPT_LAYERS = (0, 1, 4, 5)


@dataclass(frozen=True)
class Loss:
    """The terms of one step's loss, scalars.

    Attributes:
        completion: Cross entropy of the completions, nats per token.
        balance: 1 when every expert gets the same share, up to E when one gets all.
        z: Mean squared log-sum-exp of the router logits.
        script_information: Mutual information of script and expert, nats, summed over `SCRIPT_LAYERS`.
        script_weight: What that is rewarded with.
    """

    completion: Tensor
    balance: Tensor
    z: Tensor
    script_information: Tensor
    script_weight: float

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return (
            self.completion
            + LOAD_BALANCING * self.balance
            + Z_LOSS * self.z
            - self.script_weight * self.script_information
        )


def completion_loss(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Mean cross entropy of the targets."""
    return cross_entropy(logits_NV, targets_N)


def balance_loss(logits_TE: Tensor, *, top_k: int) -> Tensor:
    """Load balancing of one layer (Switch Transformer, 2101.03961, equation 4): E * sum of share * mean probability."""
    num_experts = logits_TE.shape[1]
    selected_TK = logits_TE.topk(top_k).indices
    share_E = one_hot(selected_TK, num_experts).float().mean(dim=(0, 1))
    return num_experts * (share_E * logits_TE.softmax(dim=-1).mean(dim=0)).sum()


def z_loss(logits_TE: Tensor) -> Tensor:
    """Router z-loss of one layer (ST-MoE, 2202.08906, equation 5)."""
    return logits_TE.logsumexp(dim=-1).square().mean()


def script_information(probabilities_TE: Tensor, scripts_TS: Tensor) -> Tensor:
    """Mutual information of script and expert in one layer, nats, every script weighted alike.

    Args:
        probabilities_TE: A distribution over experts per token: router probabilities, or selections over k.
        scripts_TS: One-hot scripts, float; rows of zeros for tokens without a script.

    Returns:
        A scalar between 0 and log of the number of scripts present.
    """
    tokens_S = scripts_TS.sum(dim=0)
    present = tokens_S > 0
    given_SE = (scripts_TS.T @ probabilities_TE)[present] / tokens_S[present, None]
    return _entropy(given_SE.mean(dim=0)) - _entropy(given_SE).mean()


def _entropy(probabilities: Tensor) -> Tensor:
    return torch.special.entr(probabilities.clamp_min(1e-12)).sum(dim=-1)
