"""The autoencoder of every generation against golden values and diffusers; streams and tiles against the whole."""

from __future__ import annotations

import pytest
import torch

import models.ltx.autoencoder as module
from models.errors import ShapeError
from models.layers.convolution import Stream
from models.layers.tiling import Tiling
from models.ltx.autoencoder import Autoencoder
from models.ltx.config import AutoencoderConfig

V0 = {
    "latent_channels": 4,
    "block_out_channels": (4,) * 4,
    "decoder_block_out_channels": (4,) * 4,
    "layers_per_block": (1,) * 5,
    "decoder_layers_per_block": (1,) * 5,
}
DOUBLED = {
    "decoder_block_out_channels": (8, 16, 32),
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2,) * 3,
    "timestep_conditioning": True,
}
V1 = DOUBLED | {
    "latent_channels": 4,
    "block_out_channels": (4, 6, 8, 8),
    "layers_per_block": (1,) * 5,
    "decoder_layers_per_block": (1, 2, 1, 1),
    "decoder_inject_noise": (True, True, True, False),
}
V5 = DOUBLED | {
    "latent_channels": 4,
    "block_out_channels": (8, 8, 8, 16, 16),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "layers_per_block": (1,) * 5,
    "decoder_layers_per_block": (1,) * 4,
    "spatio_temporal_scaling": (True,) * 4,
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
SMALL = {
    "latent_channels": 32,
    "block_out_channels": (32, 64, 128),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 2,
    "decoder_block_out_channels": (64, 128),
    "layers_per_block": (1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1),
    "spatio_temporal_scaling": (True, True),
    "decoder_spatio_temporal_scaling": (True, True),
    "downsample_type": ("spatiotemporal",) * 2,
    "upsample_residual": (True, True),
    "upsample_factor": (2, 2),
    "patch_size": 4,
}
STRETCHED = V0 | {"block_out_channels": (4, 6, 8, 8), "decoder_block_out_channels": (4, 6, 8, 8)}
GENERATIONS = {"0.9.0": V0, "0.9.0, widths differ": STRETCHED, "0.9.1": V1, "0.9.5": V5, "small": SMALL}
FULL_1 = {
    "decoder_block_out_channels": (256, 512, 1024),
    "decoder_layers_per_block": (5, 6, 7, 8),
    "decoder_inject_noise": (True, True, True, False),
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2,) * 3,
    "timestep_conditioning": True,
}
FULL_5 = FULL_1 | {
    "block_out_channels": (128, 256, 512, 1024, 2048),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "layers_per_block": (4, 6, 6, 2, 2),
    "decoder_layers_per_block": (5,) * 4,
    "spatio_temporal_scaling": (True,) * 4,
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "decoder_inject_noise": (False,) * 4,
}


def network(config: dict, seed: int = 0) -> Autoencoder:
    """Random weights, with noise and latent statistics that are not the neutral ones."""
    torch.manual_seed(seed)
    made = Autoencoder(AutoencoderConfig(**config)).eval()
    for name, value in made.state_dict().items():
        if "per_channel_scale" in name:
            torch.nn.init.normal_(value)
        elif name.startswith("latents_"):
            torch.nn.init.uniform_(value, 0.5, 1.5)
    return made


def timestep(config: dict, batch: int) -> torch.Tensor | None:
    return torch.linspace(0.05, 0.2, batch) if config.get("timestep_conditioning") else None


def reference(ours: Autoencoder):
    from diffusers import AutoencoderKLLTXVideo

    theirs = AutoencoderKLLTXVideo.from_config(ours.config.to_dict()).eval()
    theirs.load_state_dict(ours.state_dict())
    return theirs


@torch.no_grad()
def test_golden_0_9_0(fill, wave, matches):
    made = fill(Autoencoder(AutoencoderConfig(**V0)))
    posterior = made.encode(wave(1, 3, 9, 64, 64))
    assert posterior.mean.shape == posterior.logvar.shape == (1, 4, 2, 2, 2)
    matches(posterior.mean, 0.000301, 0.153143, [-0.02696, -0.09587, -0.17651, -0.17732], [-0.17239, -0.15295])
    matches(posterior.logvar, 0.207875, 0.052818, [0.16935, 0.22093, 0.24851, 0.22079], [0.17596, 0.10231])
    clip = made.decode_raw(wave(1, 4, 2, 2, 2))
    assert clip.shape == (1, 3, 9, 64, 64)
    matches(clip, -0.004243, 0.342838, [0.16753, -0.11919, 0.01991, -0.01655], [0.07255, 0.01795])


