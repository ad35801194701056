"""Captions: true to their scene, very varied, and strictly parted into training and held-out phrasings."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from models.training import captions, phrases
from models.training.captions import caption, reserved, words
from models.training.world import BACKDROPS, COLOURS, MOTIONS, SHAPES, Scene, random_scene

FIRST = Scene("circle", "red", "small", "right", "plain", "blue")


def drawn(count: int, *, held_out: bool = False) -> list[tuple[Scene, str]]:
    rng = random.Random(21)
    scenes = [random_scene(rng, held_out=held_out) for _ in range(count)]
    return [(scene, caption(scene, rng, held_out=held_out)) for scene in scenes]


TRAINING = drawn(6000)
HELD_OUT = drawn(2000, held_out=True)


def mentions(text: str, options: tuple[str, ...]) -> bool:
    """Whether one of the options is said, perhaps with a stray word inside."""
    patterns = (r"(?: \w+)? ".join(map(re.escape, option.split(" "))) for option in options)
    return any(re.search(rf"(?<!\w){pattern}(?!\w)", text.lower()) for pattern in patterns)


def says_motion(text: str, motion: str) -> bool:
    spoken = {verb for verbs, _ in phrases.MOTION_WORDS[motion] for verb in verbs}
    options = (
        *phrases.BEFORE_NOUN[motion],
        *spoken,
        *(phrases.VERBS[verb] for verb in spoken),
        *(captions._plain_form(phrases.VERBS[verb]) for verb in spoken),
    )
    return mentions(text, options)


def test_the_first_command_is_a_training_caption():
    rng = random.Random(0)
    said = {caption(FIRST, rng).lower().rstrip(".!") for _ in range(600)}
    assert "a red circle moving right on a blue background" in said


def test_the_same_state_of_chance_gives_the_same_words():
    for scene, _ in TRAINING[:50]:
        assert caption(scene, random.Random(4)) == caption(scene, random.Random(4))


def test_phrasings_hardly_repeat():
    rng = random.Random(1)
    assert len({caption(FIRST, rng) for _ in range(1000)}) > 900
    assert len({caption(FIRST, rng, held_out=True) for _ in range(1000)}) > 900


@pytest.mark.parametrize("pairs", [TRAINING, HELD_OUT], ids=["training", "held-out"])
def test_shape_and_colour_are_those_of_the_scene(pairs: list[tuple[Scene, str]]):
    coloured = 0
    for scene, text in pairs:
        assert mentions(text, phrases.NOUNS[scene.shape]), (scene, text)
        named = {colour for colour in COLOURS if mentions(text, (colour,))}
        shades = {"white"} if scene.backdrop == "stars" else set()
        assert named <= {scene.colour, scene.backdrop_colour} | shades, (scene, text)
        coloured += scene.colour in named
    assert coloured / len(pairs) > (0.999 if pairs is HELD_OUT else 0.96)


def test_the_nouns_of_one_shape_never_name_another_one_alone():
    # "circle outline" is a ring and holds the word circle; nothing else may overlap.
    owners = Counter(noun for nouns in phrases.NOUNS.values() for noun in nouns)
    assert max(owners.values()) == 1


def test_motion_backdrop_and_size_are_left_out_now_and_then():
    moving = [(scene, text) for scene, text in TRAINING if scene.motion != "still"]
    told = sum(says_motion(text, scene.motion) for scene, text in moving) / len(moving)
    behind = sum(mentions(text, (scene.backdrop_colour,)) for scene, text in TRAINING) / len(TRAINING)
    sized = sum(mentions(text, phrases.SIZE_WORDS[scene.size]) for scene, text in TRAINING) / len(TRAINING)
    assert 0.93 < told < 0.99
    assert 0.92 < behind < 0.98
    assert 0.5 < sized < 0.75


def test_held_out_captions_always_tell_motion_and_backdrop():
    for scene, text in HELD_OUT:
        assert says_motion(text, scene.motion), (scene, text)
        assert mentions(text, (scene.backdrop_colour,)), (scene, text)


def test_the_pattern_of_a_backdrop_is_told():
    pattern = {
        "gradient": ("gradient", "fading", "fades", "shaded"),
        "stripes": ("stripes", "striped", "stripe"),
        "checkerboard": ("checkerboard", "checkered", "chequered", "checked", "checks", "chessboard"),
        "stars": ("starry", "stars", "night sky"),
    }
    for scene, text in HELD_OUT:
        told = {name for name, options in pattern.items() if mentions(text, options)}
        assert told - ({"stars"} if scene.shape == "star" else set()) <= {scene.backdrop}, (scene, text)
        assert scene.backdrop == "plain" or scene.backdrop in told, (scene, text)


def test_templates_of_the_two_sides_are_disjoint_and_each_side_draws_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(captions._Slots, "__getitem__", lambda self, slot: f"{{{slot}}}")
    monkeypatch.setattr(captions, "_dress", lambda text, rng: text)
    monkeypatch.setattr(captions, "_plainest", lambda scene, rng: "{a} {ing} {on}")
    training = {*phrases.TEMPLATES, *phrases.WITHOUT_BACKDROP, *phrases.WITHOUT_MOTION, *phrases.OBJECT_ALONE}
    assert not training & set(phrases.HELD_OUT_TEMPLATES)
    assert {text for _, text in drawn(6000)} == training
    assert {text for _, text in drawn(500, held_out=True)} == set(phrases.HELD_OUT_TEMPLATES)


def test_marks_of_held_out_templates_are_never_in_training():
    marks = ("you can see", "while it is", "in front of us", "we watch", "this is a", "in this clip there is")
    held_out = " ".join(text.lower() for _, text in HELD_OUT)
    assert all(mark in held_out for mark in marks)
    for _, text in TRAINING:
        assert not any(mark in text.lower() for mark in marks), text


def test_reserved_pairs_are_spoken_on_their_own_side_only(monkeypatch: pytest.MonkeyPatch):
    spoken: list[tuple[bool, bool]] = []
    draw = captions._Slots._motion

    def watched(self: captions._Slots) -> tuple[str, str]:
        pair = draw(self)
        spoken.append((self.held_out, reserved(*pair)))
        return pair

    monkeypatch.setattr(captions._Slots, "_motion", watched)
    drawn(300)
    drawn(300, held_out=True)
    assert set(spoken) == {(False, False), (True, True)}


def test_the_split_of_phrases_stays_as_it_is():
    assert not reserved("moving", "right")
    assert not reserved("on", "{c} background")
    assert reserved("going", "from left to right")
    assert not reserved("sailing", "from left to right")
    assert not any(reserved("moving", after) for _, rest in phrases.MOTION_WORDS["left"] for after in rest)
    pairs = [(v, r) for groups in phrases.MOTION_WORDS.values() for vs, rs in groups for v in vs for r in rs if r]
    assert 0.1 < sum(reserved(*pair) for pair in pairs) / len(pairs) < 0.22


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("backdrop", BACKDROPS)
def test_every_motion_and_backdrop_has_words_on_both_sides(motion: str, backdrop: str):
    rng = random.Random(2)
    for shape in SHAPES:
        scene = Scene(shape, "orange", "large", motion, backdrop, "black")
        assert caption(scene, rng)
        assert caption(scene, rng, held_out=True)


def test_every_word_of_held_out_captions_occurs_in_training():
    rng = random.Random(3)
    spoken = {word for _ in range(25000) for word in split(caption(random_scene(rng), rng))}
    assert {word for _, text in HELD_OUT for word in split(text)} <= spoken
    assert spoken <= set(words())
    assert len(set(words()) - spoken) <= 3, set(words()) - spoken


def split(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def test_words_are_all_and_only_lower_case_and_sorted():
    assert list(words()) == sorted(set(words()))
    assert all(word == word.lower() for word in words())
    assert {word for _, text in TRAINING + HELD_OUT for word in split(text)} <= set(words())


def test_captions_are_clean_text():
    for _, text in TRAINING + HELD_OUT:
        assert not re.search(r"[{}]|  |^\s|\s$|,,|\.\.", text), text


def test_forms_of_verbs():
    assert [captions._plain_form(form) for form in ("moves", "goes", "flies", "passes", "diminishes")] == [
        "move",
        "go",
        "fly",
        "pass",
        "diminish",
    ]
    assert captions._plain_form("is still") == "be still"
    assert captions._plain_form("does not move") == "not move"
