"""The key of a job: the same for the same work wherever its files lie, another for anything that changes the clip."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import models.nano
from vgen_cli.kept.identity import job_key
from vgen_cli.recipe import Recipe
from vgen_cli.weights import located

NANO = Path(models.nano.__file__).parent / "weights"
RECIPE = Recipe.create(command="t2v", prompt="a red circle", seed=5)


def key(recipe=RECIPE, **values):
    recipe = replace(recipe, **values)
    return job_key(recipe, located(recipe))


@pytest.fixture
def folder(tmp_path):
    """The embedded model in a folder of its own."""
    return shutil.copytree(NANO, tmp_path / "nano")


def picture(path, level):
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(path)
    return str(path)


def test_the_same_again():
    assert key() == key()
    assert re.fullmatch("[0-9a-f]{16}", key())


@pytest.mark.parametrize(
    "changed",
    [{"seed": 6}, {"prompt": "a red circle."}, {"steps": 3}, {"crf": 20}, {"dtype": "float32"}, {"draft": True}],
)
def test_what_is_asked_matters(changed):
    assert key(**changed) != key()


def test_where_the_work_is_done_does_not():
    assert key(offload="model", max_vram=4.0) == key()


def test_a_value_that_is_the_default_is_not_said():
    assert job_key(Recipe.from_dict(RECIPE.to_dict()), located(RECIPE)) == key()


def test_a_picture_is_its_content_and_not_its_place(tmp_path):
    first = Recipe.create(command="i2v", prompt="x", seed=1, image=picture(tmp_path / "a.png", 10))
    other = picture(tmp_path / "b.png", 10)
    assert key(first) == key(first, image=other)
    picture(other, 11)
    assert key(first) != key(first, image=other)
    at = [f"4:{first.image}", f"4:{other}", f"5:{first.image}", f"4:{first.image}:0.5"]
    assert len({key(first, image_at=(each,)) for each in at}) == 4


def test_weights_are_their_content_and_not_their_place(folder, tmp_path):
    here = key(model=str(folder))
    shutil.copytree(folder, tmp_path / "elsewhere" / "nano")
    assert key(model=str(tmp_path / "elsewhere" / "nano")) == here


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "spatial_upsampler"])
def test_weights_that_were_trained_on_have_another_key(folder, part):
    before = key(model=str(folder))
    (file,) = (folder / part).glob("*.safetensors")
    before_data = file.read_bytes()
    start = 8 + int.from_bytes(before_data[:8], "little")
    file.write_bytes(before_data[:start] + bytes(level ^ 1 for level in before_data[start:]))
    assert key(model=str(folder)) != before


def test_what_lies_beside_the_weights_matters(folder):
    before = key(model=str(folder))
    config = folder / "tokenizer" / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "remark": 1}))
    assert key(model=str(folder)) != before


def test_a_lora_is_its_weights_and_its_scale(tmp_path):
    name, shape = next((n, s.shape) for n, s in located(RECIPE).parts["transformer"].tensors.items() if "to_q.w" in n)
    stem = name.removesuffix(".weight")

    def saved(path, level):
        down, up = np.full((2, shape[1]), level, np.float32), np.full((shape[0], 2), level, np.float32)
        save_file({f"transformer.{stem}.lora_A.weight": down, f"transformer.{stem}.lora_B.weight": up}, path)
        return str(path)

    one = saved(tmp_path / "one.safetensors", 0.1)
    plain = key(lora=(one,))
    os.mkdir(tmp_path / "sub")
    assert plain == key(lora=(saved(tmp_path / "sub" / "one.safetensors", 0.1),)) != key()
    assert plain != key(lora=(f"{one}:0.5",))
    assert plain != key(lora=(saved(tmp_path / "sub" / "one.safetensors", 0.2),))
