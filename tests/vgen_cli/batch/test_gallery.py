"""The gallery: filled without a way out for hostile text, and working in a real browser from the file system."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.batch import gallery
from vgen_cli.batch.gallery import Gallery, as_json, filled
from vgen_cli.batch.jobs import Job
from vgen_cli.batch.journal import History, Journal
from vgen_cli.batch.outdir import Shard
from vgen_cli.batch.posters import make_poster
from vgen_cli.batch.report import Rows
from vgen_cli.media.destination import Destination
from vgen_cli.media.ffmpeg import run
from vgen_cli.recipe import Recipe

HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> & {{batch}} '\""
)
WHEN = "2026-11-21T11:00:00+00:00"


class _Elements(HTMLParser):
    """Tags, the text of scripts and styles, and every address in the page."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.inside, self.texts = [], [], [], {}

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        named = dict(attributes)
        self.addresses += [named[name] for name in ("src", "href", "srcset", "action") if name in named]
        self.inside = [tag, named.get("id") or named.get("type") or ""]

    def handle_data(self, data):
        key = tuple(self.inside)
        self.texts[key] = self.texts.get(key, "") + data

    def handle_endtag(self, tag):
        self.inside = []


def parsed(text):
    found = _Elements()
    found.feed(text)
    found.close()
    return found


def batch_of(found):
    return json.loads(found.texts["script", "batch"])


