"""The part of the document on traces: pathways, tokens of each expert, co-activation."""

from typing import Any

import numpy as np

from polyglyph.analysis.report.cells import matrix, rounded
from polyglyph.analysis.report.token_findings import TokenFindings
from polyglyph.analysis.statistics.figure import Missing

NUM_TOKENS = 3
NUM_PARTNERS = 3

Document = dict[str, Any]


def traces_document(found: TokenFindings) -> Document:
    """Give what traces tell; tokens and partners by `layer:expert`, the first few, the page has more."""
    return {
        "tokens": found.num_tokens,
        "are_all": found.is_whole,
        "pathways": _pathways(found),
        "top_tokens": _top_tokens(found),
        "co_activation": _co_activation(found),
    }


def token_texts(found: TokenFindings) -> list[Document]:
    """Give id, text (or bytes, or neither without a tokenizer) and script of every token that occurs."""
    if isinstance(found.top, Missing):
        return []
    texts = {} if isinstance(found.texts, Missing) else found.texts
    scripts = found.scripts or {}
    return [{"id": token, **texts.get(token, {}), "script": scripts[token]} for token in found.top.ids_V.tolist()]


def shares_together(together_LEE: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Give the share of each expert's tokens that also select each other expert, float64 [L, E, E]; 0 for itself."""
    own_LE = np.diagonal(together_LEE, axis1=1, axis2=2)
    share_LEE: np.ndarray[Any, Any] = together_LEE / np.maximum(own_LE, 1)[:, :, None]
    experts = np.arange(share_LEE.shape[1])
    share_LEE[:, experts, experts] = 0.0
    return share_LEE


def share_of_misfits(found: TokenFindings) -> float:
    """Give the share of distinct tokens whose text is in another script than the traces say; 0 where none has both.

    A wrong tokenizer gives any id some text; only this tells.
    """
    from polyglyph.routing.scripts.dominant import NO_SCRIPT, dominant_script

    pairs = [(dominant_script(token["text"]), token["script"]) for token in token_texts(found) if "text" in token]
    told = [(text, label) for text, label in pairs if NO_SCRIPT not in {text, label}]
    num_misfits = len([text for text, label in told if text != label])
    return num_misfits / max(1, len(told))


def _pathways(found: TokenFindings) -> Document:
    if isinstance(found.pathways, Missing):
        return found.pathways.to_json()
    return {
        "groups": list(found.pathways.names),
        "tokens_of_each": found.pathways.num_tokens,
        "null_means": "no two tokens to compare",
        "distance": matrix(found.pathways.distance_GG),
    }


def _top_tokens(found: TokenFindings) -> Document:
    top = found.top
    if isinstance(top, Missing):
        return top.to_json()
    tokens, document = token_texts(found), {}
    for layer, expert in np.argwhere(top.count_LEP[:, :, 0] > 0).tolist():
        places = [
            place for place in range(min(NUM_TOKENS, top.count_LEP.shape[2])) if top.count_LEP[layer, expert, place]
        ]
        document[f"{layer}:{expert}"] = [
            {
                **tokens[int(top.index_LEP[layer, expert, place])],
                "count": int(top.count_LEP[layer, expert, place]),
                "share": rounded(float(top.share_LEP[layer, expert, place])),
            }
            for place in places
        ]
    return document


def _co_activation(found: TokenFindings) -> Document:
    if isinstance(found.together_LEE, Missing):
        return found.together_LEE.to_json()
    share_LEE = shares_together(found.together_LEE)
    best_LEP = np.argsort(-share_LEE, axis=2, kind="stable")[:, :, :NUM_PARTNERS]
    return {
        f"{layer}:{expert}": {
            str(other): rounded(float(share_LEE[layer, expert, other]))
            for other in best_LEP[layer, expert].tolist()
            if share_LEE[layer, expert, other] > 0
        }
        for layer, expert in np.argwhere(share_LEE.max(axis=2) > 0).tolist()
    }
