"""The tokenizer: every word of every caption, fixed special ids, and a folder that transformers loads offline."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from models.training.captions import caption, words
from models.training.text import MAX_TOKENS
from models.training.tokenizer import build_tokenizer, save, vocabulary
from models.training.world import random_scene

PROMPT = "A red circle moving right, on a BLUE background."


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_special_tokens_come_first_and_words_in_order():
    tokens = sorted(vocabulary(), key=vocabulary().__getitem__)
    assert tokens[:3] == ["<pad>", "</s>", "<unk>"]
    assert tokens[3:] == sorted(tokens[3:])
    assert list(vocabulary().values()) == list(range(len(tokens)))
    assert len(tokens) < 1000
    assert set(words()) <= set(tokens)


def test_no_caption_holds_an_unknown_word(tokenizer):
    rng = random.Random(8)
    texts = [caption(random_scene(rng, rich=0.8), rng) for _ in range(2000)]
    texts += [caption(random_scene(rng, held_out=True, rich=0.8), rng, held_out=True) for _ in range(1000)]
    encoded = tokenizer.encode_batch(texts)
    assert not any(2 in row.ids for row in encoded)
    assert max(len(row.ids) for row in encoded) <= MAX_TOKENS


def test_text_is_lowered_split_and_ended(tokenizer):
    assert tokenizer.encode(PROMPT).tokens == [
        *("a", "red", "circle", "moving", "right", ",", "on", "a", "blue", "background", "."),
        "</s>",
    ]
    assert tokenizer.encode("Five-pointed\tstar!").tokens == ["five", "-", "pointed", "star", "!", "</s>"]


def test_prompts_that_people_type_are_known(tokenizer):
    prompts = (
        "A small red boat drifts slowly to the left across the sea at sunset while it rains; the camera pans right.",
        "a green car races through the city at night",
        "a purple rocket launches upward in outer space",
        "a black cat behind a green tree in the forest",
        "An orange balloon rises over the hills, then it disappears",
        "a crescent moon fades in over the ocean, slow zoom out, golden hour",
        "a spaceship in deep space, handheld, shaky camera",
        "a cottage in a winter landscape, snow falling, autumn leaves blowing in the wind",
        "first moves right, then spins, after that it gets bigger and bigger",
        "a cat's face appears in front of the city skyline",
    )
    unknown = {token for row in prompts for token in tokenizer.encode(row).tokens if token == "<unk>"}
    assert not unknown, [tokenizer.encode(row).tokens for row in prompts]


def test_unknown_words_and_odd_text_do_not_fail(tokenizer):
    assert tokenizer.encode("a zebra").ids[1] == 2
    assert tokenizer.encode("").tokens == ["</s>"]
    assert tokenizer.encode("ｒｅｄ 🟥").ids[0] == vocabulary()["red"]


def test_the_folder_loads_in_transformers(tmp_path: Path, tokenizer):
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    save(tmp_path / "tokenizer")
    for loader in (AutoTokenizer, PreTrainedTokenizerFast):
        loaded = loader.from_pretrained(tmp_path / "tokenizer", local_files_only=True)
        batch = loaded([PROMPT, "star"], padding=True)
        assert batch["input_ids"][0] == tokenizer.encode(PROMPT).ids
        assert batch["input_ids"][1][2:] == [0] * (len(batch["input_ids"][0]) - 2)
        assert batch["attention_mask"][1][:3] == [1, 1, 0]
        assert (loaded.pad_token_id, loaded.eos_token_id, loaded.unk_token_id) == (0, 1, 2)


def test_saving_twice_writes_the_same_bytes(tmp_path: Path):
    save(tmp_path / "a")
    save(tmp_path / "b")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
