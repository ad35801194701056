"""The stages of training, each from the folders of the earlier ones to a folder of its own. Knows no command line.

out/<stage>/        checkpoint and curve of a stage's run
out/model/<part>/   what it made, in the layout that vgen loads
"""

from __future__ import annotations

import hashlib
import platform
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ..cards import ModelCard
from ..catalog import find
from ..checkpoint.build import load, load_text_encoder
from ..checkpoint.contents import folder_part
from ..checkpoint.save import save, save_index
from ..diffusion.denoiser import Prediction
from ..errors import CheckpointError
from ..ltx.autoencoder import Autoencoder
from ..ltx.transformer import Transformer
from ..ltx.upsampler import Upsampler
from ..shapes import LatentShape, PixelShape
from ..text.t5 import TextEncoder
from . import evaluation, latents
from .answers import clips
from .autoencoder import AutoencoderTask, DecoderTask, measure_statistics
from .base import BaseTask, Seen, pictures
from .card import Training, write_card
from .configs import CONDITIONS, Recipe, Sight, doubled, refined
from .distilled import DistilledTask
from .evaluation import Counts
from .footage import ClipSource
from .latents import LatentSet, Material, Moments, Scenes, Size
from .loop import Task, train
from .questions import Question, questions, rates
from .sampling import Networks
from .text import TextTask, small_text_encoder
from .tokenizer import save as save_tokenizer
from .tutor import Tutor
from .upsamplers import UpsamplerTask
from .world import random_scene

FOLDERS = {"autoencoder": "vae"}
"""Parts whose folder is called otherwise, as in diffusers."""
FAST = "transformer_fast"
"""The folder of the transformer that needs few steps."""
_TEACHER = "teacher.sha256"


