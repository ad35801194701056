"""Operations counted from shapes against torch's own counter, network by network."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.layers import convolution
from models.layers.linear import WideningLinear
from models.ltx.autoencoder import Autoencoder
from models.ltx.config import AutoencoderConfig, TransformerConfig, UpsamplerConfig
from models.ltx.transformer import Transformer
from models.ltx.upsampler import Upsampler
from models.shapes import Compression, LatentShape
from vgen_cli.bench.flops import counted

SHAPE = LatentShape(8, 3, 4, 6)
LATENTS = torch.randn(1, *SHAPE.as_tuple())


def transformer():
    config = TransformerConfig(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=12, num_layers=3,
        cross_attention_dim=24, caption_channels=10,
    )  # fmt: skip
    network = Transformer(config)

    def run():
        bound = network.bind(
            torch.randn(1, 5, 10), torch.ones(1, 5), SHAPE, fps=24, compression=Compression(8, 32), causal_time=True
        )
        return bound(LATENTS, 0.5)

    return network, run


def autoencoder():
    config = AutoencoderConfig(
        latent_channels=8, block_out_channels=(4, 8, 8, 16), layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, False), decoder_block_out_channels=(8, 16, 32),
        decoder_layers_per_block=(1, 1, 1, 1), decoder_spatio_temporal_scaling=(True,) * 3,
        upsample_residual=(True,) * 3, upsample_factor=(2,) * 3, timestep_conditioning=True,
    )  # fmt: skip
    network = Autoencoder(config)
    return network, lambda: list(network.decode_stream(LATENTS, 0.05, chunk=2))


def upsampler(**values):
    network = Upsampler(UpsamplerConfig(in_channels=8, mid_channels=32, num_blocks_per_stage=1, **values))
    return network, lambda: network(LATENTS)


@pytest.mark.parametrize(
    "made",
    [transformer, autoencoder, upsampler, lambda: upsampler(spatial_upsample=False, temporal_upsample=True),
     lambda: upsampler(dims=2)],
    ids=["transformer", "autoencoder", "spatial", "temporal", "flat"],
)  # fmt: skip
@torch.no_grad()
def test_the_count_is_torchs(made, monkeypatch):
    monkeypatch.setattr(convolution, "ONEDNN", False)  # whose convolution torch does not count
    network, run = made()
    with counted(network.eval()) as operations:
        run()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as theirs:  # it counts no kernel of the CPU
        run()
    assert operations.total() == theirs.get_total_flops() > 10_000


def test_hooks_are_gone_afterwards_and_widening_layers_count():
    network = nn.Sequential(WideningLinear(nn.Linear(6, 4)))
    with counted(network) as operations:
        network(torch.zeros(3, 6))
    network(torch.zeros(3, 6))
    assert operations == {"linear": 2 * 3 * 6 * 4}