def test_the_page_is_whole_and_needs_nothing_from_elsewhere():
    text = filled("night.txt", {"rows": []})
    found = parsed(text)
    assert found.addresses == []
    assert "{{" not in text.replace("{{batch}}", "")
    assert "http:" not in text
    assert "https:" not in text
    policy = re.search(r'Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'")
    for tag, name in (("script", ""), ("style", "")):
        allowed = "sha256-" + base64.b64encode(hashlib.sha256(found.texts[tag, name].encode()).digest()).decode()
        assert f"{tag}-src '{allowed}'" in policy


@given(st.text(), st.recursive(st.none() | st.text(), lambda each: st.dictionaries(st.text(), each)))
def test_no_text_leaves_its_place(title, value):
    plain = parsed(filled("a", {"rows": []}))
    found = parsed(filled(title, {"rows": [value]}))
    assert found.tags == plain.tags
    assert batch_of(found) == {"rows": [value]}


@given(st.text())
def test_json_means_nothing_to_html(text):
    assert not set("<>&") & set(as_json(text))
    assert json.loads(as_json(text)) == text


@pytest.fixture
def rows(tmp_path):
    """A batch of four clips: two done, one of them in a folder of a hostile name; one failed; one waiting."""
    names = ("0001-a.mp4", "s u#b/<b>%41:.mp4", "0003-c.gif", "0004-d.mp4")
    jobs = []
    for line, name in enumerate(names, 1):
        recipe = Recipe.create(command="t2v", prompt=HOSTILE if line == 2 else f"prompt {line}", seed=line, steps=3)
        jobs.append(Job(line, line, recipe, Destination(tmp_path / name, name[-3:]), f"key{line}"))
    (tmp_path / "s u#b").mkdir()
    with Journal(tmp_path, Shard(), file="rows.txt", rows=4) as journal:
        for job in jobs[:2]:
            source = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=8:d=2"]
            run([*source, "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(job.place.path)], "making a clip")
            facts = {"width": 96, "height": 64, "num_frames": 16, "fps": 8.0, "duration": 2.0, "codec": "h264"}
            journal.started(job)
            journal.done(job, seconds=3 - job.line, facts=facts)
            make_poster(job.place, facts, tmp_path / "posters" / f"{job.key}.jpg", tmp_path)
        journal.failed(jobs[2], seconds=1.0, error="no <room>")
    return Rows("rows.txt", tmp_path, tuple(jobs), {7: "'wdth' is no key"})


def test_what_the_cards_say(rows):
    batch = batch_of(parsed(Gallery(rows).page(History(rows.folder).update(), running=True)))
    known = [(each["line"], each["status"], each.get("error"), each.get("poster")) for each in batch["rows"]]
    assert known == [
        (1, "done", None, "posters/key1.jpg"),
        (2, "done", None, "posters/key2.jpg"),
        (3, "failed", "no <room>", None),
        (4, "waiting", None, None),
        (7, "bad", "'wdth' is no key", None),
    ]
    second = batch["rows"][1]
    assert second["href"] == "./s%20u%23b/%3Cb%3E%2541%3A.mp4"
    assert second["prompt"] == HOSTILE
    assert second["settings"] == {"steps": "3"}
    assert (second["width"], second["frames"], second["duration"], second["seconds"]) == (96, 16, 2.0, 1)


def test_a_started_row_is_in_work_while_the_batch_runs(rows):
    with Journal(rows.folder, Shard(), file="rows.txt", rows=4) as journal:
        journal.started(rows.jobs[3])
    history = History(rows.folder).update()
    states = [
        batch_of(parsed(Gallery(rows).page(history, running=running)))["rows"][3]["status"] for running in (True, False)
    ]
    assert states == ["working", "waiting"]


def test_more_rows_than_a_page_can_show(rows, monkeypatch):
    monkeypatch.setattr(gallery, "MOST", 2)
    batch = batch_of(parsed(Gallery(rows).page(History(rows.folder).update(), running=False)))
    assert ([each["line"] for each in batch["rows"]], batch["left_out"]) == ([1, 2, 7], 2)


@pytest.mark.parametrize("size", ["1280x720", "96x64", "64x400"])
def test_a_picture_is_small_and_of_the_clip_s_shape(tmp_path, size):
    from PIL import Image

    clip = tmp_path / "clip.mp4"
    run(["-f", "lavfi", "-i", f"testsrc2=s={size}:r=8:d=1", str(clip)], "making a clip")
    make_poster(Destination(clip, "mp4"), {"duration": 1.0}, tmp_path / "posters" / "a.jpg", tmp_path)
    with Image.open(tmp_path / "posters" / "a.jpg") as picture:
        width, height = map(int, size.split("x"))
        assert max(picture.size) <= 480
        assert picture.size[0] / picture.size[1] == pytest.approx(width / height, rel=0.03)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "posters"]


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_script_is_javascript():
    script = Path(gallery.__file__).with_name("page") / "script.js"
    subprocess.run(["node", "--check", str(script)], check=True)


@pytest.fixture
def shown(rows, browser):
    """The gallery of `rows`, open in a browser from the file system."""
    path = rows.folder / "index.html"
    path.write_text(Gallery(rows).page(History(rows.folder).update(), running=False), encoding="utf-8")
    browser.open(path.as_uri())
    browser.until("document.querySelectorAll('.card').length === 5")
    return browser


def lines(browser):
    return browser.run("return [...document.querySelectorAll('.card .prompt')].map(each => each.textContent)")


def test_in_a_browser_text_is_text_and_nothing_lacks(shown):
    shown.until("[...document.querySelectorAll('.frame img')].every(each => each.complete && each.naturalWidth > 0)")
    assert shown.run("return document.title") == "rows.txt"
    assert lines(shown)[1] == HOSTILE
    assert shown.run("return document.querySelector('.failed .why').innerText") == "Failed\nno <room>"
    assert shown.run("return document.getElementById('summary').textContent").startswith(
        "2 of 5 clips · 2 failed · 4 s"
    )
    assert shown.complaints() == []


def test_in_a_browser_clips_play_while_pointed_at(shown):
    shown.point_at("li:nth-child(2) .card")
    shown.until("(document.querySelector('li:nth-child(2) video') || {}).currentTime > 0.1")
    shown.point_at("h1")
    shown.until("document.querySelector('video') === null")
    assert shown.complaints() == []


def test_in_a_browser_rows_are_filtered_and_sorted(shown):
    shown.click("[data-status=done]")
    assert lines(shown) == ["prompt 1", HOSTILE]
    shown.run(
        "const sort = document.getElementById('sort'); sort.value = 'new'; sort.dispatchEvent(new Event('change'))"
    )
    assert lines(shown) == [HOSTILE, "prompt 1"]
    shown.click("[data-status=all]")
    shown.click("#text")
    shown.type('PROMPT "seed 3"')
    shown.until("document.querySelectorAll('.card').length === 1")
    assert lines(shown) == ["prompt 3"]
    assert shown.run("return document.getElementById('count').textContent") == "1 clip shown"
    assert shown.run("return location.hash") == "#q=PROMPT+%22seed+3%22&sort=new"
    shown.type("zzz")
    shown.until("!document.getElementById('none').hidden")
    shown.click("#clear")
    assert len(lines(shown)) == 5


def test_in_a_browser_everything_is_within_reach_of_the_keyboard(shown):
    shown.type("/")
    assert shown.run("return document.activeElement.id") == "text"
    shown.type("ArrowDown")
    shown.type("ArrowRight")
    assert shown.run("return document.activeElement.dataset.position") == "1"
    shown.until("(document.querySelector('li:nth-child(2) video') || {}).currentTime > 0.1")
    shown.type("Enter")
    shown.until("document.getElementById('view').open")
    assert shown.run("return document.getElementById('view-title').textContent") == HOSTILE
    told = shown.run("return document.getElementById('view-facts').innerText")
    for words in ("96×64", "16 frames, 2 s", "steps"):
        assert words in told
    assert shown.run("return document.getElementById('view-file').href").endswith("/s%20u%23b/%3Cb%3E%2541%3A.mp4")
    shown.until("(document.querySelector('#stage video') || {}).readyState >= 2")
    shown.click("#after")
    assert shown.run("return document.getElementById('view-error').textContent") == "no <room>"
    shown.type("Escape")
    shown.until("!document.getElementById('view').open")
    assert shown.run("return document.activeElement.dataset.position") == "2"


def test_in_a_browser_it_is_light_or_dark(shown):
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    before = shown.run(f"return {colour}")
    shown.click("#theme")
    assert shown.run(f"return {colour}") != before
    assert shown.complaints() == []


def test_in_a_browser_thousands_of_rows_come_as_they_are_needed(browser, tmp_path):
    made = [
        {"line": line, "name": f"{line}.mp4", "href": "./none", "status": "waiting", "prompt": f"prompt {line}"}
        for line in range(1, 8001)
    ]
    path = tmp_path / "index.html"
    path.write_text(filled("many.txt", {"written": WHEN, "running": False, "left_out": 0, "rows": made}), "utf-8")
    browser.open(path.as_uri())
    count = "document.querySelectorAll('.card').length"
    browser.until(f"{count} > 0")
    assert browser.run(f"return {count}") < 500
    browser.run("scrollTo(0, document.body.scrollHeight)")
    browser.until(f"{count} > 100")
    taken = browser.run(
        "const began = performance.now(); state.text = '77'; refresh(); return performance.now() - began"
    )
    assert taken < 500  # milliseconds
    assert all("77" in each for each in lines(browser))