class Workshop:
    """One run of training in one folder.

    Args:
        start: a folder of parts, as `export` writes it, whose weights each part begins from; parts that this run has
            not made are taken from there as they are.
        objective: what the transformer learns to predict; the cascade runs those that predict the flow.
        compiled: whether autoencoder and transformer are compiled first.
        clips: captioned footage to learn from, in place of the rendered world; the text encoder still learns to read
            by the world's captions, and the evaluation is the world's.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        *,
        device: torch.device | str = "cpu",
        seed: int = 0,
        start: Path | None = None,
        objective: Prediction = Prediction.FLOW,
        compiled: bool = False,
        clips: ClipSource | None = None,
        log: Callable[[str], None] = print,
    ) -> None:
        self.recipe, self.out, self.seed, self.log = recipe, out, seed, log
        self.start, self.objective, self.compiled, self.clips = start, objective, compiled, clips
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
        autoencoder = self._begun("autoencoder", Autoencoder(self.recipe.autoencoder))
        task = AutoencoderTask(autoencoder, self.clips, tiny=self._tiny, compiled=self.compiled)
        self._train("autoencoder", task)
        measure_statistics(autoencoder, task.source, self.recipe.size, clips=16 if self._tiny else 256)
        self._keep("autoencoder", task.autoencoder)

    def decoder(self) -> None:
        """Train the autoencoder's decoder on; the latents stay."""
        task = DecoderTask(self._load("autoencoder"), self.clips, tiny=self._tiny, compiled=self.compiled)
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
        transformer = Transformer(self.recipe.transformer)
        with torch.no_grad():
            transformer.proj_out.weight.zero_()
        networks = Networks(self._begun("transformer", transformer), self._text_encoder(), self._load("autoencoder"))
        seen = self._all_seen(networks.autoencoder)
        own = next(each for each in seen if each.sight.size == self.recipe.size)
        # Two blocks are left to draw what the first ones have settled.
        config = self.recipe.transformer
        tutor = None if self.clips else Tutor(config.dim, max(1, config.num_layers - 2)).to(self.device)
        task = BaseTask(
            networks.transformer,
            networks.text,
            [*seen, pictures(self.recipe.pictures, own)],
            networks.autoencoder.compression,
            evaluation=self._judged(networks, self.card),
            turn=self.recipe.turn,
            shares=CONDITIONS,
            kind=self.objective,
            tutor=tutor,
            compiled=self.compiled,
        )
        self._train("base", task)
        self._keep("transformer", networks.transformer)

    def fast(self) -> None:
        """Teach a copy of the transformer to need few steps and no guidance."""
        if self.objective is not Prediction.FLOW:
            self.log(f"left out: only what predicts the flow can be made quick, this predicts {self.objective.value}")
            return
        if not self._up_to_date:
            for former in (self.out / "fast", self.out / "model" / FAST):
                shutil.rmtree(former, ignore_errors=True)
            (self.out / "fast").mkdir()
            (self.out / "fast" / _TEACHER).write_text(self._digest())
        networks = Networks(self._load("transformer"), self._text_encoder(), self._load("autoencoder"))
        task = DistilledTask(
            networks.transformer,
            networks.text,
            self._all_seen(networks.autoencoder),
            networks.autoencoder.compression,
            self.recipe.few,
            evaluation=self._judged(networks, self.card.with_base(**self.recipe.few.stage)),
            shares=CONDITIONS,
            compiled=self.compiled,
        )
        self._train("fast", task)
        self._keep(FAST, networks.transformer)

    def _judged(self, networks: Networks, card: ModelCard) -> Callable[[], dict[str, float]]:
        """How often clips of the base stage are right, as figures by world and attribute."""

        def judged() -> dict[str, float]:
            figures: dict[str, float] = {}
            for world in ("simple", "rich"):
                asked = questions(4 if self._tiny else 32, world)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.half):
                    made = [clip.float() for clip in self._clips(networks, card, asked)]
                figures |= {f"{world} {name}": value for name, value in rates(made, asked).items()}
            return figures

        return judged

    def export(self, weights: Path) -> None:
        """Write every part in half precision as a model's folder; the quick transformer where there is one."""
        for part in ("autoencoder", "temporal_upsampler", "spatial_upsampler"):
            save(self._load(part), weights / self._folder(part), dtype=torch.float16)
        save(self._load(self._transformer), weights / "transformer", dtype=torch.float16)
        save(self._text_encoder().network, weights / "text_encoder", dtype=torch.float16)
        save_tokenizer(weights / "tokenizer")
        save_index(weights, card="nano", base=self._few)
        size = sum(path.stat().st_size for path in weights.rglob("*") if path.is_file())
        self.log(f"{weights}: {size / 1e6:.1f} MB")

    def evaluate(self, weights: Path) -> None:
        """Measure the exported cascade on held-out prompts and clips; write the card and contact sheets."""
        networks = Networks(
            self._load("transformer", weights),
            self._text_encoder(weights),
            self._load("autoencoder", weights),
            self._load("temporal_upsampler", weights),
            self._load("spatial_upsampler", weights),
        )
        counts = Counts.tiny() if self._tiny else Counts(*self.recipe.judged)
        report = evaluation.evaluate(
            networks,
            self.card.with_base(**self._few),
            self._shape(self.recipe.size),
            counts=counts,
            folder=self.out / "sheets",
            log=self.log,
        )
        report.save(self.out / "report.json")
        machine = f"{torch.get_num_threads()} {platform.machine()} CPU cores, torch {torch.__version__.split('+')[0]}"
        precision = "bfloat16" if self.recipe.half else "float32"
        training = Training(self.out, tuple(self.recipe.budgets), machine, precision, self.recipe.notes)
        write_card(weights.parent / "card.md", self.card, report, training, weights)

    @property
    def _up_to_date(self) -> bool:
        """Whether the quick transformer, or what there is of its run, was taught by today's transformer."""
        teacher = self.out / "fast" / _TEACHER
        return teacher.exists() and teacher.read_text() == self._digest()

    def _digest(self) -> str:
        weights = sorted((self._home("transformer") / "transformer").glob("*.safetensors"))
        return hashlib.sha256(b"".join(path.read_bytes() for path in weights)).hexdigest()

    @property
    def _transformer(self) -> str:
        made = (self.out / "model" / FAST).exists() and self._up_to_date
        return FAST if made else "transformer"

    @property
    def _few(self) -> dict[str, Any]:
        return self.recipe.few.stage if self._transformer == FAST else {}

    def _clips(self, networks: Networks, card: ModelCard, asked: list[Question]) -> Iterator[torch.Tensor]:
        for small, _ in clips(networks, card, self._shape(self.recipe.size), asked):
            yield from small

    def _shape(self, size: Size) -> LatentShape:
        pixels = PixelShape(size.frames, size.height, size.width)
        return self.card.compression.latent(pixels, self.recipe.autoencoder.latent_channels)

    def _train(self, stage: str, task: Task) -> None:
        every = 120.0 if stage in ("text", "temporal", "spatial") else 300.0
        average = 0.998 if stage in ("base", "fast") else 0.995
        train(
            task,
            self.out / stage,
            self.recipe.budgets[stage],
            seed=self.seed,
            average=average,
            evaluate_every=every,
            half=self.recipe.half,
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
        size = self.recipe.size
        sizes = [size, doubled(size), refined(size)]
        with self._encoding():
            material = self._material(self.recipe.pairs, 3)
            return latents.build(autoencoder, material, sizes, self.out / "pairs.safetensors", log=self.log)

    def _all_seen(self, autoencoder: Autoencoder) -> list[Seen]:
        return [self._seen(autoencoder, sight, number) for number, sight in enumerate(self.recipe.sights)]

    def _seen(self, autoencoder: Autoencoder, sight: Sight, number: int) -> Seen:
        """Clips of one of the transformer's sizes, encoded once; those of the refine pass are the pairs' own."""
        size = sight.size
        if size == refined(self.recipe.size):
            pairs = self._pairs(autoencoder)
            return Seen(sight, LatentSet(pairs.told, {size.name: pairs.latents[size.name]}))
        material = self._material(sight.clips, number + 4)
        with self._encoding():
            clips = latents.build(autoencoder, material, [size], self.out / f"{size.name}.safetensors", log=self.log)
            if sight.stills:
                cache = self.out / f"{size.name}_stills.safetensors"
                clips = latents.with_stills(autoencoder, material, clips, size, sight.stills, cache, log=self.log)
        return Seen(sight, clips)

    def _material(self, count: int, seed: int) -> Material:
        if self.clips is not None:
            return Moments(self.clips, count, seed)
        rng = random.Random(f"latents/{seed}")
        return Scenes([random_scene(rng) for _ in range(count)], self.device)

    def _encoding(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.half)

    def _begun(self, part: str, module: Any) -> Any:
        """A part on the device, with the weights that the run starts from where there are some.

        Raises:
            CheckpointError: those are of a network of another shape.
        """
        if self.start is not None:
            known = self._load(part, self.start)
            if known.config != module.config:
                raise CheckpointError(
                    f"{self.start / self._folder(part)} holds a network of another shape than the recipe's; "
                    "begin from weights that this recipe made, or without --from"
                )
            module.load_state_dict(known.state_dict())
        return module.to(self.device)

    @property
    def _tiny(self) -> bool:
        return self.recipe.size.height < 64

    @staticmethod
    def _folder(part: str) -> str:
        return FOLDERS.get(part, part)

    def _home(self, part: str) -> Path:
        """The folder of parts that has one: this run's, or the one it starts from."""
        made = self.out / "model"
        return made if self.start is None or (made / self._folder(part)).exists() else self.start

    def _keep(self, part: str, module: torch.nn.Module) -> None:
        save(module, self.out / "model" / self._folder(part))

    def _load(self, part: str, root: Path | None = None) -> Any:
        folder = (root or self._home(part)) / self._folder(part)
        return load(
            folder_part("transformer" if part == FAST else part, folder), device=self.device, dtype=torch.float32
        )

    def _text_encoder(self, root: Path | None = None) -> TextEncoder:
        parts = {part: folder_part(part, (root or self._home(part)) / part) for part in ("text_encoder", "tokenizer")}
        return load_text_encoder(parts, device=self.device, dtype=torch.float32)
