"""The official runner's way, written out on diffusers' networks: two passes, guidance by spans, pictures that enter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from models.cards import Guidance, ModelCard
from models.diffusion import sigmas as schedules
from vgen_cli.media.recompress import recompressed

PROMPT = "a red circle moving right"
NEGATIVE = "blurry worst"
FPS, FRAMES = 30, 9
SIZE = 96
SPANS = [
    {"until": 1.0, "star": True},
    {"until": 0.985, "scale": 6.0, "star": True, "stg_scale": 4.0, "rescale": 0.5, "stg_layers": [1]},
    {"until": 0.9, "star": True, "stg_scale": 2.0, "stg_layers": [0], "stg_mode": "attention_skip"},
    {"until": 0.5, "scale": 3.0, "stg_scale": 1.0, "stg_layers": [0, 1], "stg_mode": "transformer_block"},
]


class LeftOut:
    """Self-attention without what a mode leaves out."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def __call__(self, attn: Any, hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return attn.to_out[0](attn.to_v(hidden_states) if self.mode == "attention_values" else hidden_states)


class Official:
    """The runner's loop round the networks of a tiny pipeline; all noise from one seed, drawn as diffusers draws it."""

    def __init__(self, model: Any, seed: int) -> None:
        self.model, self.generator = model, torch.Generator().manual_seed(seed)
        self.vae, self.transformer = model.pipeline.vae, model.pipeline.transformer
        self.mean, self.std = (value.view(1, -1, 1, 1, 1) for value in (self.vae.latents_mean, self.vae.latents_std))

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def text(self, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        pipeline = self.model.pipeline
        told = pipeline.tokenizer(prompt, padding="max_length", max_length=256, truncation=True, return_tensors="pt")
        return pipeline.text_encoder(told.input_ids, attention_mask=told.attention_mask)[0], told.attention_mask

    def encoded(self, picture: torch.Tensor, size: int) -> torch.Tensor:
        """`(1, 3, H, W)` in [-1, 1] → normalised latents at a size, drawn from the posterior."""
        posterior = self.vae.encode(functional.interpolate(picture, (size, size), mode="bilinear")[:, :, None])
        raw = posterior.latent_dist
        return (raw.mean + raw.std * self.noise(*raw.mean.shape) - self.mean) / self.std

    def ask(self, tokens: torch.Tensor, told: torch.Tensor, prompt: str, coords: torch.Tensor) -> torch.Tensor:
        words, mask = self.text(prompt)
        return self.transformer(tokens, words, 1000 * told, mask, video_coords=coords, return_dict=False)[0]

    def perturbed(self, span: Guidance, *asked: Any) -> torch.Tensor:
        blocks = [self.transformer.transformer_blocks[layer] for layer in span.stg_layers]
        kept = [(block.attn1.processor, block.forward) for block in blocks]
        for block in blocks:
            if span.stg_mode == "transformer_block":
                block.forward = lambda hidden_states, **_: hidden_states
            else:
                block.attn1.processor = LeftOut(span.stg_mode)
        try:
            return self.ask(*asked)
        finally:
            for block, (processor, forward) in zip(blocks, kept, strict=True):
                block.attn1.processor, block.forward = processor, forward

    def velocity(self, span: Guidance, tokens: torch.Tensor, told: torch.Tensor, coords: torch.Tensor) -> torch.Tensor:
        text = made = self.ask(tokens, told, PROMPT, coords)
        if span.scale > 1:
            empty = self.ask(tokens, told, NEGATIVE, coords)
            if span.star:
                empty = empty * (text * empty).sum() / ((empty**2).sum() + 1e-8)
            made = empty + span.scale * (text - empty)
        if span.stg_scale > 0:
            made = made + span.stg_scale * (text - self.perturbed(span, tokens, told, PROMPT, coords))
            if span.rescale:
                made = made * (span.rescale * text.std() / made.std() + 1 - span.rescale)
        return made

    def sampled(
        self, latents: torch.Tensor, picture: torch.Tensor | None, levels: Sequence[float], spans: Sequence[Guidance]
    ) -> torch.Tensor:
        """Latents `(1, C, T, h, w)` at the first level → clean ones; a picture held in their first frame."""
        frames, height, width = latents.shape[2:]
        held = torch.zeros(1, frames * height * width)
        if picture is not None:
            latents[:, :, :1] = self.encoded(picture, 32 * height)
            held[:, : height * width] = 1
        grid = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
        t, y, x = (axis.flatten().float() for axis in grid)
        coords = torch.stack(((8 * t - 7).clamp(min=0) / FPS, 32 * y, 32 * x))[None]
        tokens = first = latents.flatten(2).transpose(1, 2)
        for sigma, after in pairwise(levels):
            span = next((each for each in spans if each.until <= sigma + 1e-6), spans[-1])
            if picture is not None:
                noised = first + 0.15 * sigma**2 * self.noise(*tokens.shape)
                tokens = torch.where(held[..., None] == 1, noised, tokens)
            made = self.velocity(span, tokens, (1 - held).clamp(max=sigma), coords)
            tokens = torch.where(held[..., None] == 1, tokens, tokens - (sigma - after) * made)
        return tokens.transpose(1, 2).reshape(latents.shape)

    def upsampled(self, latents: torch.Tensor) -> torch.Tensor:
        raw = self.model.upsamplers["latent_upsampler"].latent_upsampler(latents * self.std + self.mean)
        made = (raw - self.mean) / self.std
        (spread, centre), (wanted, place) = (torch.std_mean(each, (2, 3, 4), keepdim=True) for each in (made, latents))
        return (made - centre) / spread * wanted + place

    def decoded(self, latents: torch.Tensor, tone: float) -> np.ndarray:
        latents = 0.975 * latents + 0.025 * self.noise(*latents.shape)
        strength = 0.75 * tone
        latents = latents * (1 - 0.8 * strength * torch.sigmoid(4 * strength * (latents.abs() - 1)))
        video = self.vae.decode(latents * self.std + self.mean, torch.tensor([0.05])).sample[0].transpose(0, 1)
        video = functional.interpolate(video, (SIZE, SIZE), mode="bilinear", align_corners=False)
        return ((video / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.fixture
def picture(tmp_path):
    small = np.random.default_rng(1).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(small).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.mark.parametrize("enters", [False, True])
@torch.no_grad()
def test_two_passes_guided_by_spans(tiny, vgen, monkeypatch, picture, enters):
    model = tiny("0.9.5", "plain", "LTXConditionPipeline", upsamplers=True)
    later = [0.9094, 0.725, 0.4219]
    plain = ModelCard.compat
    values = {
        "base": {"steps": 8, "skip_final": 1, "guidance": SPANS},
        "spatial": {
            "default_factor": 2, "downscale": 0.6666666, "sigmas": later, "adain": 1.0, "tone_map": 0.6,
            "guidance": [{"stg_scale": 1.0, "stg_layers": [1], "star": True}],
        },
    }  # fmt: skip
    monkeypatch.setattr(ModelCard, "compat", lambda card, other: plain(card, other).changed(values))
    runner, still = Official(model, 6), None
    if enters:
        levels = recompressed(np.asarray(Image.open(picture))[None], 29)[0]
        still = torch.from_numpy(levels).permute(2, 0, 1)[None] / 127.5 - 1
    spans = [Guidance(**{**span, "stg_layers": tuple(span.get("stg_layers", ()))}) for span in SPANS]
    first = schedules.skip(schedules.linear_quadratic(8), final=1)
    small = runner.sampled(runner.noise(1, 8, 2, 1, 1), still, first, spans)
    large = runner.upsampled(small)
    large = later[0] * runner.noise(*large.shape) + (1 - later[0]) * large
    large = runner.sampled(large, still, [*later, 0.0], [Guidance(stg_scale=1.0, stg_layers=(1,), star=True)])
    ours = vgen(
        model.folder, PROMPT, "-n", NEGATIVE, "--size", f"{SIZE}x{SIZE}", "--fps", FPS, "--num-frames", FRAMES, "-s", 6,
        door=("i2v", picture) if enters else ("t2v",),
    )  # fmt: skip
    ours.assert_like(type(ours)(runner.decoded(large, 0.6), large))


@pytest.mark.parametrize("strength", [0, 0.4, 0.9])
def test_a_clip_goes_through_a_cascade_that_resizes(tiny, vgen, monkeypatch, tmp_path, strength):
    """Entering at the decoder, at the second pass and at the first one."""
    model = tiny("0.9.5", "plain", "LTXConditionPipeline", upsamplers=True)
    plain = ModelCard.compat
    values = {"base": {"steps": 3}, "spatial": {"default_factor": 2, "downscale": 0.6666666}}
    monkeypatch.setattr(ModelCard, "compat", lambda card, other: plain(card, other).changed(values))
    for index in range(9):
        Image.fromarray(np.full((72, 100, 3), 20 * index, np.uint8)).save(tmp_path / f"{index:05d}.png")
    (tmp_path / "recipe.json").write_text('{"fps": 24}')
    asked = ("--size", "100x72", "--num-frames", 9, "--fps", 24, "--strength", strength, "-s", 1)
    made = vgen(model.folder, PROMPT, *asked, door=("v2v", tmp_path))
    assert made.frames.shape == (9, 72, 100, 3)
    assert made.latents.shape == ((1, 8, 2, 3, 4) if strength == 0 else (1, 8, 2, 2, 4))
