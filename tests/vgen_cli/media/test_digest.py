"""The hash that a file which enters is known by."""

from __future__ import annotations

import hashlib

import pytest

from vgen_cli.media.digest import digest


def test_of_a_file(tmp_path):
    data = bytes(range(256)) * 5000  # more than a piece
    (tmp_path / "photo.png").write_bytes(data)
    assert digest(tmp_path / "photo.png") == hashlib.sha256(data).hexdigest()


def test_of_a_folder_it_is_its_frames_alone(tmp_path):
    for name, data in (("00001.png", b"two"), ("00000.png", b"one"), ("recipe.json", b"{}")):
        (tmp_path / name).write_bytes(data)
    assert digest(tmp_path) == hashlib.sha256(b"onetwo").hexdigest()
    (tmp_path / "notes.txt").write_bytes(b"mine")
    assert digest(tmp_path) == hashlib.sha256(b"onetwo").hexdigest()


def test_of_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest(tmp_path / "none.png")
