"""Checkpoints on the hub, by a server on loopback that speaks the few requests; offline they are one line.

Also tests `backbones/description.py`.
"""

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants

from lightning_modules import FrozenEncoder
from tests.helpers.refusal import refused
from vidcorr.backbones import NamedNetwork, Network, build_feature_extractor, load
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.backbones.description import source_of
from vidcorr.backbones.networks import local_file

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server with the repository `me/vfs`: a function that adds a file to it, and the paths that were asked for."""
    asked, listed, root = [], [], tmp_path / "hub"

    class Server(SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("ETag", f'"{hashlib.sha256(self.path.encode()).hexdigest()}"')
            super().end_headers()

        def log_message(self, *_):
            asked.append(self.path)

    def add(name, content):
        listed.append({"type": "file", "path": name, "size": len(content), "oid": "0"})
        files = {f"me/vfs/resolve/main/{name}": content, "api/models/me/vfs/tree/main": json.dumps(listed).encode()}
        for place, written in files.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_bytes(written)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield add, asked
    server.shutdown()
    server.server_close()


def test_a_checkpoint_is_downloaded_once_and_named_with_its_revision(hub, tmp_path, monkeypatch):
    add, asked = hub
    write_checkpoint(FrozenEncoder("raw_colour"), tmp_path / "own.ckpt")
    add("runs/last.ckpt", (tmp_path / "own.ckpt").read_bytes())
    add("README.md", b"card")
    weights = f"weights of hf://me/vfs/runs/last.ckpt at {REVISION[:12]}"
    for address in ("hf://me/vfs/runs/last.ckpt", "hf://me/vfs"):
        assert Network.of(load(address)).weights == weights
    assert asked
    images = torch.rand(1, 3, 64, 64)
    expected = build_feature_extractor(tmp_path / "own.ckpt", "colour", 4)(images)
    named = NamedNetwork("hf://me/vfs/runs/last.ckpt@colour/4")
    assert (named.name, named.stage, named.stride) == ("hf://me/vfs/runs/last.ckpt@colour/4", "colour", 4)
    assert torch.equal(load(named).view()(images), expected)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked.clear()
    assert Network.of(load("hf://me/vfs/runs/last.ckpt")).weights == weights
    assert not asked


def test_what_is_not_there_is_one_line(hub, monkeypatch):
    add, _ = hub
    add("a.ckpt", b"a")
    add("b.safetensors", b"b")
    refused(ValueError, "hf://me/vfs: holds 2 files of weights", local_file, "hf://me/vfs")
    for address in ("hf://me/vfs/c.ckpt", "hf://me"):
        assert "\n" not in refused(ValueError, f"{address}: ", local_file, address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(ValueError, "hf://me/vfs/c.ckpt: ", local_file, "hf://me/vfs/c.ckpt")


def test_a_file_elsewhere_has_its_own_name(tmp_path):
    assert source_of(tmp_path / "snapshots" / "a" / "last.ckpt") == "last.ckpt"
