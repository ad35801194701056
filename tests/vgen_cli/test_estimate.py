"""Memory expected, against that of every tensor of the published networks, followed on the meta device."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest
import torch

from models import catalog
from models.shapes import LatentShape, PixelShape
from tests.alive import Alive, Flash
from vgen_cli import estimate

META = torch.device("meta")
LAYERS = 5
SHORT = PixelShape(17, 480, 832)


def published(card, part):
    room = importlib.import_module(f"models.{card.family}.published")
    return room.NETWORKS[part][card.part_parameters[part]]


def transformer(card):
    """The network of a card with fewer layers, which all take the same room, in turn."""
    config = published(card, "transformer")
    hints = {"vace_layers": tuple(each for each in config.vace_layers if each < LAYERS)} if card.family == "wan" else {}
    with META:
        network = importlib.import_module(f"models.{card.family}.transformer").Transformer(
            replace(config, num_layers=LAYERS, **hints)
        )
    precise = getattr(network, "PRECISE", ())
    for name, weight in network.bfloat16().named_parameters():
        if any(each in f".{name}" for each in precise):
            weight.data = weight.data.float()
    return network.requires_grad_(False)


@pytest.mark.parametrize(
    "name",
    ["wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "wan2.1-i2v-14b-480p", "wan2.1-flf2v-14b", "wan2.1-vace-1.3b",
     "wan2.1-vace-14b", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "ltxv-2b-0.9.8-distilled", "ltxv-13b-0.9.8-dev"],
)  # fmt: skip
def test_a_transformer_takes_what_its_card_says(name):
    card = catalog.find(name)
    network, latent = transformer(card), card.compression.latent(SHORT, card.latent_channels)
    config, cells = network.config, latent.as_tuple()[1:]

    def empty(*shape):
        return torch.empty(shape, dtype=torch.bfloat16, device=META)

    given = {}
    if config.in_channels != config.latent_channels:
        given["maps"] = empty(config.in_channels - config.latent_channels, *cells)
    if getattr(config, "image_dim", None):
        given["image"] = empty(1, config.pos_embed_seq_len or 257, config.image_dim)
    if getattr(config, "vace_layers", None):
        given["control"] = empty(config.vace_in_channels, *cells)
    context, mask = empty(1, card.text_tokens, config.context_dim), empty(1, card.text_tokens)
    latents = torch.empty(1, *latent.as_tuple(), device=META)
    with torch.no_grad(), Flash(), Alive() as alive:
        bound = [
            network.bind(
                context, None if card.text_zeroed else mask, latent, fps=24, compression=card.compression,
                causal_time=card.causal_time, **given,
            )
            for _ in range(2)
        ]  # fmt: skip
        bound[0](latents, 0.5)
    fewer = replace(card, values_per_prompt=card.values_per_prompt * LAYERS // card.layers)
    expected = estimate.alive("base", fewer, SHORT, latent, guided=True, size=2)
    assert alive.peak <= expected <= 1.2 * alive.peak


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("wan2.1-t2v-1.3b", SHORT),
        ("wan2.1-t2v-1.3b", PixelShape(9, 128, 128)),
        ("wan2.2-ti2v-5b", SHORT),
        ("ltxv-2b-0.9.8-distilled", PixelShape(33, 256, 256)),
    ],
    ids=str,
)
def test_a_decoder_takes_what_its_card_says(name, pixels):
    card = catalog.find(name)
    with META:
        network = importlib.import_module(f"models.{card.family}.autoencoder").Autoencoder(
            published(card, "autoencoder")
        )
    network = network.bfloat16().requires_grad_(False)
    latent = card.compression.latent(card.compression.legal(pixels), card.latent_channels)
    pixels = card.compression.pixels(latent)
    chunk = estimate.decoded_at_once(pixels, card.compression.time)
    with Flash(), Alive() as alive:
        for _ in network.decode_stream(torch.empty(1, *latent.as_tuple(), device=META), 0.05, chunk=chunk):
            pass
    expected = estimate.alive("decode", card, pixels, latent, guided=False, size=2)
    assert alive.peak <= expected <= 1.4 * alive.peak


def test_longer_clips_do_not_decode_in_more_room():
    card = catalog.find("wan2.1-t2v-14b")
    sizes = [
        estimate.stage("decode", card, PixelShape(frames, 480, 832), LatentShape(16, 1, 60, 104), guided=False, size=2)
        for frames in (81, 321)
    ]
    assert sizes[0] == sizes[1]


def test_frames_that_a_network_is_given_are_encoded_before_it_runs():
    """The clip that pictures stand in is float32 pixels, which outgrow a small network's cells."""
    card = catalog.find("wan2.1-vace-1.3b")
    tiny = replace(card, values_per_position=1, part_parameters={**card.part_parameters, "transformer": 1})
    for frames in (81, 321):
        pixels = PixelShape(frames, 480, 832)
        latent = card.compression.latent(pixels, 16)
        taken = estimate.stage("base", tiny, pixels, latent, guided=True, size=2)
        clip = taken - estimate.stage("decode", tiny, pixels, latent, guided=True, size=2)
        assert clip == 32 * frames * 480 * 832
        assert estimate.stage("base", replace(tiny, pictures="no"), pixels, latent, guided=True, size=2) < taken
        assert estimate.stage("base", card, pixels, latent, guided=True, size=2) >= taken


