import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from models import catalog
from models.catalog import ModelCard
from models.diffusion import sigmas
from models.diffusion.names import SAMPLER_NAMES, STG_MODES
from models.errors import UnknownNameError

TEMPLATES = [catalog.template("ltx", version) for version in ("0.9.0", "0.9.1", "0.9.5")]
TEMPLATES += [catalog.template("wan", f"2.1-{task}") for task in ("t2v", "i2v", "flf2v", "vace")]
TEMPLATES += [catalog.template("wan", f"2.2-{task}") for task in ("t2v", "i2v", "ti2v", "vace")]
CARDS = [catalog.find(name) for name in catalog.names()] + TEMPLATES
CARDS += [card.compat("diffusers") for card in CARDS]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.name}-{card.num_frames}")
def test_every_card_is_whole_and_consistent(card: ModelCard):
    assert card.family in catalog.families()
    assert card.stages[0].kind == "base"
    assert card.base.steps >= 1
    assert card.size_multiple % card.compression.space == 0
    assert set(card.part_parameters) <= set(catalog.PARTS)
    assert card.parameters == sum(card.part_parameters.values()) > 0
    assert isinstance(card.fps, Fraction)
    assert isinstance(card.base_fps, Fraction)
    for stage in card.stages:
        assert stage.kind in catalog.STAGE_KINDS
        assert stage.sampler in SAMPLER_NAMES
        assert stage.schedule in sigmas.NAMES
        assert stage.default_factor in stage.legal_factors
        assert stage.legal_factors == tuple(max(stage.factor, 1) ** k for k in range(len(stage.legal_factors)))
        if stage.refine:
            assert sigmas.explicit(stage.refine)[:-1] == list(stage.refine)
        untils = [span.until for span in stage.guidance]
        assert untils == sorted(set(untils), reverse=True)
        for span in stage.guidance:
            assert span.stg_mode in STG_MODES
            assert all(0 <= layer < card.layers for layer in span.stg_layers)
            assert span.perturbs == (span.stg_scale > 0)
            assert not span.rescale or span.perturbs or card.family != "ltx"
    for name in card.presets:
        card.preset(name)
    json.dumps(card.facts())


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.name}-{card.num_frames}")
def test_the_default_file_comes_out_of_the_stages_without_cropping(card: ModelCard):
    spatial, temporal = card.stage("spatial-upsample"), card.stage("temporal-upsample")
    factor = spatial.default_factor if spatial else 1
    assert card.width % (factor * card.size_multiple) == 0
    assert card.height % (factor * card.size_multiple) == 0
    if not card.takes_rate:
        times = temporal.default_factor if temporal else 1
        assert card.fps == card.base_fps * times
        base = (card.num_frames - 1) // times + 1
        assert (card.num_frames - 1) % times == 0
        assert card.compression.legal_frames(base) == base
    else:
        assert card.compression.legal_frames(card.num_frames) == card.num_frames


def test_names_and_near_names():
    assert catalog.names()[0] == "nano"
    assert catalog.find("nano").embedded
    with pytest.raises(UnknownNameError, match="did you mean nano"):
        catalog.find("nan0")
    with pytest.raises(UnknownNameError, match="known models: nano, ltxv-2b"):
        catalog.find("zzzz")


def test_ltx_values_are_those_of_the_official_runner_and_of_diffusers():
    newest = catalog.template("ltx", "0.9.5")
    assert (newest.width, newest.height, newest.num_frames, newest.fps) == (1216, 704, 121, 30)
    assert (newest.base.steps, newest.base.guidance_scale, newest.base.schedule) == (40, 3.0, "linear_quadratic")
    assert (newest.text_tokens, newest.decode_timestep, newest.decode_noise_scale) == (256, 0.05, 0.025)
    assert newest.decode_noise_space == "normalised"
    theirs = newest.compat("diffusers")
    assert (theirs.width, theirs.height, theirs.num_frames, theirs.fps) == (704, 512, 161, 25)
    assert (theirs.base.steps, theirs.base.guidance_scale, theirs.negative_prompt) == (50, 3.0, "")
    assert theirs.base.schedule == "linear_quadratic"  # without a scheduler config, the version's own
    oldest = catalog.template("ltx", "0.9.0")
    assert (oldest.base.schedule, oldest.causal_time, oldest.base.steps) == ("shifted_terminal", False, 40)
    assert catalog.template("ltx", "9.9.9") == newest


def test_compatibility_is_accepted_for_every_family_and_none_changes_nothing():
    nano = catalog.find("nano")
    assert nano.compat("diffusers") is nano
    assert TEMPLATES[0].compat(None) is TEMPLATES[0]


