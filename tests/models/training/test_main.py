"""The command line of training: what reaches the workshop, and how a run ends."""

from __future__ import annotations

import pytest

from models.diffusion.denoiser import Prediction
from models.errors import ModelError
from models.training import precision, stages
from models.training.__main__ import main
from models.training.configs import STAGES
from models.training.interrupt import Stopped


@pytest.fixture
def workshops(monkeypatch):
    """Stands in for the workshop; lists how each was opened and what it ran."""
    made = []

    class Workshop:
        fault = None

        def __init__(self, recipe, out, **options):
            self.recipe, self.out, self.options, self.ran = recipe, out, options, []
            made.append(self)

        def run(self, stage, weights):
            if Workshop.fault is not None:
                raise Workshop.fault
            self.ran.append((stage, weights))

    monkeypatch.setattr(stages, "Workshop", Workshop)
    return made, Workshop


def test_what_is_said_reaches_the_workshop(workshops, tmp_path, capsys):
    made, _ = workshops
    words = ["text", "base", "--smoke", "--objective", "v", "--seed", "7", "--precision", "float32", "--minutes", "2"]
    assert main([*words, "--from", str(tmp_path / "there"), "--out", str(tmp_path / "run")]) == 0
    shop = made[0]
    assert (shop.options["objective"], shop.options["seed"]) == (Prediction.V, 7)
    assert (shop.options["start"], shop.options["device"].type) == (tmp_path / "there", "cpu")
    assert [stage for stage, _ in shop.ran] == ["text", "base"]
    assert not shop.recipe.half
    assert sum(shop.recipe.budgets[stage].seconds for stage in ("text", "base")) == pytest.approx(120)
    assert "float32, seed 7" in capsys.readouterr().out


def test_all_is_every_stage_and_nothing_said_is_the_recipe(workshops, tmp_path):
    made, _ = workshops
    assert main(["all", "--smoke", "--out", str(tmp_path)]) == 0
    assert [stage for stage, _ in made[0].ran] == list(STAGES)
    assert made[0].options["objective"] is Prediction.FLOW
    assert made[0].options["start"] is None
    assert "clips" not in made[0].options


def test_auto_precision_is_measured(workshops, tmp_path, monkeypatch):
    made, _ = workshops
    for speed in (9.0, 0.5):
        monkeypatch.setattr(precision, "bfloat16_speed", lambda threads, speed=speed: speed)
        assert main(["base", "--out", str(tmp_path)]) == 0
    assert [shop.recipe.half for shop in made] == [True, False]


@pytest.mark.parametrize(
    ("fault", "code", "stream", "words"),
    [
        (Stopped("told already"), 130, "out", ""),
        (KeyboardInterrupt(), 130, "out", "the same command goes on from there"),
        (ModelError("no such folder"), 2, "err", "error: no such folder"),
        (FloatingPointError("not finite"), 1, "err", "error: not finite"),
    ],
)
def test_how_a_run_ends(workshops, tmp_path, capsys, fault, code, stream, words):
    workshops[1].fault = fault
    assert main(["text", "--smoke", "--out", str(tmp_path)]) == code
    told = capsys.readouterr()
    assert words in getattr(told, stream)
    assert "told already" not in told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["base", "--device", "nonsense"], "--device nonsense cannot be used here"),
        (["base", "--clips", "nowhere"], "nowhere is no folder"),
    ],
)
def test_what_cannot_be_is_told_before_any_work(workshops, tmp_path, capsys, words, said):
    assert main([*words, "--smoke", "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert workshops[0] == []


@pytest.mark.parametrize(
    "words", [["base", "--minutes", "0"], ["base", "--minutes", "soon"], ["base", "--objective", "w"]]
)
def test_wrong_words_are_refused(workshops, words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
