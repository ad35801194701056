"""Files between machines: known by place, size and time, sent in pieces, named once; rooms that are seen or are not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vgen_cli.batch.engines import carrying
from vgen_cli.batch.engines.carrying import Input, Made, Rooms, Store, bring, entered, moved, pieces, send
from vgen_cli.errors import MediaError
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(carrying, "PIECE", 10)


def direct(other):
    """Asks an object, as if it were far away."""
    return lambda what, *arguments: lambda: getattr(other, what)(*arguments)


class Far:
    """The side where a clip was made."""

    def piece(self, made, part, offset):
        return made.piece(part, offset)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 35])
def test_pieces(tmp_path, size):
    path = tmp_path / "a"
    path.write_bytes(bytes(range(size)))
    found = list(pieces(path))
    assert b"".join(data for _, data in found) == path.read_bytes()
    assert [offset for offset, _ in found] == list(range(0, size, 10)) or found == [(0, b"")]


def test_what_enters_is_known_by_size_and_time(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    given = Input.of(str(path))
    assert given.is_here()
    assert given.key == Input.of(str(path)).key
    path.write_bytes(b"123456")
    assert not given.is_here()
    assert given.key != Input.of(str(path)).key
    path.unlink()
    assert not given.is_here()
    with pytest.raises(MediaError, match=r"a\.png cannot be read"):
        carrying.inputs([str(path)])


@pytest.mark.parametrize("size", [0, 7, 10, 57])
def test_a_file_is_sent(tmp_path, size):
    path = tmp_path / "here" / "a picture.png"
    path.parent.mkdir()
    path.write_bytes(os.urandom(size))
    given, store = Input.of(str(path)), Store(tmp_path / "there")
    assert not store.has(given)
    send(given, "1", direct(store))
    assert store.has(given)
    assert store.place(given).read_bytes() == path.read_bytes()
    assert store.place(given).name == "a picture.png"
    send(given, "2", direct(store))  # as another process of the machine may do at the same time
    assert [each.name for each in (tmp_path / "there").iterdir()] == [given.key]


def test_a_folder_of_frames_is_sent(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("00000.png", "00001.png", "recipe.json", "notes.txt"):
        (folder / name).write_text(name * 3)
    given, store = Input.of(str(folder)), Store(tmp_path / "there")
    send(given, "1", direct(store))
    found = {each.name: each.read_text() for each in store.place(given).iterdir()}
    assert found == {name: name * 3 for name in ("00000.png", "00001.png", "recipe.json")}


def test_a_store_keeps_what_is_in_use(tmp_path):
    store = Store(tmp_path / "there", limit=25)
    given = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        path.write_bytes(bytes(10))
        given.append(Input.of(str(path)))
        send(given[-1], "1", direct(store))
    assert all(map(store.has, given))
    past = time.time() - 7200
    for each in given[:2]:
        os.utime(store.place(each).parent, (past, past))
    more = tmp_path / "more.png"
    more.write_bytes(bytes(10))
    send(Input.of(str(more)), "1", direct(store))
    assert [store.has(each) for each in (*given, Input.of(str(more)))] == [False, False, True, True, True]


def test_recipes_with_other_paths():
    recipe = Recipe.create(
        command="i2v", image="a.png", last_image="b.png", image_at=["5:c.png:0.5"], reference=["a.png", "d.png"]
    )
    found = moved(recipe, {"a.png": "/x/1", "c.png": "/x/3"})
    assert found.files == ("/x/1", "b.png", "/x/3", "/x/1", "d.png")
    assert found.image_at == ("5:/x/3:0.5",)
    assert moved(recipe, {}) == recipe


def made(folder, name, *, seen):
    """A clip, or a folder of frames, as a worker leaves it."""
    folder.mkdir()
    path = folder / name
    if name.endswith(".mp4"):
        path.write_bytes(b"a clip that is longer than a piece")
    else:
        path.mkdir()
        for number in range(3):
            (path / f"{number:05d}.png").write_bytes(bytes([number]) * (number * 15))
    return Made.at(path, seen=seen)


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize(("name", "container"), [("a.mp4", "mp4"), ("frames", "png")])
def test_a_clip_is_brought_and_named_once(tmp_path, seen, name, container):
    (tmp_path / "out").mkdir()
    place = Destination(tmp_path / "out" / name, container)
    rooms = Rooms()
    room, token = rooms.beside(place)
    folder = Path(entered(room, token, "1")) if seen else tmp_path / "far"
    if seen:
        folder.rmdir()
    one = made(folder, name, seen=seen)
    before = {each.name: each.read_bytes() for each in sorted(Path(one.path).glob("*"))} or Path(one.path).read_bytes()
    bring(one, place, direct(Far()), overwrite=False)
    after = {each.name: each.read_bytes() for each in sorted(place.path.glob("*"))} or place.path.read_bytes()
    assert after == before
    rooms.clear()
    assert [each.name for each in (tmp_path / "out").iterdir()] == [name]


def test_a_place_that_is_taken_stays_as_it_is(tmp_path):
    place = Destination(tmp_path / "a.mp4", "mp4")
    place.path.write_text("mine")
    with pytest.raises(MediaError, match="appeared while it was being made"):
        bring(made(tmp_path / "far", "a.mp4", seen=False), place, direct(Far()), overwrite=False)
    assert place.path.read_text() == "mine"
    bring(made(tmp_path / "far again", "a.mp4", seen=False), place, direct(Far()), overwrite=True)
    assert place.path.read_text() == "a clip that is longer than a piece"


def test_damage_on_the_way_is_seen(tmp_path):
    class Damaging:
        def piece(self, made, part, offset):
            return made.piece(part, offset).replace(b"l", b"L")

    place = Destination(tmp_path / "a.mp4", "mp4")
    with pytest.raises(MediaError, match="damaged on its way"):
        bring(made(tmp_path / "far", "a.mp4", seen=False), place, direct(Damaging()), overwrite=False)
    assert [each.name for each in tmp_path.iterdir()] == ["far"]


def test_rooms_are_seen_by_their_token(tmp_path):
    rooms = Rooms()
    room, token = rooms.beside(Destination(tmp_path / "a.mp4", "mp4"))
    assert rooms.beside(Destination(tmp_path / "b.mp4", "mp4")) == (room, token)
    assert entered(room, "another", "1") is None
    assert entered(room, token, "1") == Path(room) / "1"
    assert entered(room, token, "1") is None  # a turn is taken once
    assert entered(str(tmp_path / "none"), token, "1") is None
    rooms.clear()
    assert entered(room, token, "2") is None
    assert list(tmp_path.iterdir()) == []


def test_a_room_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="cannot be written"):
        Rooms().beside(Destination(tmp_path / "file" / "a.mp4", "mp4"))