def test_leaving_stages_out_moves_the_defaults():
    card = catalog.find("nano").without(["spatial-upsample", "temporal-upsample"])
    assert [stage.kind for stage in card.stages] == ["base"]
    assert (card.width, card.height, card.num_frames, card.fps) == (64, 64, 17, 8)


def test_presets():
    with pytest.raises(UnknownNameError, match="no preset 'fast'"):
        catalog.find("nano").preset("fast")
    base = catalog.find("nano").with_base(steps=3)
    assert (base.base.steps, base.base.sampler) == (3, "euler")


def test_the_embedded_weights_are_those_of_the_card():
    weights = Path(catalog.__file__).parent / "nano" / "weights"
    if not weights.is_dir():
        pytest.skip("no embedded weights in this checkout")
    from models.checkpoint import locate

    card, settled = catalog.find("nano"), locate("nano").card
    for name in ("compression", "latent_channels", "part_parameters", "stages", "width", "num_frames", "fps"):
        assert getattr(card, name) == getattr(settled, name), name


def test_importing_needs_no_torch():
    code = "import sys, models.catalog as c; c.find('nano'); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


PUBLISHED = [name for name in catalog.names() if name.startswith("ltxv")]
WAN = [name for name in catalog.names() if name.startswith("wan")]
MIX = "ltxv-13b-0.9.8-mix"


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_was_published_says_where_its_files_are(name):
    card = catalog.find(name)
    own = next(file for file in card.files if file.part == "model")
    assert own.repo == card.source == "Lightricks/LTX-Video"
    assert catalog.published_as(own.path).name == name.replace("mix", "dev")
    assert {file.part for file in card.files} >= {"model", "text_encoder", "tokenizer"}
    upsamplers = {file.part for file in card.files} & set(catalog.UPSAMPLERS.values())
    assert upsamplers == {catalog.UPSAMPLERS[stage.kind] for stage in card.stages[1:]}
    assert len(set(card.files)) == len(card.files)
    assert len(catalog.find(name, whole=True).stages) == 3


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_size_of_a_file_is_that_of_its_numbers(name):
    """To a percent: what the transformer and the autoencoder weigh in the type they are stored in."""
    card = catalog.find(name)
    parts = card.part_parameters["transformer"] + card.part_parameters["autoencoder"]
    size = next(file.size for file in card.files if file.part == "model")
    if card.weights_dtype == "float8_e4m3fn":
        width = 4096 if card.layers == 48 else 2048
        eighth = card.layers * (8 * width**2 + 8 * width**2)  # matrices of attention and feed-forward
        assert size == pytest.approx(2 * parts - eighth, rel=0.01)
    else:
        assert size == pytest.approx(parts * {"float32": 4, "bfloat16": 2}[card.weights_dtype], rel=0.01)


@pytest.mark.parametrize("name", WAN)
def test_what_was_published_of_wan(name):
    card = catalog.find(name)
    parts = [file.part for file in card.files]
    assert len(set(parts)) == len(parts)
    assert {*parts} | {"tokenizer"} == {*card.part_parameters} | {"tokenizer"}
    assert ("tokenizer" in parts) != name.endswith("fp8")  # whose text encoder carries it
    assert (card.licence, card.family, len(card.stages)) == ("Apache-2.0", "wan", 1)
    assert (card.text_zeroed, card.text_cleaned, card.whole_timesteps, card.text_tokens) == (True, True, True, 512)
    assert card.negative_prompt.endswith("倒着走")
    networks = [span.network for span in card.base.guidance]
    assert networks == ["transformer", "transformer_2"][: 1 + ("transformer_2" in parts)]
    if not name.endswith("fp8"):
        assert catalog.published_as(card.folder_source).name == name
        assert {file.path for file in card.files if file.repo == card.folder_source} >= {"transformer/"}


@pytest.mark.parametrize("name", WAN)
def test_the_size_of_a_part_is_that_of_its_numbers(name):
    card = catalog.find(name)
    narrow = {"transformer": 1, "transformer_2": 1, "autoencoder": 2, "text_encoder": 1.186, "image_encoder": 2}
    whole = {"transformer": 4, "transformer_2": 4, "autoencoder": 4, "text_encoder": 2}
    for file in card.files:
        if file.size:
            width = (narrow if name.endswith("fp8") else whole)[file.part]
            assert file.size == pytest.approx(width * card.part_parameters[file.part], rel=0.01)


