"""The floors of the house: who may import whom, and what must never be loaded on the way to a quick answer.

The table below is the one of the design: a file imports only from floors below its own, or from its own room.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAMILY = r"models/[a-z0-9]+"

# The first pattern that matches a path says its floor.
FLOORS = (
    (r"models/__init__\.py", 0),
    (r"vgen_cli/version\.py", 0),
    (r"models/(errors|shapes|keymap|network_config|releases)\.py", 1),
    (r"vgen_cli/events\.py", 1),
    (r"vgen_cli/(errors|quantities|interrupt|progress)\.py", 2),
    (r"models/layers/.*", 2),
    (r"models/diffusion/(__init__|names|sigmas|scheduler_config|denoiser|latents)\.py", 2),
    (r"models/diffusion/(guidance|samplers)\.py", 3),
    (r"models/(cards|catalog|hub_cache)\.py", 4),
    (r"models/checkpoint/.*", 5),
    (r"models/training/.*", 6),
    (rf"{FAMILY}/(__init__|config|keys|versions|published)\.py", 2),
    (rf"{FAMILY}/(transformer|transformer_blocks|autoencoder|autoencoder_blocks|upsampler|conditions)\.py", 3),
    (r"models/(text|vision|nano)/.*", 3),
    (r"vgen_cli/(recipe|pins|loras|seeds|options|unfold|explain|help_page|shell)\.py", 3),
    (r"vgen_cli/media/.*", 3),
    (r"vgen_cli/cascade/(__init__|frames|flow|enlarge|landing|memory|ahead)\.py", 3),
    (r"vgen_cli/sources\.py", 4),
    (r"vgen_cli/estimate\.py", 5),
    (r"vgen_cli/cascade/device\.py", 5),
    (r"vgen_cli/(plan|downloads)/.*", 6),
    (r"vgen_cli/cascade/(clock|remembered)\.py", 6),
    (r"vgen_cli/weights\.py", 6),
    (r"vgen_cli/kept/(__init__|identity|settings|record|store|drafts)\.py", 6),
    (r"vgen_cli/kept/keeper\.py", 8),
    (r"vgen_cli/batch/(planner|survey|checks|space)\.py", 7),
    (r"vgen_cli/batch/[a-z_]+\.py", 4),
    (r"vgen_cli/cascade/(conditioning|context|denoising|entering|given|keeper|keeping)\.py", 7),
    (r"vgen_cli/cascade/(ladder|prompts|session|surroundings)\.py", 7),
    (r"vgen_cli/cascade/stages\.py", 8),
    (r"vgen_cli/cascade/(pipeline|together)\.py", 9),
    (r"vgen_cli/(batch/engines|bench)/.*", 10),
    (r"vgen_cli/commands/.*", 11),
    (r"vgen_cli/(app|api)\.py", 12),
    (r"vgen_cli/__(init|main)__\.py", 13),
)

# Files that answer quickly: what they import at their top, and what that imports, must not be heavy.
LIGHT = (
    r"(models|vgen_cli)/__init__\.py",
    r"vgen_cli/[a-z0-9_]+\.py",
    r"vgen_cli/(commands|plan)/.*",
    r"vgen_cli/kept/(__init__|identity|settings|record|store|drafts)\.py",
    r"vgen_cli/media/(__init__|destination|spec|metadata|probe)\.py",
    r"models/(errors|shapes|keymap|network_config|releases|cards|catalog|hub_cache)\.py",
    rf"{FAMILY}/(__init__|config|keys|versions|published)\.py",
    r"models/diffusion/(__init__|sigmas|names|scheduler_config)\.py",
    r"models/checkpoint/(__init__|header|shards|scales|parts|contents|beside|inspect|settle|locate)\.py",
    r"models/checkpoint/(changes|lora|lora_names|fetched)\.py",
)
HEAVY = {
    "torch", "numpy", "transformers", "tokenizers", "safetensors", "einops", "PIL", "rich", "imageio_ffmpeg",
    "huggingface_hub", "pydantic", "cv2", "yaml", "ray",
}  # fmt: skip
FOREIGN_TO_MODELS = {"vgen_cli", "typer", "click", "rich", "imageio", "imageio_ffmpeg", "av", "cv2"}


@dataclass(frozen=True)
class Import:
    """One imported module: a path of the house, or the top name of a package from elsewhere."""

    line: int
    house: str = ""
    package: str = ""
    at_top: bool = True


def house_files():
    return sorted(
        str(path.relative_to(ROOT))
        for wing in ("models", "vgen_cli")
        for path in (ROOT / wing).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def file_of(dotted):
    """The path of a module of the house, or an empty text."""
    stem = dotted.replace(".", "/")
    return next((name for name in (f"{stem}.py", f"{stem}/__init__.py") if (ROOT / name).is_file()), "")


def resolved(node, path):
    """Dotted names that an import statement may bring, longest first for `from a import b`."""
    if isinstance(node, ast.Import):
        return [(alias.name, alias.name) for alias in node.names]
    package = Path(path).parts[:-1]
    base = list(package[: len(package) - node.level + 1]) if node.level else []
    stem = ".".join([*base, *(node.module.split(".") if node.module else [])])
    return [(f"{stem}.{alias.name}", stem) for alias in node.names]


def imports_of(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = []

    def visit(node, at_top):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                for name, stem in resolved(child, path):
                    if name.split(".")[0] in ("models", "vgen_cli"):
                        house = file_of(name) or file_of(stem)
                        found.append(Import(child.lineno, house=house, package=name.split(".")[0], at_top=at_top))
                    else:
                        found.append(Import(child.lineno, package=name.split(".")[0], at_top=at_top))
            else:
                typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                visit(child, at_top and not typing_only and not function)

    visit(tree, True)
    return found


FILES = house_files()
IMPORTS = {path: imports_of(path) for path in FILES}


def floor(path):
    return next((number for pattern, number in FLOORS if re.fullmatch(pattern, path)), None)


@pytest.mark.parametrize("path", FILES)
def test_every_file_has_a_floor(path):
    assert floor(path) is not None, f"{path} stands on no floor: give it one in FLOORS"


@pytest.mark.parametrize("path", FILES)
def test_imports_go_down(path):
    """A file imports from floors below, or from its own room (folder) on its own floor."""
    for each in IMPORTS[path]:
        if each.house and each.house != path:
            same_room = Path(each.house).parent == Path(path).parent
            fits = floor(each.house) < floor(path) or (same_room and floor(each.house) == floor(path))
            assert fits, f"{path}:{each.line} (floor {floor(path)}) imports {each.house} (floor {floor(each.house)})"


def test_no_import_goes_round_in_a_circle():
    below = {
        path: {each.house for each in found if each.house and each.house != path} for path, found in IMPORTS.items()
    }
    done, way = set(), []

    def walk(path):
        assert path not in way, " → ".join([*way[way.index(path) :], path])
        if path not in done:
            way.append(path)
            for other in sorted(below[path]):
                walk(other)
            way.pop()
            done.add(path)

    for path in FILES:
        walk(path)


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith("models/")])
def test_models_know_no_shell(path):
    for each in IMPORTS[path]:
        if (path, each.package) == ("models/training/footage.py", "cv2"):
            continue  # it decodes clips to train on, and encodes none
        assert each.package not in FOREIGN_TO_MODELS, f"{path}:{each.line} imports {each.package}"


@pytest.mark.parametrize("path", FILES)
def test_no_module_leans_on_the_references(path):
    assert not {"diffusers", "pytest", "hypothesis"} & {each.package for each in IMPORTS[path]}


def test_only_progress_knows_rich():
    assert {path for path, found in IMPORTS.items() if any(each.package == "rich" for each in found)} == {
        "vgen_cli/progress.py"
    }


@pytest.mark.parametrize("path", [path for path in FILES if any(re.fullmatch(light, path) for light in LIGHT)])
def test_light_files_load_nothing_heavy(path):
    reached, waiting = {}, [path]
    while waiting:
        name = waiting.pop()
        for each in IMPORTS[name]:
            if not each.at_top:
                continue
            assert each.package not in HEAVY, f"{path} loads {each.package}, by way of {name}:{each.line}"
            for house in {each.house, *packages_of(each.house)} - {""}:
                if house not in reached:
                    reached[house] = name
                    waiting.append(house)


def packages_of(path):
    """The `__init__.py` files that importing a file runs."""
    folders = list(Path(path).parents)[:-1] if path else []
    return {str(folder / "__init__.py") for folder in folders if (ROOT / folder / "__init__.py").is_file()}


TORCH_FREE = (
    ("--help",),
    ("--version",),
    ("t2v", "--help"),
    ("plan", "--help"),
    ("batch", "none.txt"),
    ("models", "list"),
    ("models", "list", "--json"),
    ("models", "show", "nano"),
    ("models", "remove", "nano"),
    ("models", "pull", "nano"),
    ("bench", "--runs", "0"),
    ("bench", "-m", "nowhere"),
    ("models", "inspect", "."),
    ("info", "none.mp4"),
    ("t2v", "a red circle", "--dry-run"),
    ("plan", "a red circle"),
    ("plan", "a red circle", "--json", "--fps", "24000/1001"),
    ("t2v", ""),
    ("t2v", "a", "--size", "0x0"),
    ("t2v", "a", "--nonsense"),
    ("t2v", "a", "-m", "nowhere"),
    ("t2v", "a", "-m", "none.safetensors"),
    ("t2v", "a", "--sampler", "x"),
    ("t2v", "a", "-o", "none/x.mp4"),
    ("t2v", "a", "-o", "x.avi"),
    ("nonsense",),
)
SCRIPT = """
import contextlib, io, json, sys
from vgen_cli.app import main
heavy, told = set(json.loads(sys.argv[1])), []
for arguments in json.loads(sys.argv[2]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(arguments)
    told.append([code, sorted(heavy & set(sys.modules))])
print(json.dumps(told))
"""


def test_quick_answers_load_nothing_heavy(tmp_path):
    heavy = sorted({*HEAVY, "huggingface_hub.file_download"} - {"huggingface_hub"})  # whose package itself is empty
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(heavy), json.dumps(TORCH_FREE)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    for arguments, (code, loaded) in zip(TORCH_FREE, json.loads(done.stdout), strict=True):
        assert loaded == [], f"vgen {' '.join(arguments)} loads {loaded}"
        assert code in (0, 2), arguments
    assert list(tmp_path.iterdir()) == []
