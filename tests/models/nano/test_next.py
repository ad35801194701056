"""What training goes on from is of the networks that the recipe trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.checkpoint.build import load, load_text_encoder
from models.checkpoint.contents import folder_part
from models.training.configs import recipe
from models.training.text import MAX_TOKENS
from models.training.tokenizer import vocabulary

NEXT = Path(__file__).parents[3] / "models/nano/next"

pytestmark = pytest.mark.skipif(not NEXT.is_dir(), reason="the weights in training are not in this checkout")


def test_its_parts_are_the_recipes():
    full = recipe("full", len(vocabulary()))
    for part, folder, config in (
        ("autoencoder", "vae", full.autoencoder),
        ("transformer", "transformer", full.transformer),
    ):
        network = load(folder_part(part, NEXT / folder), device=torch.device("cpu"), dtype=torch.float32)
        assert network.config == config
    parts = {part: folder_part(part, NEXT / part) for part in ("text_encoder", "tokenizer")}
    text = load_text_encoder(parts, device=torch.device("cpu"), dtype=torch.float32)
    assert text.encode(["a red circle"], max_tokens=MAX_TOKENS)[0].shape[-1] == full.text.d_model