def test_values_of_wan_are_those_of_the_official_code():
    def values(name):
        card = catalog.find(name)
        base, spans = card.base, card.base.guidance
        shift = base.shift_for(card.width * card.height) or base.schedule_args["shift"]
        return shift, base.steps, *(span.scale for span in spans), card.num_frames, int(card.fps)

    assert values("wan2.1-t2v-1.3b") == (8.0, 50, 6.0, 81, 16)
    assert values("wan2.1-t2v-14b") == (5.0, 50, 5.0, 81, 16)
    assert values("wan2.1-i2v-14b-480p") == (3.0, 40, 5.0, 81, 16)
    assert values("wan2.1-i2v-14b-720p") == (5.0, 40, 5.0, 81, 16)
    assert values("wan2.1-flf2v-14b") == (16.0, 50, 5.0, 81, 16)
    assert values("wan2.1-vace-14b") == (16.0, 50, 5.0, 81, 16)
    assert values("wan2.2-t2v-a14b") == (12.0, 40, 4.0, 3.0, 81, 16)
    assert values("wan2.2-i2v-a14b") == (5.0, 40, 3.5, 3.5, 81, 16)
    assert values("wan2.2-ti2v-5b") == (5.0, 50, 5.0, 121, 24)
    assert [catalog.find(f"wan2.2-{task}-a14b").base.guidance[0].until for task in ("t2v", "i2v")] == [0.875, 0.9]
    base = catalog.find("wan2.1-t2v-14b").base
    grid = [0.999 * (1 - index / 4) for index in range(4)]
    assert base.sampler == "unipc"
    assert base.levels(4)[:-1] == pytest.approx([5 * u / (1 + 4 * u) for u in grid])


@pytest.mark.parametrize("name", [name for name in WAN if "lightning" in catalog.find(name).presets])
def test_lightning(name):
    plain = catalog.find(name)
    card = plain.preset("lightning")
    assert plain.loras == ()
    assert card.base.levels() == pytest.approx((1.0, 0.9375, 0.8333333, 0.625, 0.0))
    assert (card.base.sampler, card.base.shift_for(1)) == ("euler", None)
    assert {span.scale for span in card.base.guidance} == {1.0}
    assert [file.part for file in card.loras] == [span.network for span in card.base.guidance]
    assert [span.until for span in card.base.guidance] == [span.until for span in plain.base.guidance]


def test_the_mix_has_a_network_for_each_pass():
    card = catalog.find(MIX)
    assert {span.network for span in card.base.guidance} == {"transformer"}
    assert {span.network for span in card.stage("spatial-upsample").guidance} == {"transformer_2"}
    assert card.stage("spatial-upsample").levels() == (0.9094, 0.725, 0.4219, 0.0)
    assert [file.part for file in card.files][:2] == ["model", "transformer_2"]


def test_folders_of_the_hub_are_known_by_their_id():
    assert catalog.published_as("Lightricks/LTX-Video-0.9.8-13B-distilled").name == "ltxv-13b-0.9.8-distilled"
    assert catalog.published_as("") is None
    assert catalog.published_as("someone/else") is None


def test_a_release_is_a_template_too():
    assert catalog.template("wan", "2.2-i2v-a14b").name == "wan2.2-i2v-a14b"
    assert catalog.template("wan", "2.2-i2v").base.guidance[1].network == "transformer_2"
    assert catalog.template("wan").name == "wan-2.1-t2v"
    assert catalog.template("ltx", "13b-0.9.7-dev").name == "ltxv-13b-0.9.7-dev"
    assert catalog.template("ltx", "0.9.1").name == "ltx-0.9.1"
    assert catalog.template("ltx", "3b-9.9").name == "ltx-0.9.5"


def test_values_of_every_span_are_changed_together():
    base = catalog.find("ltxv-13b-0.9.8-dev").base
    changed = base.changed({"guidance_scale": 2.0, "stg_mode": "attention_skip", "cfg_star": False})
    assert {(span.scale, span.stg_mode, span.star) for span in changed.guidance} == {(2.0, "attention_skip", False)}
    assert [span.until for span in changed.guidance] == [span.until for span in base.guidance]
    assert (base.guidance_scale, changed.guidance_scale) == (8.0, 2.0)


def test_skips_go_with_the_steps():
    base = catalog.find("ltxv-13b-0.9.8-dev").base
    whole = sigmas.linear_quadratic(30)
    assert base.levels() == (*whole[:27], 0.0)
    assert catalog.find("ltxv-13b-0.9.8-dev").stage("spatial-upsample").levels() == tuple(whole[17:])
    assert len(base.levels(10)) == 10
    assert len(base.levels(1)) == 2
