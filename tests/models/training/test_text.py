"""The text task: labels only of what a caption tells, figures for each world, and an encoder that learns to read."""

from __future__ import annotations

import random

import pytest
import torch

from models.training.captions import NAMES, describe
from models.training.configs import text as text_config
from models.training.loop import Draw
from models.training.text import (
    ATTRIBUTES,
    MAX_TOKENS,
    STRANGER,
    Readers,
    TextTask,
    small_text_encoder,
    with_strangers,
)
from models.training.tokenizer import vocabulary
from models.training.world import Scene, Subject, random_scene

SIMPLE = Scene((Subject("star", "red", "small", ("up",)),), "plain", "blue")
PAIR = Scene(
    (Subject("bird", "blue", "small", ("left",)), Subject("house", "red", "small", ("left",))),
    "hills",
    relation="above",
    time="sunset",
    weather="leaves",
    camera="",
)
SEQUENCE = Scene(
    (Subject("cat", "white", "large", ("right", "spinning"), pace="fast"),), "city", time="night", camera="zoom in"
)
ALL = frozenset(NAMES)


@pytest.fixture
def task() -> TextTask:
    torch.manual_seed(0)
    config = text_config(len(vocabulary()), 32, 1)
    return TextTask(small_text_encoder(config), config.d_model)


def told(scene: Scene, named: frozenset[str] = ALL) -> dict[str, str]:
    """Attribute to value, of those that have a label."""
    labels = {name: each.label(scene, named) for name, each in ATTRIBUTES.items()}
    return {name: ATTRIBUTES[name].values[label] for name, label in labels.items() if label is not None}


def test_labels_are_what_a_scene_has():
    assert told(SIMPLE) == {
        "kind": "star",
        "colour": "red",
        "size": "small",
        "motion": "up",
        "backdrop": "plain",
        "backdrop_colour": "blue",
    }
    assert told(PAIR) == {
        "kind": "bird",
        "colour": "blue",
        "size": "small",
        "motion": "left",
        "backdrop": "hills",
        "relation": "above",
        "second kind": "house",
        "second colour": "red",
        "time": "sunset",
        "weather": "leaves",
    }
    assert told(SEQUENCE) == {
        "kind": "cat",
        "colour": "white",
        "size": "large",
        "motion": "right",
        "second motion": "spinning",
        "pace": "fast",
        "backdrop": "city",
        "time": "night",
        "camera": "zoom in",
    }


def test_what_a_caption_leaves_out_has_no_label():
    assert told(SEQUENCE, frozenset({"kind", "camera"})) == {"kind": "cat", "camera": "zoom in"}
    assert told(SEQUENCE, frozenset({"motion"})) == {"motion": "right", "second motion": "spinning"}
    assert told(PAIR, frozenset()) == {}


def test_every_value_of_every_attribute_occurs():
    rng = random.Random(0)
    seen: dict[str, set[str]] = {name: set() for name in ATTRIBUTES}
    for _ in range(6000):
        scene = random_scene(rng, rich=0.9)
        for name, value in told(scene).items():
            seen[name].add(value)
    assert seen == {name: set(each.values) for name, each in ATTRIBUTES.items()}


def test_strangers_are_added_to_few_captions_and_nothing_is_lost():
    rng = random.Random(1)
    texts = [with_strangers("a red star", rng) for _ in range(600)]
    assert all(text.replace(f"{STRANGER} ", "").replace(f" {STRANGER}", "") == "a red star" for text in texts)
    assert 0.04 < sum(STRANGER in text for text in texts) / 600 < 0.13


def test_padding_is_not_read():
    torch.manual_seed(0)
    readers = Readers(8)
    context, mask = torch.randn(2, 5, 8), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    noisy = context.clone()
    noisy[0, 3:] = 100.0
    for first, second in zip(readers(context, mask), readers(noisy, mask), strict=True):
        assert torch.equal(first, second)
    assert [tuple(each.shape) for each in readers(context, mask)] == [(2, len(a.values)) for a in ATTRIBUTES.values()]


def test_an_attribute_that_nobody_tells_costs_nothing(task: TextTask):
    # Simple scenes tell no weather: the loss is finite, and nothing is learnt of the weather.
    loss, right = task._read(random.Random(2), 4, held_out=False, rich=0.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert set(right["weather"].tolist()) == {-1.0}
    weather = task.readers.heads[list(ATTRIBUTES).index("weather")]
    assert not weather.weight.grad.any()
    assert task.readers.heads[0].weight.grad.any()


def test_longest_captions_are_read_to_their_end(task: TextTask):
    rng = random.Random(3)
    texts = [describe(random_scene(rng, held_out=True, rich=1.0), rng, held_out=True).text for _ in range(300)]
    _, mask = task.encoder.encode(texts, max_tokens=MAX_TOKENS, pad=False)
    assert int(mask.sum(1).max()) < MAX_TOKENS


def test_figures_are_shares_by_attribute_and_by_world(task: TextTask):
    figures = task.evaluate()
    assert set(figures) == {*ATTRIBUTES, "simple", "rich"}
    assert all(0 <= share <= 1 for share in figures.values())
    assert figures == task.evaluate()


def test_it_learns_the_captions_it_sees(task: TextTask):
    optimizer = task.optimizer()
    optimizer.scale(8)
    losses = []
    for _ in range(14):
        loss, figures = task.loss(Draw.at(0, 0, 0.0))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert set(figures) == {"right"}
    assert losses[-1] < 0.8 * losses[0]
    assert figures["right"] > 0.35