def test_two_experts_are_both_kept_or_take_turns():
    card = catalog.find("wan2.2-t2v-a14b")
    one = catalog.find("wan2.1-t2v-14b")
    pixels, latent = PixelShape(81, 480, 832), LatentShape(16, 21, 60, 104)
    sizes = [estimate.stage("base", each, pixels, latent, guided=True, size=2) for each in (card, one)]
    assert sizes[0] == sizes[1]
    in_turn, together = (
        [
            estimate.whole(each, [("base", size)], offload=offload, size=2)
            for each, size in ((card, sizes[0]), (one, sizes[1]))
        ]
        for offload in ("model", "none")
    )
    assert in_turn == sizes
    assert together[0] - together[1] == 2 * card.part_parameters["transformer_2"]


def test_published_peaks():
    """On a 4090 the 1.3B took 8.19 GB, its decoder in float32 (Wan 2.1's own table)."""
    card = catalog.find("wan2.1-t2v-1.3b")
    latent = card.compression.latent(PixelShape(81, 480, 832), 16)
    wide = estimate.stage("decode", card, PixelShape(81, 480, 832), latent, guided=False, size=4)
    assert 7.5e9 < wide < 9e9
    narrow = estimate.stage("base", card, PixelShape(81, 480, 832), latent, guided=True, size=2)
    assert 4e9 < narrow < wide


def test_a_transformer_of_8_bits_takes_half_the_room():
    card = catalog.find("ltxv-13b-0.9.8-dev")
    narrow = replace(card, weights_dtype="float8_e4m3fn")
    pixels, latent = PixelShape(9, 64, 64), LatentShape(128, 2, 2, 2)
    for kind, saved in (("base", card.part_parameters["transformer"]), ("decode", 0)):
        sizes = [estimate.stage(kind, each, pixels, latent, guided=False, size=2) for each in (card, narrow)]
        assert sizes[0] - sizes[1] == saved
        together = [
            estimate.whole(each, [(kind, size)], offload="none", size=2)
            for each, size in zip((card, narrow), sizes, strict=True)
        ]
        assert together[0] - together[1] == card.part_parameters["transformer"]


def test_work_on_frames_alone_opens_no_part():
    card = catalog.find("wan2.1-t2v-1.3b")
    size = estimate.stage("resample", card, PixelShape(9, 48, 64), None, guided=False, size=2)
    assert estimate.whole(card, [("resample", size)], offload="auto", size=2) == size == 12 * 3 * 48 * 64