@torch.no_grad()
def test_golden_0_9_5(fill, wave, matches):
    made = fill(Autoencoder(AutoencoderConfig(**V5)))
    mean = made.encode(wave(1, 3, 9, 64, 64)).mode()
    matches(mean, -0.021855, 0.245015, [-0.03244, 0.07795, 0.24273, 0.27482], [0.15564, 0.25711])
    clip = made.decode_raw(wave(1, 4, 2, 2, 2), 0.05)
    matches(clip, -0.003196, 0.079340, [0.01108, 0.00162, -0.04791, -0.01145], [0.00630, -0.00307])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("config", GENERATIONS.values(), ids=GENERATIONS)
@torch.no_grad()
def test_it_computes_what_diffusers_computes(config, memory_format):
    ours = network(config).to(memory_format=memory_format)
    theirs = reference(ours)
    video = torch.rand(2, 3, 9, 32, 64).mul(2).sub(1).to(memory_format=memory_format)
    expected, made = theirs.encode(video).latent_dist, ours.encode(video)
    torch.testing.assert_close(made.mean, expected.mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(made.logvar, expected.logvar, atol=1e-5, rtol=0)
    z, t = torch.randn_like(made.mean), timestep(config, 2)
    torch.manual_seed(7)
    clip = theirs.decode(z, t).sample
    torch.manual_seed(7)
    torch.testing.assert_close(ours.decode_raw(z, t), clip, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("config", "encoder", "decoder", "tensors"),
    [
        ({}, 180_404_353, 238_789_296, 190),
        (FULL_1, 180_404_353, 754_572_081, 294),
        (FULL_5, 694_098_881, 552_814_641, 226),
        (V5, None, None, 86),
    ],
)
def test_parameter_counts(config, encoder, decoder, tensors):
    with torch.device("meta"):
        made = Autoencoder(AutoencoderConfig(**config))
    counts = [sum(value.numel() for value in part.parameters()) for part in (made.encoder, made.decoder)]
    assert counts == [encoder, decoder] if encoder else sum(counts) == 366_984
    assert len(made.state_dict()) == tensors


@pytest.mark.parametrize("config", GENERATIONS.values(), ids=GENERATIONS)
@pytest.mark.parametrize("chunk", [1, 2, 5, 20])
def test_a_stream_gives_the_frames_of_the_whole(config, chunk):
    ours = network(config)
    latents, t = torch.randn(2, ours.config.latent_channels, 12, 2, 1), timestep(config, 2)
    with torch.no_grad():
        whole = ours.decode(latents, t, torch.Generator().manual_seed(5))
    pieces = list(ours.decode_stream(latents, t, chunk, torch.Generator().manual_seed(5)))
    torch.testing.assert_close(torch.cat(pieces, dim=2), whole, atol=1e-5, rtol=0)
    longest = chunk * ours.compression.time
    assert all(0 < piece.shape[2] <= longest and not piece.requires_grad for piece in pieces)


@pytest.mark.parametrize("config", [V0, V5, SMALL])
def test_a_still_streams_too(config):
    ours = network(config)
    latents, t = torch.randn(1, ours.config.latent_channels, 1, 1, 2), timestep(config, 1)
    (frame,) = ours.decode_stream(latents, t)
    assert frame.shape[2] == 1
    with torch.no_grad():
        torch.testing.assert_close(frame, ours.decode(latents, t), atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", [V0, V5, SMALL])
def test_a_stream_holds_no_more_of_a_long_clip_than_of_a_short_one(config, monkeypatch):
    ours = network(config)
    most = []

    class Watched(Stream):
        def keep(self, layer, frames):
            super().keep(layer, frames)
            most[-1] = max(most[-1], self.frames_held)

    monkeypatch.setattr(module, "Stream", Watched)
    for frames in (12, 36):
        most.append(0)
        latents = torch.randn(1, ours.config.latent_channels, frames, 1, 1)
        made = sum(piece.shape[2] for piece in ours.decode_stream(latents, timestep(config, 1)))
        assert made == (frames - 1) * ours.compression.time + 1
    assert most[0] == most[1] > 0


@pytest.mark.parametrize("config", [V0, V1, V5, SMALL], ids=["0.9.0", "0.9.1", "0.9.5", "small"])
@torch.no_grad()
def test_tiles_are_those_of_diffusers_whole_and_streamed(config):
    ours = network(config)
    theirs, space = reference(ours), ours.compression.space
    size, stride = 3 * space, 2 * space
    theirs.enable_tiling(size, size, None, stride, stride)
    z, t = torch.randn(1, ours.config.latent_channels, 5, 4, 5), timestep(config, 1)
    torch.manual_seed(7)
    expected = theirs.decode(z, t).sample
    torch.manual_seed(7)
    made = ours.decode_raw(z, t, tiling=Tiling(size, stride))
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
    torch.manual_seed(7)
    pieces = list(ours.decode_stream(ours.normalise(z), t, tiling=Tiling(size, stride)))
    torch.testing.assert_close(torch.cat(pieces, dim=2), made, atol=1e-5, rtol=0)
    video = torch.randn(1, 3, 9, 4 * space, 5 * space)
    means = theirs.encode(video).latent_dist.mean
    torch.testing.assert_close(ours.encode(video, Tiling(size, stride)).mean, means, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_small_clip_is_not_cut_into_tiles():
    ours = network(SMALL)
    z = torch.randn(1, 32, 2, 2, 2)
    assert torch.equal(ours.decode_raw(z, tiling=Tiling(32, 16)), ours.decode_raw(z))
    with pytest.raises(ShapeError, match="multiples of 16"):
        ours.decode_raw(z, tiling=Tiling(40, 20))


@pytest.mark.parametrize("config", GENERATIONS.values(), ids=GENERATIONS)
@torch.no_grad()
def test_the_first_frame_is_encoded_as_if_it_were_alone(config):
    ours = network(config)
    video = torch.randn(1, 3, 17, 32, 32)
    alone, whole = ours.encode(video[:, :, :1]).mean, ours.encode(video).mean
    torch.testing.assert_close(whole[:, :, :1], alone, atol=1e-5, rtol=0)
    later = video.clone()
    later[:, :, 9:] += 1
    changed = ours.encode(later).mean
    seen = 8 // ours.compression.time + 1
    torch.testing.assert_close(changed[:, :, :seen], whole[:, :, :seen], atol=1e-5, rtol=0)
    assert not torch.allclose(changed[:, :, seen:], whole[:, :, seen:])


def test_statistics_turn_raw_latents_into_normalised_ones_and_back():
    ours = network(V0)
    z = torch.randn(2, 4, 2, 1, 1)
    latents = ours.normalise(z)
    torch.testing.assert_close(latents[:, 1], (z[:, 1] - ours.latents_mean[1]) / ours.latents_std[1])
    torch.testing.assert_close(ours.denormalise(latents), z)
    with torch.no_grad():
        torch.testing.assert_close(ours.decode(latents), ours.decode_raw(z), atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_weight():
    for config in (V1, SMALL):
        ours = network(config)
        video = torch.randn(2, 3, 9, 32, 32)
        posterior = ours.encode(video)
        loss = (ours.decode_raw(posterior.sample(), timestep(config, 2)) - video).square().mean()
        (loss + posterior.logvar.mean()).backward()
        trained = [name for name, value in ours.named_parameters() if value.grad is None]
        assert trained in ([], ["decoder.timestep_scale_multiplier"])


@torch.no_grad()
def test_a_network_built_on_meta_runs_once_weights_are_assigned():
    ours = network(V5)
    with torch.device("meta"):
        made = Autoencoder(ours.config)
    made.load_state_dict(ours.state_dict(), assign=True)
    z = torch.randn(1, 4, 2, 1, 1)
    assert torch.equal(made.decode(z, 0.05), ours.decode(z, 0.05))


@torch.no_grad()
def test_inputs_are_brought_to_the_precision_of_the_weights():
    ours = network(SMALL).double()
    posterior = ours.encode(torch.randn(1, 3, 5, 16, 16))
    assert posterior.mean.dtype == ours.decode(posterior.mean.float()).dtype == torch.float64


def test_what_cannot_be_done_is_said():
    with pytest.raises(ValueError, match="timestep"):
        network(V5).decode(torch.randn(1, 4, 1, 1, 1))
    with pytest.raises(ShapeError, match="64x64, 9 frames"):
        network(V0).encode(torch.randn(1, 3, 8, 64, 60))
    with pytest.raises(ValueError, match="chunk"):
        network(V0).decode_stream(torch.randn(1, 4, 1, 1, 1), chunk=0)
