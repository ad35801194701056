"""The official runner's way, written out on diffusers' networks: two passes, guidance by spans, pictures that enter."""

from __future__ import annotations

import math
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

    def __init__(self, model: Any, seed: int, *, causal: bool = True) -> None:
        self.model, self.generator, self.causal = model, torch.Generator().manual_seed(seed), causal
        self.vae, self.transformer = model.pipeline.vae, model.pipeline.transformer
        self.mean, self.std = (value.view(1, -1, 1, 1, 1) for value in (self.vae.latents_mean, self.vae.latents_std))

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def text(self, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        pipeline = self.model.pipeline
        told = pipeline.tokenizer(prompt, padding="max_length", max_length=256, truncation=True, return_tensors="pt")
        return pipeline.text_encoder(told.input_ids, attention_mask=told.attention_mask)[0], told.attention_mask

    def encoded(self, frames: torch.Tensor, size: int) -> torch.Tensor:
        """`(t, 3, H, W)` in [-1, 1] → normalised latents at a size, drawn from the posterior."""
        small = functional.interpolate(frames, (size, size), mode="bilinear")
        raw = self.vae.encode(small.transpose(0, 1)[None]).latent_dist
        return (raw.mean + raw.std * self.noise(*raw.mean.shape) - self.mean) / self.std

    def coords(self, shape: Sequence[int], frame: int = 0) -> torch.Tensor:
        """Seconds, rows and columns of latents `(T, h, w)` that begin at a frame, `(3, S)`."""
        t, y, x = (axis.flatten().float() for axis in torch.meshgrid(*map(torch.arange, shape), indexing="ij"))
        frames = (8 * t - 7).clamp(min=0) if self.causal else 8 * t
        return torch.stack(((frames + frame) / FPS, 32 * y, 32 * x))

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

    def conditioned(
        self, latents: torch.Tensor, shown: Sequence[tuple[torch.Tensor, int]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens, what is held of them, and their places: those of frames that are shown at a frame first."""
        frames, height, width = latents.shape[2:]
        held = torch.zeros(1, frames, height, width)
        tokens, masks, places = [], [], []
        for piece, frame in shown:
            clean = self.encoded(piece, 32 * height)
            if frame == 0:
                latents[:, :, : clean.shape[2]], held[:, : clean.shape[2]] = clean, 1
                continue
            begin = frame // 8 + 2
            until = begin + clean.shape[2] - 2
            if until > begin:
                latents[:, :, begin:until], held[:, begin:until] = clean[:, :, 2:], 1
            clean = clean[:, :, :2]
            self.noise(*clean.shape)  # drawn for a strength below 1
            tokens.append(clean.flatten(2).transpose(1, 2))
            masks.append(torch.ones(1, tokens[-1].shape[1]))
            places.append(self.coords(clean.shape[2:], frame))
        tokens.append(latents.flatten(2).transpose(1, 2))
        masks.append(held.flatten(1))
        places.append(self.coords((frames, height, width)))
        return torch.cat(tokens, 1), torch.cat(masks, 1), torch.cat(places, 1)[None]

    def sampled(
        self,
        latents: torch.Tensor,
        shown: Sequence[tuple[torch.Tensor, int]],
        levels: Sequence[float],
        spans: Sequence[Guidance],
    ) -> torch.Tensor:
        """Latents `(1, C, T, h, w)` at the first level → clean ones, with frames that are shown from a frame on."""
        shape = latents.shape
        tokens, held, coords = self.conditioned(latents, shown)
        first = tokens
        for sigma, after in pairwise(levels):
            span = next((each for each in spans if each.until <= sigma + 1e-6), spans[-1])
            if shown:
                noised = first + 0.15 * sigma**2 * self.noise(*tokens.shape)
                tokens = torch.where(held[..., None] == 1, noised, tokens)
            made = self.velocity(span, tokens, (1 - held).clamp(max=sigma), coords)
            tokens = torch.where(held[..., None] == 1, tokens, tokens - (sigma - after) * made)
        return tokens[:, -math.prod(shape[2:]) :].transpose(1, 2).reshape(shape)

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


def smooth(number: int) -> np.ndarray:
    small = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


@pytest.fixture
def picture(tmp_path):
    """The path of a picture, and what enters of it."""
    path = tmp_path / "picture.png"
    Image.fromarray(smooth(1)).save(path)
    return path, as_film(smooth(1)[None])


@pytest.fixture
def footage(tmp_path):
    """The path of a clip of 17 frames, and what enters of it."""
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "recipe.json").write_text(f'{{"fps": {FPS}}}')
    shares = np.linspace(0, 1, 17)[:, None, None, None]
    frames = np.uint8((1 - shares) * smooth(2) + shares * smooth(3))
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return folder, as_film(frames)


def as_film(frames: np.ndarray) -> torch.Tensor:
    """Every frame compressed alone, `(t, 3, H, W)` in [-1, 1]."""
    levels = np.concatenate([recompressed(frame[None], 29) for frame in frames])
    return torch.from_numpy(levels).permute(0, 3, 1, 2) / 127.5 - 1


@pytest.mark.parametrize("enters", ["", "picture", "clip", "both"])
@torch.no_grad()
def test_two_passes_guided_by_spans(tiny, vgen, monkeypatch, picture, footage, enters):
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
    runner = Official(model, 6)
    frames = 25 if enters in ("clip", "both") else FRAMES
    shown = [(picture[1], 0)] if enters in ("picture", "both") else []
    shown += [(footage[1], 8)] if enters in ("clip", "both") else []
    spans = [Guidance(**{**span, "stg_layers": tuple(span.get("stg_layers", ()))}) for span in SPANS]
    first = schedules.skip(schedules.linear_quadratic(8), final=1)
    small = runner.sampled(runner.noise(1, 8, (frames - 1) // 8 + 1, 1, 1), shown, first, spans)
    large = runner.upsampled(small)
    large = later[0] * runner.noise(*large.shape) + (1 - later[0]) * large
    large = runner.sampled(large, shown, [*later, 0.0], [Guidance(stg_scale=1.0, stg_layers=(1,), star=True)])
    door = {"": ("t2v",), "picture": ("i2v", picture[0])}.get(enters, ("i2v", "--image-at", f"8:{footage[0]}", "-p"))
    more = ("--image-at", f"0:{picture[0]}") if enters == "both" else ()
    ours = vgen(
        model.folder, PROMPT, "-n", NEGATIVE, "--size", f"{SIZE}x{SIZE}", "--fps", FPS, "--num-frames", frames,
        "-s", 6, door=(*door[:1], *more, *door[1:]),
    )  # fmt: skip
    ours.assert_like(type(ours)(runner.decoded(large, 0.6), large))


@torch.no_grad()
def test_a_clip_pinned_in_a_model_without_causal_time(tiny, vgen, monkeypatch, footage):
    """Its second latent frame stands a whole one further on, as the runner has it for what was made before 0.9.5."""
    model = tiny("0.9.1", "plain", "LTXPipeline")
    levels = [1.0, 0.8, 0.4]
    plain = ModelCard.compat
    values = {"base": {"sigmas": levels, "guidance": [{"scale": 3.0}]}}
    monkeypatch.setattr(ModelCard, "compat", lambda card, other: plain(card, other).changed(values))
    runner = Official(model, 5, causal=False)
    shown, spans = [(footage[1], 8)], [Guidance(scale=3.0)]
    theirs = runner.sampled(runner.noise(1, 8, 4, 3, 3), shown, [*levels, 0.0], spans)
    ours = vgen(
        model.folder, PROMPT, "-n", NEGATIVE, "--size", f"{SIZE}x{SIZE}", "--fps", FPS, "--num-frames", 25, "-s", 5,
        door=("i2v", "--image-at", f"8:{footage[0]}", "-p"),
    )  # fmt: skip
    assert (ours.latents - theirs).abs().max() <= 1e-5
    assert theirs.std() > 0.5


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
