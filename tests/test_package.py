"""What an installation gets: one version, everything it needs and nothing else, and commands that start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import models
import vgen_cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MOST_WEIGHTS = 40_000_000  # bytes


@pytest.fixture
def distribution(monkeypatch):
    """setuptools' own reading of pyproject.toml; nothing is built."""
    from setuptools import Distribution

    monkeypatch.chdir(ROOT)
    read = Distribution({"script_name": "setup.py"})  # which there is none of
    read.parse_config_files(["pyproject.toml"])
    return read


@pytest.fixture
def wheel(distribution):
    """Paths of the files that a wheel would hold, from the root of the repository."""
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    modules = [path for _, _, path in build.find_all_modules()]
    data = [f"{folder}/{name}" for _, folder, _, names in build.data_files for name in names]
    return {Path(path).as_posix() for path in modules + data}


def test_wheel_holds_every_file_of_the_two_packages_and_nothing_else(wheel):
    """But for weights that training goes on from."""
    there = {
        path.relative_to(ROOT).as_posix()
        for wing in ("models", "vgen_cli")
        for path in (ROOT / wing).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ROOT / "models/nano/next" not in path.parents
    }
    assert there - wheel == set(), "not in the wheel: name it in [tool.setuptools.package-data]"
    assert wheel - there == set()


def test_wheel_holds_the_catalogue_and_a_whole_nano(wheel):
    assert {"models/catalog.toml", "models/py.typed", "vgen_cli/py.typed", "models/nano/card.md"} <= wheel
    weights = {path for path in wheel if path.startswith("models/nano/weights/")}
    for part in ("transformer", "vae", "text_encoder", "temporal_upsampler", "spatial_upsampler"):
        assert f"models/nano/weights/{part}/config.json" in weights
        assert any(re.fullmatch(rf"models/nano/weights/{part}/.*\.safetensors", path) for path in weights)
    assert "models/nano/weights/tokenizer/tokenizer.json" in weights
    assert sum((ROOT / path).stat().st_size for path in weights) <= MOST_WEIGHTS


def test_every_folder_of_code_is_a_package(distribution):
    code = [path for wing in ("models", "vgen_cli") for path in (ROOT / wing).rglob("*.py")]
    folders = {path.parent.relative_to(ROOT).as_posix() for path in code}
    assert {name.replace(".", "/") for name in distribution.packages} == folders


def test_version_is_written_once(distribution):
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert distribution.metadata.version == vgen_cli.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", vgen_cli.__version__)


def test_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[(.+?)\] - \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    assert first is not None
    assert first.group(1) == vgen_cli.__version__


def test_names_that_others_rely_on(distribution):
    assert distribution.metadata.name == "vgen-cli"
    assert PROJECT["project"]["scripts"] == {"vgen": "vgen_cli.__main__:main"}
    assert PROJECT["project"]["requires-python"] == ">=3.10"
    assert {name.split(".")[0] for name in distribution.packages} == {"models", "vgen_cli"}
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def imported_packages():
    """Top names of what the two packages import, at the top of a file or inside a function."""
    pattern = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_]\w*)", re.MULTILINE)
    for wing in (models, vgen_cli):
        for path in Path(wing.__file__).parent.rglob("*.py"):
            code = re.sub(r'"""[\s\S]*?"""', "", path.read_text(encoding="utf-8"))
            yield from pattern.findall(code)


def test_what_is_imported_is_required_and_the_other_way_round():
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *(each for name in extras if name != "test" for each in extras[name])]
    required = {re.split(r"[^\w-]", each)[0].replace("-", "_") for each in asked}
    modules = {"PIL": "pillow", "cv2": "opencv_python_headless", "yaml": "pyyaml"}
    foreign = set(imported_packages()) - set(sys.stdlib_module_names) - {"models", "vgen_cli", "tomllib"}
    assert {modules.get(name, name) for name in foreign} == required


@pytest.mark.parametrize("module", ["vgen_cli", "models.training"])
def test_module_starts_from_elsewhere(module, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith("usage:")
    assert done.stderr == ""


def test_entry_point_ends_the_process_with_the_exit_code(monkeypatch, capsys):
    from vgen_cli.__main__ import main

    monkeypatch.setattr(sys, "argv", ["vgen", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"vgen {vgen_cli.__version__}\n"
    monkeypatch.setattr(sys, "argv", ["vgen", "nonsense"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2


def test_check_and_ci_run_the_same_tools():
    """`make check` is a part of what .ci/run does, and .ci/run uses the README's commands to the letter."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    for tool in ("ruff check .", "ruff format --check .", "mypy", "pytest"):
        assert tool in ci
        assert f"-m {tool}" in make
    assert re.search(r"pip install .*torch==2\.13\.0[\s\S]*pip install .*'\.\[test\]' && pytest", ci)
    assert 'vgen t2v "a red circle moving right on a blue background" -o clip.mp4' in ci
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
