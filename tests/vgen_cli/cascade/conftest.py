"""Whole tiny models as diffusers folders, made with diffusers itself, and the shell that runs vgen on them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import locate
from vgen_cli.app import main
from vgen_cli.cascade import stages
from vgen_cli.media.destination import parse_destination
from vgen_cli.plan import make_plan
from vgen_cli.recipe import Recipe

CHANNELS = 8

PLAIN_ENCODER = {
    "block_out_channels": (8, 16, 16, 16), "layers_per_block": (1, 2, 1, 1, 2),
    "spatio_temporal_scaling": (True, True, True, False), "down_block_types": ("LTXVideoDownBlock3D",) * 4,
    "downsample_type": ("conv",) * 4,
}  # fmt: skip
RESIDUAL_DECODER = {
    "decoder_block_out_channels": (8, 16, 32), "decoder_spatio_temporal_scaling": (True,) * 3,
    "upsample_residual": (True,) * 3, "upsample_factor": (2,) * 3, "timestep_conditioning": True,
}  # fmt: skip
AUTOENCODERS: dict[str, dict[str, Any]] = {
    "0.9.0": {
        **PLAIN_ENCODER, "decoder_block_out_channels": (8, 16, 16, 16), "decoder_layers_per_block": (1, 1, 2, 1, 2),
        "decoder_spatio_temporal_scaling": (True, True, True, False), "decoder_inject_noise": (False,) * 5,
        "upsample_residual": (False,) * 4, "upsample_factor": (1,) * 4, "timestep_conditioning": False,
    },
    "0.9.1": {
        **PLAIN_ENCODER, **RESIDUAL_DECODER, "decoder_layers_per_block": (1, 2, 1, 1),
        "decoder_inject_noise": (True, True, True, False),
    },
    "0.9.5": {
        **RESIDUAL_DECODER, "block_out_channels": (8, 8, 8, 16, 16),
        "down_block_types": ("LTXVideo095DownBlock3D",) * 4, "layers_per_block": (1, 2, 1, 1, 1),
        "spatio_temporal_scaling": (True,) * 4, "decoder_layers_per_block": (1, 1, 2, 1),
        "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        "decoder_inject_noise": (False,) * 4, "spatial_compression_ratio": 32, "temporal_compression_ratio": 8,
    },
}  # fmt: skip
SCHEDULERS = {
    "plain": {"use_dynamic_shifting": False, "shift": 1.0},
    "stochastic": {"use_dynamic_shifting": False, "shift": 1.0, "stochastic_sampling": True},
    "shift 3": {"use_dynamic_shifting": False, "shift": 3.0},
    "dynamic": {"use_dynamic_shifting": True},
    "terminal": {
        "use_dynamic_shifting": True, "base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024,
        "max_image_seq_len": 4096, "shift_terminal": 0.1,
    },
}  # fmt: skip


@dataclass
class Model:
    """A tiny pipeline of diffusers and the folder that holds it."""

    pipeline: Any
    folder: Path
    upsamplers: dict[str, Any] = field(default_factory=dict)

    def render(self, prompt: str, *, seed: int, width: int, height: int, **call: Any) -> Clip:
        """What diffusers makes; the noise that its decoder injects follows the same generator as all else."""
        generator = torch.Generator().manual_seed(seed)
        kept: dict[str, torch.Tensor] = {}

        def step(pipeline: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            kept.update(values)
            return {}

        with torch.random.fork_rng(), following(self.pipeline, generator):
            frames = self.pipeline(
                prompt=prompt, width=width, height=height, generator=generator, output_type="np",
                callback_on_step_end=step, **call,
            ).frames[0]  # fmt: skip
        places = ((call["num_frames"] - 1) // 8 + 1) * (height // 32) * (width // 32)
        tokens = kept["latents"][:, -places:]  # those of pictures at later frames stand before the clip's own
        latents = tokens.view(1, -1, height // 32, width // 32, tokens.shape[-1]).permute(0, 4, 1, 2, 3)
        return Clip((frames * 255).round().astype(np.uint8), latents)

    def decode(self, latents: torch.Tensor, generator: torch.Generator) -> np.ndarray:
        """Frames of normalised latents as the official runner makes them: the decoder's noise mixed in there."""
        vae, timestep = self.pipeline.vae, None
        mean, std = (value.view(1, -1, 1, 1, 1) for value in (vae.latents_mean, vae.latents_std))
        if vae.config.timestep_conditioning:
            timestep = torch.tensor([0.05])
            latents = 0.975 * latents + 0.025 * torch.randn(latents.shape, generator=generator)
        with torch.random.fork_rng(), torch.no_grad(), following(self.pipeline, generator):
            video = vae.decode(latents * std + mean, timestep).sample
        return ((video[0] / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).numpy()


@dataclass
class Clip:
    """Frames `(T, H, W, 3)` uint8, and the latents before they were decoded."""

    frames: np.ndarray
    latents: torch.Tensor

    def assert_like(self, other: Clip) -> None:
        """Latents to rounding (the least that matters moves them by 1e-2); frames within a level."""
        assert self.frames.shape == other.frames.shape
        assert other.latents.std() > 0.5
        assert other.frames.std() > 10
        assert (self.latents - other.latents).abs().max() <= 1e-5
        difference = np.abs(self.frames.astype(int) - other.frames)
        assert difference.max() <= 1
        assert np.mean(difference**2) < 255**2 / 1e6  # 60 dB


@contextlib.contextmanager
def following(pipeline: Any, generator: torch.Generator) -> Iterator[None]:
    """While it lasts, global noise goes on where the generator stands: diffusers forwards none to decoder and steps."""
    asked = [(pipeline.vae, "decode"), (pipeline.scheduler, "step")]
    plain = [getattr(home, name) for home, name in asked]

    def led(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            torch.set_rng_state(generator.get_state())
            made = function(*arguments, **options)
            generator.set_state(torch.get_rng_state())
            return made

        return call

    for (home, name), function in zip(asked, plain, strict=True):
        setattr(home, name, functools.wraps(function)(led(function)))
    try:
        yield
    finally:
        for (home, name), function in zip(asked, plain, strict=True):
            setattr(home, name, function)


def _tokenizer() -> Any:
    from transformers import T5TokenizerFast

    words = ["▁a", "▁red", "▁circle", "▁moving", "▁right", "▁blurry", "▁worst", "▁"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(piece, -2.0 - 0.1 * index) for index, piece in enumerate(words + letters)]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=128)


def _spread(module: torch.nn.Module, generator: torch.Generator) -> torch.nn.Module:
    """Tables, biases, norms and statistics away from their plain values, so that leaving one out shows."""
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if name.endswith("timestep_scale_multiplier"):
                continue
            if "table" in name or "per_channel_scale" in name or name.endswith("latents_mean"):
                tensor.copy_(0.4 * torch.randn(tensor.shape, generator=generator))
            elif name.endswith("latents_std"):
                tensor.copy_(0.6 + torch.rand(tensor.shape, generator=generator))
            elif tensor.ndim == 1:
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return module.eval()


def make_model(
    folder: Path, version: str = "0.9.5", scheduler: str = "terminal", pipeline: str = "LTXPipeline"
) -> Model:
    """A tiny random pipeline, saved as a folder."""
    import diffusers
    from transformers import T5Config, T5EncoderModel

    tokenizer = _tokenizer()
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = diffusers.LTXVideoTransformer3DModel(
            in_channels=CHANNELS, out_channels=CHANNELS, num_attention_heads=2, attention_head_dim=16,
            cross_attention_dim=32, num_layers=2, caption_channels=16,
        )  # fmt: skip
        autoencoder = diffusers.AutoencoderKLLTXVideo(latent_channels=CHANNELS, **AUTOENCODERS[version])
        text_encoder = T5EncoderModel(
            T5Config(
                vocab_size=48, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
                feed_forward_proj="gated-gelu", dropout_rate=0.0, initializer_factor=1.0,
            )
        )  # fmt: skip
    made = getattr(diffusers, pipeline)(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**SCHEDULERS[scheduler]),
        vae=_spread(autoencoder, generator),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        transformer=_spread(transformer, generator),
    )
    made.save_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return Model(made, folder)


