"""The stages of training, each from the folders of the earlier ones to a folder of its own. Knows no command line.

out/<stage>/        checkpoint and curve of a stage's run
out/model/<part>/   what it made, in the layout that vgen loads
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..catalog import find
from ..checkpoint.build import load, load_text_encoder
from ..checkpoint.contents import folder_part
from ..checkpoint.save import save, save_index
from ..ltx.autoencoder import Autoencoder
from ..ltx.transformer import Transformer
from ..ltx.upsampler import Upsampler
from ..shapes import LatentShape, PixelShape
from ..text.t5 import TextEncoder
from . import evaluation, latents
from .autoencoder import AutoencoderTask, DecoderTask, measure_statistics
from .base import BaseTask
from .card import write_card
from .conditions import Conditions
from .configs import CONDITIONS, Recipe
from .latents import LatentSet, Size
from .loop import Task, train
from .sampling import Networks
from .text import TextTask, small_text_encoder
from .tokenizer import save as save_tokenizer
from .upsamplers import UpsamplerTask
from .world import Scene

FOLDERS = {"autoencoder": "vae"}
"""Parts whose folder is called otherwise, as in diffusers."""


def _plain(scene: Scene) -> bool:
    """The transformer learns plain backdrops alone: on two cores, patterns cost it what it needs for motion."""
    return scene.backdrop == "plain"


class Workshop:
    """One run of training in one folder."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        *,
        device: torch.device | str = "cpu",
        seed: int = 0,
        log: Callable[[str], None] = print,
    ) -> None:
        self.recipe, self.out, self.seed, self.log = recipe, out, seed, log
        self.device, self.card = torch.device(device), find("nano")
        out.mkdir(parents=True, exist_ok=True)

    def run(self, stage: str, weights: Path) -> None:
        """Run one stage by its name; `export` and `evaluate` write to and read from `weights`."""
        torch.manual_seed(self.seed)
        self.log(f"== {stage}")
        if stage == "export":
            self.export(weights)
        elif stage == "evaluate":
            self.evaluate(weights)
        else:
            getattr(self, stage)()

    def autoencoder(self) -> None:
        """Train the autoencoder and measure its latents."""
        task = AutoencoderTask(self.recipe.autoencoder, device=self.device, tiny=self._tiny)
        self._train("autoencoder", task)
        measure_statistics(task.autoencoder, clips=16 if self._tiny else 256, side=self.recipe.side)
        self._keep("autoencoder", task.autoencoder)

    def decoder(self) -> None:
        """Train the autoencoder's decoder on; the latents stay."""
        task = DecoderTask(self._load("autoencoder"), tiny=self._tiny)
        self._train("decoder", task)
        self._keep("autoencoder", task.autoencoder)

    def text(self) -> None:
        """Train the text encoder to read."""
        encoder = small_text_encoder(self.recipe.text)
        encoder.network.to(self.device)
        self._train("text", TextTask(encoder, self.recipe.text.d_model))
        self._keep("text_encoder", encoder.network)
        save_tokenizer(self.out / "model" / "tokenizer")

    def temporal(self) -> None:
        """Train the temporal upsampler."""
        self._upsampler("temporal", Upsampler(self.recipe.temporal), "base", "temporal")

    def spatial(self) -> None:
        """Train the spatial upsampler."""
        self._upsampler("spatial", Upsampler(self.recipe.spatial), "temporal", "refine")

    def base(self) -> None:
        """Train the transformer."""
        autoencoder, text = self._load("autoencoder"), self._text_encoder()
        transformer = Transformer(self.recipe.transformer).to(self.device)
        clips = latents.build(
            autoencoder, self.recipe.clips, [self._size("base")], self.out / "base.safetensors", seed=2, log=self.log
        )
        clips = self._with_stills(autoencoder, clips, "base")
        large = self._with_stills(autoencoder, self._pairs(autoencoder), "refine")
        networks = Networks(transformer, text, autoencoder)

        def judged() -> dict[str, float]:
            asked = evaluation.questions(4 if self._tiny else 60)
            made = [clip for small, _ in self._clips(networks, asked) for clip in small]
            return evaluation.rates(made, asked)

        task = BaseTask(
            transformer,
            text,
            clips.where(_plain),
            large.where(_plain),
            autoencoder.compression,
            evaluation=judged,
            shares=CONDITIONS,
            batch=self.recipe.batch,
        )
        self._train("base", task)
        self._keep("transformer", transformer)

    def export(self, weights: Path) -> None:
        """Write every part in half precision where the package looks for it."""
        for part in ("autoencoder", "transformer", "temporal_upsampler", "spatial_upsampler"):
            save(self._load(part), weights / self._folder(part), dtype=torch.float16)
        save(self._text_encoder().network, weights / "text_encoder", dtype=torch.float16)
        save_tokenizer(weights / "tokenizer")
        save_index(weights, card="nano")
        size = sum(path.stat().st_size for path in weights.rglob("*") if path.is_file())
        self.log(f"{weights}: {size / 1e6:.1f} MB")

    def evaluate(self, weights: Path) -> None:
        """Judge the exported cascade on held-out prompts; write the card and a contact sheet."""
        networks = Networks(
            self._load("transformer", weights),
            self._text_encoder(weights),
            self._load("autoencoder", weights),
            self._load("temporal_upsampler", weights),
            self._load("spatial_upsampler", weights),
        )
        asked = evaluation.questions(self.recipe.judged)
        small, large = [], []
        for base, whole in self._clips(networks, asked):
            small += list(base)
            large += list(whole)
            self.log(f"{len(small)} of {len(asked)} clips")
        figures = {"base stage": evaluation.rates(small, asked), "whole cascade": evaluation.rates(large, asked)}
        given = self._conditioned(networks, large)
        write_card(weights.parent / "card.md", self.card, self.recipe, self.out, figures, given)
        self._sheet([evaluation.strip(clip) for clip in large[:24]], [each.prompt for each in asked[:24]])

    def _conditioned(self, networks: Networks, free: list[torch.Tensor]) -> dict[str, dict[str, float]]:
        """Figures of the whole cascade by what it is given, for half of the prompts; `free` are clips given nothing."""
        autoencoder = networks.autoencoder
        asked = evaluation.questions(self.recipe.judged // 2)
        made = {"nothing": free[: len(asked)]}
        for name, conditions in evaluation.CONDITIONED.items():
            self.log(f"given {name}")
            batches = self._clips(networks, asked, conditions)
            made[name] = [clip for _, whole in batches for clip in whole]
            strips = [evaluation.strip(clip) for clip in made[name][:24]]
            self._sheet(strips, [each.prompt for each in asked[:24]], f"sheet, {name}")
        made["everything: the true clip"] = evaluation.round_trip(autoencoder, self._shape("refine"), asked)
        given = 2 * autoencoder.compression.time + 1
        return {
            name: evaluation.rates(each, asked)
            | evaluation.closeness(autoencoder, each, asked)
            | {"join": evaluation.join(each, given)}
            for name, each in made.items()
        }

    def _clips(self, networks: Networks, asked: list[evaluation.Question], conditions: Conditions | None = None) -> Any:
        return evaluation.clips(networks, self.card, self._shape("base"), asked, conditions=conditions)

    def _shape(self, name: str) -> LatentShape:
        size = self._size(name)
        return self.card.compression.latent(PixelShape(size.frames, size.side, size.side), self.card.latent_channels)

    def _sheet(self, strips: list[torch.Tensor], prompts: list[str], name: str = "sheet") -> None:
        from PIL import Image

        Image.fromarray(torch.cat(strips).numpy()).save(self.out / f"{name}.png")
        (self.out / f"{name}.txt").write_text("\n".join(prompts) + "\n", encoding="utf-8")
        self.log(f"contact sheet: {self.out / f'{name}.png'}")

    def _train(self, stage: str, task: Task) -> None:
        every = 60.0 if stage in ("text", "temporal", "spatial") else 300.0
        average = 0.998 if stage == "base" else 0.995
        train(
            task,
            self.out / stage,
            self.recipe.budgets[stage],
            seed=self.seed,
            average=average,
            evaluate_every=every,
            log=self.log,
        )

    def _upsampler(self, stage: str, upsampler: Upsampler, source: str, wanted: str) -> None:
        autoencoder = self._load("autoencoder")
        pairs = self._pairs(autoencoder)
        upsampler = upsampler.to(self.device)
        held_out = min(64, self.recipe.pairs // 4)
        task = UpsamplerTask(upsampler, autoencoder, pairs, source, wanted, batch=8, held_out=held_out)
        self._train(stage, task)
        self._keep(f"{stage}_upsampler", upsampler)

    def _pairs(self, autoencoder: Autoencoder) -> LatentSet:
        """The same scenes at the sizes of the base, after the temporal and after the spatial stage."""
        sizes = [self._size(name) for name in ("base", "temporal", "refine")]
        return latents.build(
            autoencoder, self.recipe.pairs, sizes, self.out / "pairs.safetensors", seed=3, log=self.log
        )

    def _with_stills(self, autoencoder: Autoencoder, clips: LatentSet, name: str) -> LatentSet:
        cache = self.out / f"{name}_stills.safetensors"
        return latents.with_stills(autoencoder, clips, self._size(name), self.recipe.stills, cache, log=self.log)

    def _size(self, name: str) -> Size:
        frames, side = self.recipe.frames, self.recipe.side
        return {
            "base": Size("base", frames, side),
            "temporal": Size("temporal", 2 * frames - 1, side),
            "refine": Size("refine", 2 * frames - 1, 2 * side),
        }[name]

    @property
    def _tiny(self) -> bool:
        return self.recipe.side < 64

    @staticmethod
    def _folder(part: str) -> str:
        return FOLDERS.get(part, part)

    def _keep(self, part: str, module: torch.nn.Module) -> None:
        save(module, self.out / "model" / self._folder(part))

    def _load(self, part: str, root: Path | None = None) -> Any:
        folder = (root or self.out / "model") / self._folder(part)
        return load(folder_part(part, folder), device=self.device, dtype=torch.float32)

    def _text_encoder(self, root: Path | None = None) -> TextEncoder:
        root = root or self.out / "model"
        parts = {part: folder_part(part, root / part) for part in ("text_encoder", "tokenizer")}
        return load_text_encoder(parts, device=self.device, dtype=torch.float32)
