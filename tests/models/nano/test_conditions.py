"""The embedded weights take conditions: first pictures, last ones and beginnings, eight clips each, base stage.

The numbers of record stand in the model's card; this only notices weights that were never taught, or were broken.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.catalog import find
from models.checkpoint.build import load, load_text_encoder
from models.checkpoint.contents import folder_part
from models.shapes import PixelShape
from models.training.answers import CONDITIONED, clips
from models.training.questions import questions, rates
from models.training.sampling import Networks
from models.training.steering import closeness, join

WEIGHTS = Path(__file__).parents[3] / "models/nano/weights"
CARD = find("nano")
SHAPE = CARD.compression.latent(
    PixelShape((CARD.num_frames + 1) // 2, CARD.height // 2, CARD.width // 2), CARD.latent_channels
)
ASKED = questions(8)

pytestmark = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the embedded weights are not in this checkout")


@pytest.fixture(scope="module")
def networks() -> Networks:
    kept = {"device": torch.device("cpu"), "dtype": torch.float32}
    parts = {part: folder_part(part, WEIGHTS / part) for part in ("text_encoder", "tokenizer")}
    return Networks(
        load(folder_part("transformer", WEIGHTS / "transformer"), **kept),
        load_text_encoder(parts, **kept),
        load(folder_part("autoencoder", WEIGHTS / "vae"), **kept),
    )


def made(networks: Networks, given: str | None) -> list[Tensor]:
    conditions = CONDITIONED[given] if given else None
    batches = clips(networks, CARD, SHAPE, ASKED, conditions=conditions, whole=False)
    return [clip for small, _ in batches for clip in small]


def test_a_first_picture_begins_the_clip_and_the_prompt_goes_on(networks):
    clip = made(networks, "the first frame")
    assert closeness(networks.autoencoder, clip, ASKED)["first"] > 30
    right = rates(clip, ASKED)
    assert right["direction"] == 1
    assert min(right["colour"], right["backdrop_colour"]) >= 7 / 8


def test_a_last_picture_ends_the_clip(networks):
    free, ending = (
        closeness(networks.autoencoder, made(networks, given), ASKED)["last"] for given in (None, "the last frame")
    )
    assert ending > max(25, free + 3)


def test_a_beginning_goes_on_without_a_jump(networks):
    clip = made(networks, "the first 9 frames")
    assert join(clip, 5) < 1.5
    assert rates(clip, ASKED)["direction"] == 1
