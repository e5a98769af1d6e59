"""The world, tokenizer and shipped organism that the organism's tests share."""

import pytest
import torch

from polyglyph import bundled_organism
from polyglyph.analysis.organism.card import load_decoder
from polyglyph.analysis.organism.tokenizer import build_tokenizer
from polyglyph.analysis.organism.world import World, make_world


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def world():
    return make_world(0)


@pytest.fixture(scope="session")
def tokenizer(world: World):
    return build_tokenizer(world)


@pytest.fixture(scope="session")
def shipped():
    return load_decoder(bundled_organism())
