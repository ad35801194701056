"""The words outside of the code: help pages that are current, links that lead somewhere, command lines that work."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
from pathlib import Path

import pytest

from models import catalog
from vgen_cli.app import main
from vgen_cli.media.ffmpeg import run
from vgen_cli.recipe import DOORS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def script(name):
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shell_lines():
    """Every command of the README's shell blocks and of the examples in the help pages, as words."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    lines += re.findall(r"^  (vgen .*)$", CLI, re.MULTILINE)
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        for end in ("&&", "|"):
            while end in words:
                found.append(words[: words.index(end)])
                words = words[words.index(end) + 1 :]
        found.append(words)
    return list(dict.fromkeys(tuple(words) for words in found))


LINES = shell_lines()


def test_there_are_lines_of_every_kind():
    assert ("vgen", "t2v", "a red circle moving right on a blue background", "-o", "clip.mp4") in LINES
    assert ("pip", "install", ".[test]") in LINES
    assert ("pytest",) in LINES
    assert {words[0] for words in LINES} == {"vgen", "pip", "pytest", "python", "ffplay", "ray"}


@pytest.fixture(scope="session")
def footage(tmp_path_factory):
    """A clip of two seconds."""
    path = tmp_path_factory.mktemp("footage") / "clip.mp4"
    run(["-f", "lavfi", "-i", "testsrc2=d=2:s=160x90:r=24", "-pix_fmt", "yuv420p", str(path)], "making a clip")
    return path


@pytest.mark.parametrize("words", [words for words in LINES if words[0] == "vgen"], ids=" ".join)
def test_every_vgen_line_is_one_that_vgen_takes(words, tmp_path, monkeypatch, capsys, footage):
    """What can be planned is planned, from files of the names that the line says; the rest has its options read."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompt.txt").write_text("a red circle\n", encoding="utf-8")
    (tmp_path / "look.toml").write_text("steps = 20\n", encoding="utf-8")
    for before, word in itertools.pairwise(words):
        if before in ("-o", "--output"):
            continue
        if name := re.search(r"(\w+\.(png|jpg))", word):
            Image.new("RGB", (96, 64), "red").save(tmp_path / name[1])
        elif name := re.search(r"(\w+\.mp4)", word):
            (tmp_path / name[1]).write_bytes(footage.read_bytes())
        elif re.fullmatch(r"\w+\.(txt|csv|jsonl|yaml)", word) and not (tmp_path / word).exists():
            (tmp_path / word).write_text("a red circle\n" if word.endswith("txt") else "", encoding="utf-8")
    door = words[2] if words[1] == "plan" and words[2] in DOORS else words[1]
    models = {word for before, word in itertools.pairwise(words) if before in ("--model", "-m")}
    making = door in (*DOORS, "plan") and models <= set(catalog.names())
    assert main([*words[1:], "--dry-run" if making else "--help"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("words", [words for words in LINES if words[0] == "python"], ids=" ".join)
def test_every_training_line_is_one_that_training_takes(words, capsys):
    from models.training.__main__ import main as train

    assert words[1:3] == ("-m", "models.training")
    with pytest.raises(SystemExit) as ended:
        train([*words[3:], "--help"])
    assert ended.value.code == 0
    assert "--smoke" in capsys.readouterr().out


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    """One block after another, as they would be typed."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert "vgen_cli.render" in blocks[0]
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("clip.mp4 33 16\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circle-2.mp4", "circle-3.mp4", "clip.mp4"]


def test_help_pages_are_current():
    assert script("make_cli").document() == CLI, "docs/cli.md is not current; write it again: make help-docs"


def test_every_command_has_a_help_page():
    titles = set(re.findall(r"^#+ vgen ?(.*)$", CLI, re.MULTILINE))
    assert {"", "t2v", "plan", "info", "models list", "models show", "models inspect", "doctor"} <= titles


def test_check_tells_a_stale_page(tmp_path, monkeypatch, capsys):
    make_cli = script("make_cli")
    monkeypatch.setattr(make_cli, "PAGE", tmp_path / "cli.md")
    assert make_cli.main(["--check"]) == 1
    assert "make help-docs" in capsys.readouterr().err
    assert make_cli.main([]) == 0
    assert make_cli.main(["--check"]) == 0


def test_strip_is_glued_in_rows(tmp_path):
    from PIL import Image

    make_strip = script("make_strip")
    rows = [[tmp_path / f"{row}-{column}.png" for column in range(3)] for row in range(2)]
    for row in rows:
        for place in row:
            Image.new("RGB", (8, 6), (200, 40, 10)).save(place)
    make_strip.glue(rows, tmp_path / "strip.png")
    sheet = Image.open(tmp_path / "strip.png")
    assert sheet.size == (3 * 8 + 2 * make_strip.GAP, 2 * 6 + make_strip.GAP)
    assert sheet.getpixel((7, 5)) == (200, 40, 10)
    assert sheet.getpixel((8, 6)) == (255, 255, 255)


def test_the_driver_of_many_workers_can_be_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script("measure_driver").main(["--rows", "6", "--workers", "3"])
    out = capsys.readouterr().out
    assert "| handed out to 3 workers, told, named, written down | " in out
    assert re.search(r"^\d{3} bytes in the journal", out, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/cli.md", "docs/batch.md", "docs/scale.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target).exists(), target


def guide():
    """The places of the file guide, as paths; a bare name stands in the folder of the one before it."""
    section = README.split("## Where things are")[1].split("\n## ")[0]
    places = []
    for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE):
        folder = Path()
        for name in re.findall(r"`([^`]+)`", row):
            path = Path(name) if "/" in name or name == "Makefile" else folder / name
            folder = path.parent
            places.append(path)
    return places


def test_file_guide_names_every_place_and_no_other():
    places = guide()
    assert [str(place) for place in places if not (ROOT / place).exists()] == []
    for wing in ("models", "vgen_cli"):
        for path in sorted((ROOT / wing).iterdir()):
            told = any(path.rglob("*.py")) or path.suffix in (".py", ".toml")
            if told and path.name not in ("__init__.py", "__main__.py", "__pycache__"):
                assert path.relative_to(ROOT) in places, f"{path.name} of {wing}/ is missing from the file guide"
