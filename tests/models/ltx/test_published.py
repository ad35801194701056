"""Every published network has as many parameters as it is listed under."""

from __future__ import annotations

import pytest
import torch

from models.ltx.autoencoder import Autoencoder
from models.ltx.published import NETWORKS
from models.ltx.transformer import Transformer
from models.ltx.upsampler import Upsampler
from models.shapes import Compression

CLASSES = {"transformer": Transformer, "autoencoder": Autoencoder}


@pytest.mark.parametrize(
    ("part", "count", "config"),
    [(part, count, config) for part, listed in NETWORKS.items() for count, config in listed.items()],
)
def test_parameters(part, count, config):
    with torch.device("meta"):
        network = CLASSES.get(part, Upsampler)(config)
    names = {name for name, _ in network.named_buffers() if name.startswith("latents_")}
    state = network.state_dict()
    assert sum(tensor.numel() for name, tensor in state.items() if name not in names) == count


def test_every_autoencoder_compresses_alike():
    assert {config.compression for config in NETWORKS["autoencoder"].values()} == {Compression(8, 32)}
