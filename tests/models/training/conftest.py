"""A whole cascade of small networks with random weights."""

from __future__ import annotations

import pytest
import torch

from models.ltx.autoencoder import Autoencoder
from models.ltx.transformer import Transformer
from models.ltx.upsampler import Upsampler
from models.training.configs import recipe
from models.training.sampling import Networks
from models.training.text import small_text_encoder
from models.training.tokenizer import vocabulary


@pytest.fixture(scope="package")
def networks() -> Networks:
    smoke = recipe("smoke", len(vocabulary()))
    torch.manual_seed(0)
    made = Networks(
        Transformer(smoke.transformer),
        small_text_encoder(smoke.text),
        Autoencoder(smoke.autoencoder),
        Upsampler(smoke.temporal),
        Upsampler(smoke.spatial),
    )
    for part in (made.transformer, made.text.network, made.autoencoder, made.temporal, made.spatial):
        part.eval().requires_grad_(False)
    return made
