"""A shell to type into, with the whole command line behind it, and a hub to fetch from."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from vgen_cli.app import main


@dataclass
class Typed:
    """What a command line ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def shell(tmp_path, monkeypatch, capfd):
    """`shell("t2v", "a prompt")` in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Typed(code, out, err)

    return run


@dataclass
class Hub:
    """A hub of our own on loopback: what huggingface_hub asks of one, and the faults that one can have.

    Large files (of `LARGE` bytes and more) are sent on to another origin, as the real one does.

    Attributes:
        files: (repository, path) → content.
        cuts: path → after how many bytes its connections break off, one after the other.
        damaged, gated, private, broken: paths, or repositories, with that fault.
        asked: method, path and range of every request.
    """

    endpoint: str = ""
    files: dict = field(default_factory=dict)
    cuts: dict = field(default_factory=dict)
    damaged: set = field(default_factory=set)
    gated: set = field(default_factory=set)
    private: set = field(default_factory=set)
    broken: set = field(default_factory=set)
    asked: list = field(default_factory=list)
    token: str = ""

    LARGE = 1000
    COMMIT = "1" * 40

    def ranges(self, path):
        """The ranges in which a file's content was asked for."""
        return [given for method, asked, given in self.asked if method == "GET" and asked.endswith(path)]


class _Answers(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.asked.append((self.command, path, self.headers.get("Range")))
        if path.startswith("/content/"):
            _, _, org, name, path = path.split("/", 4)
            return self.content(f"{org}/{name}", path)
        if path.startswith("/api/models/"):
            repo = "/".join(path.split("/")[3:5])
            listed = [{"rfilename": path} for owner, path in hub.files if owner == repo]
            return self.faulty(repo) or self.said(json.dumps({"id": repo, "sha": hub.COMMIT, "siblings": listed}))
        if "/resolve/" not in path:
            return self.said("", 404)
        org, name, _, _, path = path[1:].split("/", 4)
        repo = f"{org}/{name}"
        if self.faulty(repo, path):
            return None
        content = hub.files[repo, path]
        sha = hashlib.sha256(content).hexdigest()
        if len(content) < hub.LARGE:
            return self.content(repo, path, {"X-Repo-Commit": hub.COMMIT, "ETag": f'"{sha[:40]}"'})
        elsewhere = hub.endpoint.replace("127.0.0.1", "localhost") + f"/content/{repo}/{path}"
        return self.said("", 302, {
            "X-Repo-Commit": hub.COMMIT, "X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(content)),
            "Location": elsewhere,
        })  # fmt: skip

    def faulty(self, repo, path=None):
        hub = self.hub
        if repo in hub.broken:
            return self.said("", 503) or True
        if repo in hub.gated and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.said("", 403, {"X-Error-Code": "GatedRepo"}) or True
        if repo in hub.private or not any(owner == repo for owner, _ in hub.files):
            return self.said("", 401, {"X-Error-Code": "RepoNotFound"}) or True
        if path is not None and (repo, path) not in hub.files:
            return self.said("", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": hub.COMMIT}) or True
        return False

    def content(self, repo, path, headers=()):
        content = self.hub.files[repo, path]
        if path in self.hub.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        self.send_response(206 if start else 200)
        for name, value in (*dict(headers).items(), ("Content-Length", str(len(content) - start))):
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = self.hub.cuts.get(path)
        if cuts:
            self.wfile.write(content[start : start + cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(content[start:])

    def said(self, text, status=200, headers=()):
        self.send_response(status)
        for name, value in (*dict(headers).items(), ("Content-Length", str(len(text)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A `Hub` that huggingface_hub asks, with an empty cache at `tmp_path / "hub"`."""
    from huggingface_hub import constants

    made = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"hub": made}))
    made.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", made.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", made.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between the tries of a connection
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    yield made
    server.shutdown()
    server.server_close()