def add_upsamplers(model: Model) -> None:
    """A temporal and a spatial upsampler in the model's folder, and in its `upsamplers`."""
    from diffusers.pipelines.ltx import LTXLatentUpsamplePipeline
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    for name, temporal in (("temporal_upsampler", True), ("latent_upsampler", False)):
        with torch.random.fork_rng():
            torch.manual_seed(int(temporal))
            network = LTXLatentUpsamplerModel(
                in_channels=CHANNELS, mid_channels=32, num_blocks_per_stage=1, spatial_upsample=not temporal,
                temporal_upsample=temporal,
            )  # fmt: skip
        _spread(network, torch.Generator().manual_seed(1)).save_pretrained(model.folder / name)
        model.upsamplers[name] = LTXLatentUpsamplePipeline(model.pipeline.vae, network)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Model]:
    """`tiny(version, scheduler, pipeline, upsamplers)`: a `Model`, made once."""
    from transformers.utils import logging

    logging.disable_progress_bar()

    @functools.cache
    def make(
        version: str = "0.9.5", scheduler: str = "terminal", pipeline: str = "LTXPipeline", upsamplers: bool = False
    ) -> Model:
        model = make_model(tmp_path_factory.mktemp("tiny") / "model", version, scheduler, pipeline)
        if upsamplers:
            add_upsamplers(model)
        return model

    return make


@pytest.fixture
def ready(tiny: Callable[..., Model], tmp_path: Path) -> Callable[..., Any]:
    """`ready(output, **recipe)`: plan, located model and place of a small clip."""

    def make(output: str = "clip.mp4", **values: Any) -> Any:
        model = tiny("0.9.5", "plain", "LTXConditionPipeline", upsamplers=True)
        given = {"width": 64, "height": 64, "num_frames": 9, "steps": 2, "seed": 3, "device": "cpu", **values}
        recipe = Recipe.create(**{"command": "t2v", "prompt": "a red circle", "model": str(model.folder), **given})
        located = locate(model.folder)
        place = parse_destination(f"{tmp_path}/{output}")
        return make_plan(recipe, located.card, place.container), located, place

    return make


@pytest.fixture
def vgen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Callable[..., Clip]:
    """`vgen(folder, prompt, *options, door=…)`: the clip that a command makes through its front door, on the CPU."""
    kept: list[torch.Tensor] = []
    plain = stages.decode

    def decode(state: Any, *arguments: Any) -> Any:
        kept.append(state.latents)
        return plain(state, *arguments)

    monkeypatch.setattr(stages, "decode", decode)

    def run(folder: Path, prompt: str, *options: Any, door: tuple[object, ...] = ("t2v",)) -> Clip:
        output = tmp_path / f"frames{len(kept)}"
        words = (*door, prompt, "-m", folder, "-o", f"{output}/", "--device", "cpu", "--dtype", "float32", *options)
        code = main([str(word) for word in words])
        assert code == 0, capfd.readouterr().err
        frames = [np.asarray(Image.open(path)) for path in sorted(output.glob("*.png"))]
        return Clip(np.stack(frames), kept[-1])

    return run
