"""Operations counted from shapes against torch's own counter, network by network."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models import catalog
from models.layers import convolution
from models.layers.linear import WideningLinear
from models.ltx.autoencoder import Autoencoder
from models.ltx.config import AutoencoderConfig, TransformerConfig, UpsamplerConfig
from models.ltx.transformer import Transformer
from models.ltx.upsampler import Upsampler
from models.shapes import Compression, LatentShape, PixelShape
from models.wan import autoencoder as wan_autoencoder
from models.wan import config as wan_config
from models.wan import published
from models.wan import transformer as wan_transformer
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


def wan(image=None, control=None, **values):
    network = wan_transformer.Transformer(
        wan_config.TransformerConfig(
            num_attention_heads=2, attention_head_dim=12, text_dim=10, freq_dim=16, ffn_dim=30, num_layers=2, **values
        )
    )  # fmt: skip
    clips = torch.randn(1, network.config.in_channels, 3, 4, 6)
    return network, lambda: network(clips, 0.5, torch.randn(1, 5, 10), image, control)


def wan_clip(encode, **values):
    network = wan_autoencoder.Autoencoder(
        wan_config.AutoencoderConfig(base_dim=4, num_res_blocks=1, dim_mult=(1, 2, 2, 2), **values)
    )
    space, channels = network.compression.space, network.config.latent_channels
    if encode:
        return network, lambda: network.encode(torch.randn(1, 3, 5, 2 * space, 3 * space))
    return network, lambda: list(network.decode_stream(torch.randn(1, channels, 3, 4, 6)))


FOLDED = {"is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2}
NETWORKS = {
    "transformer": transformer,
    "autoencoder": autoencoder,
    "spatial": upsampler,
    "temporal": lambda: upsampler(spatial_upsample=False, temporal_upsample=True),
    "flat": lambda: upsampler(dims=2),
    "wan": wan,
    "wan from a picture": lambda: wan(torch.randn(1, 7, 9), in_channels=36, image_dim=9, added_kv_proj_dim=24),
    "wan after a control": lambda: wan(None, torch.randn(1, 8, 3, 4, 6), vace_layers=(0,), vace_in_channels=8),
    "wan encoder": lambda: wan_clip(encode=True),
    "wan decoder": lambda: wan_clip(encode=False),
    "wan encoder 2.2": lambda: wan_clip(encode=True, **FOLDED),
    "wan decoder 2.2": lambda: wan_clip(encode=False, **FOLDED),
}


@pytest.mark.parametrize("made", NETWORKS.values(), ids=NETWORKS)
@torch.no_grad()
def test_the_count_is_torchs(made, monkeypatch):
    monkeypatch.setattr(convolution, "ONEDNN", False)  # whose convolution torch does not count
    network, run = made()
    torch.manual_seed(0)
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


@pytest.mark.parametrize(
    ("name", "pixels", "published_tera"),
    [
        ("wan2.1-t2v-1.3b", PixelShape(81, 480, 832), 283),
        ("wan2.1-t2v-14b", PixelShape(81, 480, 832), 1678),
        ("wan2.1-t2v-14b", PixelShape(81, 720, 1280), 6523),
        ("wan2.1-i2v-14b-720p", PixelShape(81, 720, 1280), 6541),
        ("wan2.2-ti2v-5b", PixelShape(121, 704, 1280), 517),
        ("wan2.1-t2v-14b", PixelShape(1, 1024, 1024), 116),
    ],
)
def test_published_networks_cost_what_their_shapes_say(name, pixels, published_tera):
    """One forward pass, with the text read anew; in 10^12 operations, by the formula of the fact sheet."""
    card = catalog.find(name)
    config = published.NETWORKS["transformer"][card.part_parameters["transformer"]]
    latent = card.compression.latent(pixels, card.latent_channels)
    with torch.device("meta"):
        network = wan_transformer.Transformer(config)
        clips = torch.empty(1, config.in_channels, *latent.as_tuple()[1:])
        text, image = torch.empty(1, 512, 4096), torch.empty(1, 257, 1280) if config.image_dim else None
    with torch.no_grad(), counted(network) as operations:
        network(clips, 0.5, text, image)
    assert operations.total() / 1e12 == pytest.approx(published_tera, rel=0.002, abs=0.5)
    dim, tokens = config.dim, latent.positions // 4
    assert operations["attention"] == 4 * tokens * dim * config.num_layers * (
        tokens + 512 + (257 if config.image_dim else 0)
    )
