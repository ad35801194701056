"""The autoencoders of both generations against diffusers; streams, tiles and long clips against the whole."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.errors import ShapeError
from models.layers.tiling import Tiling
from models.wan.autoencoder import Autoencoder
from models.wan.autoencoder_blocks import ChannelNorm
from models.wan.config import AutoencoderConfig

SMALL = {"base_dim": 3, "dim_mult": (1, 2, 2, 2), "num_res_blocks": 1}
DEEP = {"base_dim": 3}
RESIDUAL = {
    "base_dim": 4,
    "decoder_base_dim": 4,
    "z_dim": 48,
    "num_res_blocks": 1,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
}
ODD = {"base_dim": 4, "dim_mult": (1, 2), "temperal_downsample": (True,), "z_dim": 5, "latents_mean": (0.5,) * 5,
       "latents_std": (2.0,) * 5}  # fmt: skip
GENERATIONS = {"2.1": SMALL, "2.1, deep": DEEP, "2.2": RESIDUAL, "one level": ODD}
FULL_22 = RESIDUAL | {"base_dim": 160, "decoder_base_dim": 256, "num_res_blocks": 2}
EACH = pytest.mark.parametrize("config", GENERATIONS.values(), ids=GENERATIONS)


def network(config: dict, seed: int = 0) -> Autoencoder:
    """Random weights, norms included."""
    torch.manual_seed(seed)
    made = Autoencoder(AutoencoderConfig(**config)).eval()
    for name, value in made.state_dict().items():
        if name.endswith("gamma"):
            torch.nn.init.uniform_(value, 0.5, 1.5)
    return made


def reference(ours: Autoencoder):
    from diffusers import AutoencoderKLWan

    theirs = AutoencoderKLWan.from_config(ours.config.to_dict()).eval()
    theirs.load_state_dict(ours.state_dict())
    return theirs


def clip(ours: Autoencoder, frames: int, rows: int = 3, columns: int = 2, batch: int = 1) -> torch.Tensor:
    space = ours.compression.space
    return torch.rand(batch, 3, frames, rows * space, columns * space).mul(2).sub(1)


def latents(ours: Autoencoder, frames: int, rows: int = 3, columns: int = 2, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, ours.config.z_dim, frames, rows, columns)


def close(made: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


@EACH
@pytest.mark.parametrize(("frames", "batch"), [(1, 1), (1, 2), (5, 1), (9, 2), (17, 1)])
@torch.no_grad()
def test_it_computes_what_diffusers_computes(config, frames, batch):
    ours = network(config)
    theirs = reference(ours)
    video = clip(ours, frames, batch=batch)
    expected, made = theirs.encode(video).latent_dist, ours.encode(video)
    close(made.mean, expected.mean)
    close(made.logvar, expected.logvar)
    close(ours.decode_raw(made.mode()), theirs.decode(made.mode()).sample)
    z = latents(ours, (frames + 3) // 4, batch=batch)
    close(ours.decode_raw(z), theirs.decode(z).sample)


@EACH
@pytest.mark.parametrize("chunk", [1, 2, 5, 20])
@torch.no_grad()
def test_a_stream_gives_the_frames_of_the_whole(config, chunk):
    ours = network(config)
    z = latents(ours, 6, 2, 2, batch=2)
    whole = ours.decode(z)
    pieces = list(ours.decode_stream(z, chunk=chunk))
    made = torch.cat(pieces, dim=2)
    assert chunk > 1 or torch.equal(made, whole)
    torch.testing.assert_close(made, whole, atol=5e-4, rtol=0)  # norms of three channels magnify the last bit
    time = ours.compression.time
    assert [piece.shape[2] for piece in pieces] == [
        (min(start + chunk, 6) - start) * time - (time - 1) * (start == 0) for start in range(0, 6, chunk)
    ]


@pytest.mark.parametrize("config", [SMALL, RESIDUAL], ids=["2.1", "2.2"])
@torch.no_grad()
def test_a_stream_takes_no_gradients_and_the_whole_does(config):
    ours = network(config)
    with torch.enable_grad():
        assert not any(piece.requires_grad for piece in ours.decode_stream(latents(ours, 2)))
        posterior = ours.encode(clip(ours, 5))
        (ours.decode_raw(posterior.sample()).square().mean() + posterior.logvar.mean()).backward()
    assert [name for name, value in ours.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("config", [SMALL, RESIDUAL], ids=["2.1", "2.2"])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (4, 3), (3, 3)])
@torch.no_grad()
def test_tiles_are_those_of_diffusers_whole_and_streamed(config, size, stride):
    """Theirs count folded pixels when they encode: for 2.2 their 256 is our 512."""
    ours = network(config)
    theirs, space, patch = reference(ours), ours.compression.space, ours.config.patch
    theirs.enable_tiling(size * space, size * space, stride * space, stride * space)
    tiling = Tiling(size * space, stride * space)
    z = latents(ours, 3, 5, 7)
    expected = theirs.decode(z).sample
    close(ours.decode_raw(z, tiling=tiling), expected)
    close(torch.cat(list(ours.decode_stream(ours.normalise(z), tiling=tiling)), dim=2), expected)
    video = clip(ours, 5, 5 * patch, 7 * patch)
    folded = Tiling(tiling.size * patch, tiling.stride * patch)
    close(ours.encode(video, folded).mean, theirs.encode(video).latent_dist.mean)


@torch.no_grad()
def test_tiles_of_the_published_size_are_those_of_diffusers():
    for config in (SMALL, RESIDUAL):
        ours = network(config)
        theirs = reference(ours)
        theirs.enable_tiling()
        z = latents(ours, 1, 272 // ours.compression.space, 320 // ours.compression.space)
        close(ours.decode_raw(z, tiling=Tiling(256, 192)), theirs.decode(z).sample)


@torch.no_grad()
def test_tiles_must_be_whole_cells_and_a_small_clip_is_not_cut():
    ours = network(RESIDUAL)
    z = latents(ours, 2, 2, 2)
    assert torch.equal(ours.decode_raw(z, tiling=Tiling(32, 16)), ours.decode_raw(z))
    with pytest.raises(ShapeError, match="multiples of 16"):
        ours.decode_raw(z, tiling=Tiling(24, 8))


@EACH
@torch.no_grad()
def test_what_comes_later_changes_nothing_before(config):
    ours = network(config)
    time, video = ours.compression.time, clip(ours, 9)
    later = video.clone()
    later[:, :, 1 + time :] += 0.5
    before, after = ours.encode(video).mean, ours.encode(later).mean
    assert torch.equal(after[:, :, :2], before[:, :, :2])
    assert not torch.allclose(after[:, :, 2], before[:, :, 2])
    assert torch.equal(ours.encode(video[:, :, :1]).mean, before[:, :, :1])


@pytest.mark.parametrize(
    ("config", "encoder", "decoder", "total", "tensors"),
    [
        ({}, 53_595_872, 73_295_331, 126_892_531, 194),
        (FULL_22, 149_627_776, 555_049_228, 704_688_668, 196),
        (SMALL, None, None, 37_597, 146),
        (DEEP, None, None, 141_901, 194),
        (RESIDUAL, None, None, 241_396, 148),
    ],
)
def test_parameter_counts(config, encoder, decoder, total, tensors):
    with torch.device("meta"):
        made = Autoencoder(AutoencoderConfig(**config))
    counts = [sum(value.numel() for value in part.parameters()) for part in (made.encoder, made.decoder, made)]
    assert counts[2] == total
    assert encoder is None or counts[:2] == [encoder, decoder]
    assert len(made.state_dict()) == tensors


@pytest.mark.parametrize("config", [{}, FULL_22], ids=["2.1", "2.2"])
def test_tensors_are_named_as_in_diffusers(config):
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):
        ours = Autoencoder(AutoencoderConfig(**config))
        theirs = AutoencoderKLWan.from_config(ours.config.to_dict())
    shapes = [{name: tuple(value.shape) for name, value in each.state_dict().items()} for each in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_normalising_uses_the_statistics_of_the_configuration_and_is_undone():
    ours = network(RESIDUAL)
    z = latents(ours, 2)
    mean, std = (torch.tensor(each) for each in (ours.config.latents_mean, ours.config.latents_std))
    torch.testing.assert_close(ours.normalise(z)[:, 7], (z[:, 7] - mean[7]) / std[7])
    torch.testing.assert_close(ours.denormalise(ours.normalise(z)), z)
    with torch.no_grad():
        close(ours.decode(ours.normalise(z)), ours.decode_raw(z))


@torch.no_grad()
def test_a_network_built_on_meta_runs_once_weights_are_assigned():
    ours = network(RESIDUAL)
    with torch.device("meta"):
        made = Autoencoder(ours.config)
    assert made.latents_mean.device.type == "meta"
    made.load_state_dict(ours.state_dict(), assign=True)
    assert made.latents_mean.device.type == "cpu"
    z = latents(ours, 2)
    assert torch.equal(made.decode(z), ours.decode(z))


@torch.no_grad()
def test_inputs_are_brought_to_the_precision_of_the_weights():
    ours = network(SMALL).double()
    posterior = ours.encode(clip(ours, 5))
    assert posterior.mean.dtype == ours.decode(posterior.mean.float()).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_norms_are_computed_in_single_precision(dtype):
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm

    x, weight = torch.randn(2, 96, 3, 4, 4).mul(500).to(dtype), torch.rand(96, 1, 1, 1).to(dtype)
    ours, theirs = ChannelNorm(96).to(dtype), WanRMS_norm(96, images=False).to(dtype)
    ours.gamma.copy_(weight)
    theirs.gamma.copy_(weight)
    assert torch.equal(ours(x), theirs(x))
    assert ours(x).isfinite().all()


def test_what_cannot_be_done_is_said():
    ours = network(SMALL)
    with pytest.raises(ShapeError, match="16x24, 9 frames"):
        ours.encode(torch.zeros(1, 3, 8, 24, 12))
    with pytest.raises(ValueError, match="chunk"):
        ours.decode_stream(latents(ours, 1), chunk=0)


class Held(TorchDispatchMode):
    """Counts the bytes of tensors made and not yet freed, and the most there were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor):
                self._note(each.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


@pytest.mark.parametrize("config", [SMALL, RESIDUAL], ids=["2.1", "2.2"])
@torch.no_grad()
def test_nothing_but_latents_grows_with_a_clip(config):
    ours = network(config)
    most: dict[str, list[int]] = {"decode": [], "encode": []}
    for frames in (6, 24):
        z, video = latents(ours, frames), clip(ours, 4 * frames - 3)
        with Held() as held:
            assert sum(piece.shape[2] for piece in ours.decode_stream(z)) == video.shape[2]
        most["decode"].append(held.most - z.nbytes)
        with Held() as held:
            made = ours.encode(video)
        most["encode"].append(held.most - video.nbytes - 2 * (made.mean.nbytes + made.logvar.nbytes))
    for short, long in most.values():
        assert 0 < long <= short


RESIDENT = """
import pathlib, re, sys, torch
from models.wan.autoencoder import Autoencoder
from models.wan.config import AutoencoderConfig
def highest():
    return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
torch.set_num_threads(1)
network = Autoencoder(AutoencoderConfig(base_dim=8, dim_mult=(1, 2, 2, 2), num_res_blocks=1))
before = highest()
latents = torch.randn(2, 16, int(sys.argv[1]), 12, 12)
print(sum(piece.shape[2] for piece in network.decode_stream(latents)), highest() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="where the peak of a process is written")
def test_321_frames_need_the_memory_of_81():
    told = [
        subprocess.run([sys.executable, "-c", RESIDENT, count], capture_output=True, text=True, check=True).stdout
        for count in ("21", "81")
    ]
    (short, needed), (long, more) = (map(int, each.split()) for each in told)
    assert (short, long) == (81, 321)
    assert more < 1.1 * needed
