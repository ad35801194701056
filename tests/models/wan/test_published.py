"""Every published network has as many parameters as it is listed under."""

from __future__ import annotations

import pytest
import torch

from models.shapes import Compression
from models.wan.autoencoder import Autoencoder
from models.wan.published import NETWORKS
from models.wan.transformer import Transformer

CLASSES = {"transformer": Transformer, "autoencoder": Autoencoder}


@pytest.mark.parametrize(
    ("part", "count", "config"),
    [(part, count, config) for part in CLASSES for count, config in NETWORKS[part].items()],
)
def test_parameters(part, count, config):
    with torch.device("meta"):
        network = CLASSES[part](config)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_experts_are_networks_like_any_other():
    assert NETWORKS["transformer_2"] == NETWORKS["transformer"]


def test_autoencoders_compress_as_published():
    compressions = [config.compression for config in NETWORKS["autoencoder"].values()]
    assert compressions == [Compression(4, 8), Compression(4, 16)]
