"""Script labels of the loaded model's vocabulary, read from its tokenizer.

Written for vLLM 0.32 and 0.33; leans on `vllm.tokenizers.cached_tokenizer_from_config`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyglyph.routing.scripts.labeller import ScriptLabeller


def find_labeller(model_config: Any) -> "ScriptLabeller":
    """Give what labels the tokens of a model; without a tokenizer no token has a script.

    Args:
        model_config: vLLM's model configuration.
    """
    # Here, because this brings Numba: vLLM's CPU worker looks into every loaded module when it starts
    # (`triton_utils/dispatcher.py: _rebind_kernels`, 0.32) and falls over what llvmlite calls its `lib`.
    from polyglyph.routing.scripts.characters import characters
    from polyglyph.routing.scripts.labeller import ScriptLabeller
    from polyglyph.routing.scripts.vocabulary import Vocabulary

    if model_config.skip_tokenizer_init:
        return ScriptLabeller(Vocabulary.of({}), characters())
    from vllm.tokenizers import cached_tokenizer_from_config

    return ScriptLabeller.from_tokenizer(cached_tokenizer_from_config(model_config))
