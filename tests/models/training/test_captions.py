"""Captions: true to their scene, very varied, and strictly parted into training and held-out phrasings."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from models.training import captions, phrases, setting_phrases, templates
from models.training.captions import LONGEST, NAMES, Caption, basic, caption, describe, split, words
from models.training.wording import Slots, plain_form, reserved
from models.training.world import (
    BACKDROPS,
    CAMERAS,
    COLOURS,
    MOTIONS,
    RELATIONS,
    RICH_MOTIONS,
    SETTINGS,
    SHAPES,
    STEPS,
    TIMES,
    WEATHERS,
    Scene,
    Subject,
    random_scene,
)

FIRST = Scene((Subject("circle", "red", "small", ("right",)),), "plain", "blue")
BOAT = Subject("boat", "red", "small", ("left",), pace="slow")
VOYAGE = Scene((BOAT,), "sea", time="sunset", weather="rain", camera="pan right")


def drawn(count: int, *, held_out: bool = False, rich: float = 0.0) -> list[tuple[Scene, Caption]]:
    rng = random.Random(21)
    scenes = [random_scene(rng, held_out=held_out, rich=rich) for _ in range(count)]
    return [(scene, describe(scene, rng, held_out=held_out)) for scene in scenes]


@pytest.fixture(scope="module")
def training() -> list[tuple[Scene, Caption]]:
    """Of the simple world."""
    return drawn(2500)


@pytest.fixture(scope="module")
def held_out() -> list[tuple[Scene, Caption]]:
    return drawn(1000, held_out=True)


@pytest.fixture(scope="module")
def rich_training() -> list[tuple[Scene, Caption]]:
    return drawn(2500, rich=1.0)


@pytest.fixture(scope="module")
def rich_held_out() -> list[tuple[Scene, Caption]]:
    return drawn(1000, held_out=True, rich=1.0)


@pytest.fixture(scope="module")
def everything(training, held_out, rich_training, rich_held_out) -> list[tuple[Scene, Caption]]:
    return [*training, *held_out, *rich_training, *rich_held_out]


@cache
def pattern_of(options: tuple[str, ...]) -> re.Pattern[str]:
    patterns = (r"(?: \w+)? ".join(map(re.escape, option.split(" "))) for option in options)
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)")


def mentions(text: str, options: tuple[str, ...]) -> bool:
    """Whether one of the options is said, perhaps with a stray word inside."""
    return bool(options and pattern_of(options).search(text.lower()))


@cache
def spoken(motion: str) -> tuple[str, ...]:
    """Everything that tells a motion."""
    verbs = {verb for verbs, _ in phrases.MOTION_WORDS[motion] for verb in verbs}
    if motion in ("left", "right", "up", "down"):
        verbs |= {verb for table in (phrases.KIND_VERBS, phrases.PACE_VERBS) for row in table.values() for verb in row}
    forms = {phrases.VERBS[verb] for verb in verbs}
    stopping = (*phrases.STOPPING, *phrases.WAITING) if motion == "still" else ()
    starts = [phrase.split(" ")[0] for phrase in stopping]
    stops = {form for verb in starts for form in (verb, phrases.VERBS[verb], plain_form(phrases.VERBS[verb]))}
    return (*phrases.BEFORE_NOUN[motion], *verbs, *forms, *map(plain_form, forms), *stops)


def nouns(subject: Subject) -> tuple[str, ...]:
    return phrases.NOUNS[subject.kind]


def remarks(scene: Scene, name: str) -> tuple[str, ...]:
    """Everything that tells the time, the weather or the camera of a scene."""
    tables = {
        "time": (setting_phrases.TIME_WORDS, setting_phrases.TIME_ADJECTIVES),
        "weather": (setting_phrases.WEATHER_WORDS, setting_phrases.WEATHER_ADJECTIVES),
        "camera": (setting_phrases.CAMERA_WORDS, {}),
    }
    texts, adjectives = tables[name]
    value = getattr(scene, name)
    return tuple(text.replace(",", "") for row in texts[value] for text in row) + adjectives.get(value, ())


@cache
def places(setting: str) -> tuple[str, ...]:
    """Nouns for a landscape without their articles, which may have an adjective after them."""
    groups = [phrase for _, rest in setting_phrases.SETTING_PLACES[setting] for phrase in rest]
    return tuple(re.sub(r"^(the|an|a) ", "", phrase) for phrase in (*groups, *setting_phrases.SETTING_NAMES[setting]))


def test_the_first_command_is_a_training_caption():
    rng = random.Random(0)
    said = {caption(FIRST, rng).lower().rstrip(".!") for _ in range(600)}
    assert "a red circle moving right on a blue background" in said


def test_the_same_state_of_chance_gives_the_same_words(everything):
    for scene, _ in everything[::100]:
        assert describe(scene, random.Random(4)) == describe(scene, random.Random(4))
        assert caption(scene, random.Random(4)) == describe(scene, random.Random(4)).text


@pytest.mark.parametrize("scene", [FIRST, VOYAGE])
def test_phrasings_hardly_repeat(scene: Scene):
    rng = random.Random(1)
    assert len({caption(scene, rng) for _ in range(500)}) > 450
    assert len({caption(scene, rng, held_out=True) for _ in range(500)}) > 450


def test_rich_captions_are_short_and_long():
    rng = random.Random(1)
    lengths = [len(split(caption(VOYAGE, rng))) for _ in range(1000)]
    assert min(lengths) < 8
    assert max(lengths) > 28


def test_what_is_named_is_what_a_scene_has(everything):
    for scene, told in everything:
        second = len(scene.subjects) > 1
        has = {
            "pace": bool(scene.subject.pace),
            "backdrop_colour": bool(scene.backdrop_colour),
            "relation": bool(scene.relation),
            "second kind": second,
            "second colour": second,
            "time": bool(scene.time),
            "weather": bool(scene.weather),
            "camera": bool(scene.camera),
        }
        assert told.named <= set(NAMES)
        assert all(has.get(name, True) for name in told.named), (scene, told)


def test_every_name_is_told_most_of_the_time_and_left_out_now_and_then(training, rich_training):
    shares = {}
    for name in NAMES:
        has = [told for scene, told in rich_training if can_tell(scene, name)]
        assert len(has) > 40, name
        shares[name] = sum(name in told.named for told in has) / len(has)
    assert all(share < 1 for name, share in shares.items() if "kind" not in name), shares
    assert all(share > 0.6 for name, share in shares.items() if name != "size"), shares
    assert shares["size"] > 0.4
    for name, low, high in (("motion", 0.92, 0.99), ("backdrop_colour", 0.92, 0.98), ("size", 0.5, 0.75)):
        assert low < sum(name in told.named for _, told in training) / len(training) < high, name


def can_tell(scene: Scene, name: str) -> bool:
    """Whether a scene has what a name stands for."""
    if name.startswith("second"):
        return len(scene.subjects) > 1
    if name == "pace":
        return bool(scene.subject.pace)
    return bool(getattr(scene, name, True))


def test_held_out_captions_tell_everything_but_the_size(held_out, rich_held_out):
    for scene, told in (*held_out, *rich_held_out):
        missing = {name for name in NAMES if can_tell(scene, name)} - told.named
        assert missing <= {"size"}, (scene, told)


def test_what_is_named_is_said(everything):
    for scene, told in everything:
        subject, text = scene.subject, told.text.lower().replace(",", "")
        assert mentions(text, nouns(subject)), (scene, told)
        for name in told.named & {"time", "weather", "camera"}:
            assert mentions(text, remarks(scene, name)), (name, scene, told)
        if "motion" in told.named:
            sideways = phrases.WAYS.get(subject.motion, ()) if scene.relation == "following" else ()
            for motion in subject.motions:
                assert mentions(text, (*spoken(motion), *sideways)), (motion, scene, told)
        if "pace" in told.named:
            assert mentions(text, phrases.PACE_WORDS[subject.pace]), (scene, told)
        if "size" in told.named:
            assert mentions(text, phrases.SIZE_WORDS[subject.size]), (scene, told)
        if "backdrop" in told.named and scene.backdrop in SETTINGS:
            # An adjective may stand between an article and the noun, and a stray word anywhere.
            assert mentions(text, places(scene.backdrop)), (scene, told)
        if "relation" in told.named:
            tables = (phrases.RELATION_WORDS, phrases.RELATION_AFTER, phrases.CONVERSES)
            options = tuple(phrase for table in tables for phrase in table[scene.relation])
            follows = tuple(phrases.FOLLOWS.values()) if scene.relation == "following" else ()
            follows += tuple(map(plain_form, follows))
            assert mentions(text, (*options, *follows)), (scene, told)
        if "second kind" in told.named:
            assert mentions(text, nouns(scene.subjects[1])), (scene, told)


def test_what_is_not_named_is_not_said(everything):
    unsaid = 0
    for scene, told in everything:
        for name in {"time", "weather", "camera"} - told.named:
            if getattr(scene, name):
                unsaid += 1
                # Whole remarks only: "night" may be said of a starry sky, "wood" of a boat.
                long = tuple(text for text in remarks(scene, name) if " " in text)
                assert not mentions(told.text.lower().replace(",", ""), long), (name, scene, told)
        if scene.subject.pace and "pace" not in told.named:
            unsaid += 1
            said = told.text.lower().replace("the camera slowly", "").replace("zooming in slowly", "")
            said = said.replace("zooming out slowly", "")
            assert not mentions(said, phrases.PACE_WORDS[scene.subject.pace]), (scene, told)
    assert unsaid > 100


def test_colours_are_those_of_the_scene(everything):
    # What some phrases call a colour that everybody knows.
    shades = {"stars": {"white"}, "hills": {"green"}, "forest": {"green"}, "sea": {"blue"}, "snow": {"white"}}
    for scene, told in everything:
        said = {colour for colour in COLOURS if mentions(told.text, (colour,))}
        boats = {"white"} if any(each.kind == "boat" for each in scene.subjects) else set()
        own = {each.colour for each in scene.subjects} | {scene.backdrop_colour}
        assert said <= own | shades.get(scene.backdrop, set()) | boats, (scene, told)
        for name, colour in (("colour", scene.subject.colour), ("backdrop_colour", scene.backdrop_colour)):
            assert name not in told.named or colour in said, (scene, told)
        if "second colour" in told.named:
            assert scene.subjects[1].colour in said


def test_colours_are_rarely_left_out(training, held_out):
    assert all("colour" in told.named for _, told in held_out)
    assert sum("colour" in told.named for _, told in training) / len(training) > 0.96


def test_slow_and_quick_are_said_only_of_what_is(everything):
    directed = {"left", "right", "up", "down"}
    moving = [(scene, told) for scene, told in everything if set(scene.subject.motions) <= directed]
    assert len(moving) > 1000
    for scene, told in moving:
        text = re.sub(r"zoom\w* (in|out) slowly|slow\w* zoom\w*", "", told.text.lower())
        for pace, contrary in (("slow", "fast"), ("fast", "slow")):
            assert scene.subject.pace == pace or not mentions(text, phrases.PACE_WORDS[pace]), (scene, told)
            contraries = tuple(verb for verb in phrases.PACE_VERBS[contrary] if verb not in ("moving", "zooming"))
            assert scene.subject.pace != pace or not mentions(text, contraries), (scene, told)


def test_the_nouns_of_one_kind_never_name_another_one_alone():
    owners = [noun for options in phrases.NOUNS.values() for noun in set(options)]
    assert len(owners) == len(set(owners))


def test_the_pattern_of_a_backdrop_is_told(held_out):
    pattern = {
        "gradient": ("gradient", "fading", "fades", "shaded"),
        "stripes": ("stripes", "striped", "stripe"),
        "checkerboard": ("checkerboard", "checkered", "chequered", "checked", "checks", "chessboard"),
        "stars": ("starry", "stars", "night sky"),
    }
    for scene, caption_ in held_out:
        told = {name for name, options in pattern.items() if mentions(caption_.text, options)}
        assert told - ({"stars"} if scene.subject.kind == "star" else set()) <= {scene.backdrop}, (scene, caption_)
        assert scene.backdrop == "plain" or scene.backdrop in told, (scene, caption_)


def tables(*, held_out: bool) -> set[str]:
    """The templates of one side."""
    found: set[str] = set()
    for name, value in vars(templates).items():
        if name.isupper() and name.startswith("HELD_OUT") == held_out and "JOINTS" not in name and name != "OPENERS":
            found |= set(value)
    return found


def test_templates_of_the_two_sides_are_disjoint_and_each_side_draws_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Slots, "__getitem__", lambda self, slot: f"{{{slot}}}")
    monkeypatch.setattr(captions, "_dress", lambda text, rng: text)
    monkeypatch.setattr(captions, "_with_remarks", lambda text, *rest: text)
    monkeypatch.setattr(captions, "_plainest", lambda scene, rng: Caption("{a} {ing} {on}", frozenset()))
    assert not tables(held_out=False) & tables(held_out=True)
    # Many scenes: one rich one in five is a pair, and few captions tell of a simple one no more than its subject.
    found = [*drawn(5000, rich=0.0), *drawn(8000, rich=1.0)]
    assert {told.text for _, told in found} == tables(held_out=False)
    assert {told.text for _, told in drawn(900, held_out=True, rich=0.8)} == tables(held_out=True)


def test_marks_of_held_out_templates_are_never_in_training(training, rich_training, held_out, rich_held_out):
    marks = ("you can see", "while it is", "in front of us", "we watch", "this is a", "in this clip there is")
    said = " ".join(told.text.lower() for _, told in (*held_out, *rich_held_out))
    assert all(mark in said for mark in marks)
    # It may be said of the time and the weather that it "is raining", "while it is night".
    weather = re.compile(r"while it is (raining|snowing|windy|day|night|dark|late|evening|sunset|getting)")
    for _, told in (*training, *rich_training):
        text = weather.sub("", told.text.lower())
        assert not any(mark in text for mark in marks), text


def test_reserved_pairs_are_spoken_on_their_own_side_only(monkeypatch: pytest.MonkeyPatch):
    heard: list[tuple[bool, bool]] = []
    draw = Slots._motion

    def watched(self: Slots, motion: str) -> tuple[str, str]:
        pair = draw(self, motion)
        heard.append((self.held_out, reserved(*pair)))
        return pair

    monkeypatch.setattr(Slots, "_motion", watched)
    drawn(300, rich=0.5)
    drawn(300, held_out=True, rich=0.5)
    assert set(heard) == {(False, False), (True, True)}


def test_reserved_remarks_are_made_on_their_own_side_only(monkeypatch: pytest.MonkeyPatch):
    heard: list[tuple[bool, bool]] = []
    draw = captions._remark

    def watched(name, options, rng, held_out):
        remark = draw(name, options, rng, held_out)
        heard.append((held_out, reserved(remark.where, remark.text)))
        return remark

    monkeypatch.setattr(captions, "_remark", watched)
    drawn(300, rich=1.0)
    drawn(300, held_out=True, rich=1.0)
    assert set(heard) == {(False, False), (True, True)}


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
        scene = Scene((Subject(shape, "orange", "large", (motion,)),), backdrop, "black")
        assert basic(scene)
        assert caption(scene, rng)
        assert caption(scene, rng, held_out=True)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_has_words_for_everything_on_both_sides(setting: str):
    rng = random.Random(2)
    times = TIMES if setting != "space" else ("",)
    plans = [((motion,), "") for motion in RICH_MOTIONS]
    plans += [((motion,), pace) for motion in ("left", "up") for pace in ("slow", "fast")]
    plans += [(tuple(rng.sample(STEPS, 2)), "") for _ in range(8)]
    for motions, pace in plans:
        for kind in ("house", "bird"):
            subject = Subject(kind, "red", "small", motions, pace=pace)
            weather = rng.choice(("", *WEATHERS)) if setting != "space" else ""
            scene = Scene((subject,), setting, "", "", rng.choice(times), weather, rng.choice(("", *CAMERAS)))
            assert describe(scene, rng).named
            assert describe(scene, rng, held_out=True).named
    for relation in RELATIONS:
        for motion in ("left", "right") if relation == "following" else ("still",):
            pair = tuple(
                Subject(kind, colour, "small", (motion,)) for kind, colour in (("cat", "red"), ("car", "blue"))
            )
            scene = Scene(pair, setting, "", relation, times[0])
            assert "relation" in describe(scene, rng, held_out=True).named
            assert describe(scene, rng).named


def test_one_subject_after_another_is_told_from_both_sides():
    pair = (Subject("bird", "blue", "small"), Subject("house", "red", "small"))
    rng = random.Random(5)
    said = [caption(Scene(pair, "hills", relation="above", time="day"), rng).lower() for _ in range(300)]
    assert any(re.search(r"bird (right |directly )?above .*red house", text) for text in said)
    assert any(re.search(r"house (below|under|beneath) .*blue bird", text) for text in said)
    # Never the wrong way round.
    assert not any(re.search(r"bird (below|under|beneath) ", text) for text in said)
    assert not any(re.search(r"house (above|over) (a|the|one) \w+ bird", text) for text in said)


def test_two_motions_are_told_in_their_order():
    scene = Scene((Subject("square", "red", "small", ("up", "spinning")),), "plain", "blue")
    rng = random.Random(6)
    text = " ".join(caption(scene, rng).lower() for _ in range(400))
    for joint in ("first", "and then", "after that", "later", "followed by"):
        assert joint in text
    for _ in range(400):
        said = caption(scene, rng, held_out=True).lower()
        up, spin = (min(said.find(f" {word}") % 999 for word in spoken(motion)) for motion in scene.subject.motions)
        assert up < spin, said


def test_every_word_of_held_out_captions_occurs_in_training(held_out, rich_held_out):
    rng = random.Random(3)
    heard = {word for _ in range(16000) for word in split(caption(random_scene(rng, rich=0.8), rng))}
    assert {word for _, told in (*held_out, *rich_held_out) for word in split(told.text)} <= heard
    assert heard <= set(words())
    assert len(set(words()) - heard) <= 40, set(words()) - heard


def test_words_are_all_and_only_lower_case_and_sorted(everything):
    assert list(words()) == sorted(set(words()))
    assert all(word == word.lower() for word in words())
    assert {word for _, told in everything for word in split(told.text)} <= set(words())


def test_captions_are_clean_text(everything):
    for _, told in everything:
        assert not re.search(r"[{}]|  |^\s|\s$|,,|\.\.|\s[,.;:!]|,[.;]", told.text), told.text
        assert len(split(told.text)) <= LONGEST


def test_articles_fit(everything):
    wrong = re.compile(r"\ba (?=[aeio])|\ban (?=[^aeiou\W])|\b(a|an|the) (a|an|the)\b")
    for _, told in everything:
        assert not wrong.search(without_fillers(told.text.lower())), told.text


def without_fillers(text: str) -> str:
    """A text less every stray word that may part an article from its noun."""
    return re.sub(rf"\b(a|an|the) (?:{'|'.join(phrases.FILLERS)}) ", "", text)


def test_forms_of_verbs():
    assert [plain_form(form) for form in ("moves", "goes", "flies", "passes", "diminishes", "races")] == [
        "move",
        "go",
        "fly",
        "pass",
        "diminish",
        "race",
    ]
    assert plain_form("is still") == "be still"
    assert plain_form("does not move") == "not move"
