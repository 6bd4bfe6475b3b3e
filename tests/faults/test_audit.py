"""Files may name listed code alone (`files/listed.py`): Python's audit sees nothing opened, asked or started.

Each form stands where a file names code: as its class, as an argument, as its encoder, and within another encoder.
"""

import json
import os
import struct
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import pytest
import torch

from tests.helpers.refusal import refused
from vidcorr import FrozenEncoder
from vidcorr.backbones import load
from vidcorr.backbones.files.listed import names_in
from vidcorr.cli import main
from vidcorr.datasets.generated import write_davis

pytestmark = pytest.mark.usefixtures("canary")
REPOSITORY = Path(__file__).parents[2]
OURS = (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), Path("/proc"), Path("/sys"), Path("/dev"), Path("/etc"))
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile")
ASKS = ("socket.connect", "socket.getaddrinfo", "urllib.Request", "http.client.connect")
FROZEN = "vidcorr.lightning_modules.frozen_encoder.FrozenEncoder"
LIIR = "vidcorr.lightning_modules.liir.Liir"
TABLES = json.loads(Path(__file__).with_name("audit.json").read_text())
"""Names of code; configurations of transformers; arguments by which a library would read or fetch weights; others that
Lightning or a parser would make objects of.
"""


def files():
    """Yield class, arguments and encoder of hostile files."""
    for form in TABLES["forms"]:
        within = {"spec": "vidcorr.lightning_modules:CoSettle", "arguments": {"backbone": {"spec": form}}}
        yield form.replace(":", "."), {"spec": "bait/x.pth", "backbone": form}, None
        yield FROZEN, {"spec": form}, form
        yield FROZEN, {"spec": form.encode()}, {}
        yield FROZEN, {"spec": "raw_colour"}, {"spec": form}
        yield FROZEN, {"spec": within}, within
    for configuration in TABLES["configurations"]:
        yield FROZEN, {"spec": {"spec": "transformers:dinov2", "arguments": configuration}}, None
        yield FROZEN, {"spec": "raw_colour"}, {"spec": "transformers:dinov2", "arguments": configuration}
    for encoder in TABLES["of libraries"]:
        yield FROZEN, {"spec": encoder}, None
        yield FROZEN, {"spec": "raw_colour"}, encoder
    for arguments in TABLES["of lightning"]:
        yield LIIR, arguments, None
    for name in sorted(names_in("vidcorr.lightning_modules")):
        for argument, value in product(("spec", "backbone", "start"), ("bait/x.pth", "evil:net")):
            yield f"vidcorr.lightning_modules.{name}", {argument: value}, {"spec": "x.ckpt"}
    for name in sorted(names_in("vidcorr.backbones")):
        yield (
            FROZEN,
            {"spec": "raw_colour"},
            {"spec": f"vidcorr.backbones:{name}", "arguments": {"network": "bait/x.pth"}},
        )


FRAMES = "davis/JPEGImages/480p/synthetic-000"
COMMANDS = {
    "load": lambda: load("x.ckpt"),
    "load_from_checkpoint": lambda: FrozenEncoder.load_from_checkpoint("x.ckpt"),
    "evaluate": lambda: main(["evaluate", "x.ckpt", "--on", "davis=davis"]),
    "validate": lambda: main(["validate", "--ckpt_path", "x.ckpt", "--trainer.logger=false"]),
    "fit": lambda: main(["fit", "--ckpt_path", "x.ckpt", "--trainer.fast_dev_run=true", "--trainer.logger=false"]),
    "resume": lambda: main(["resume", "x.ckpt"]),
    "export": lambda: main(["export", "x.ckpt", "out.safetensors"]),
    "predict": lambda: main(["predict", FRAMES, "--box=1,1,9,9", "--model", "x.ckpt"]),
    "backbone": lambda: main(["validate", "--model=VFSSimSiam", "--model.backbone=x.ckpt", "--trainer.logger=false"]),
    "inspect": lambda: main(["inspect", "x.ckpt"]),
}
seen: list[str] | None = None


def watch(event, arguments):
    """Note what a process opens, asks and starts."""
    if seen is None:
        return
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = Path(str(arguments[0], "utf-8") if isinstance(arguments[0], bytes) else arguments[0]).absolute()
        is_bait = "bait" in path.parts or path.name == "evil.py"
        if is_bait or not any(map(path.is_relative_to, (*OURS, Path.cwd()))):
            seen.append(f"open {path}")
    elif event in ASKS or (event in STARTS and arguments[0] != "git"):  # by which a run notes the commit of its code
        seen.append(f"{event} {arguments}")


sys.addaudithook(watch)  # for ever: it is quiet outside of `audited`


@contextmanager
def audited() -> Iterator[list[str]]:
    """Note events within a block."""
    global seen
    seen = []
    try:
        yield seen
    finally:
        seen = None


def shares():
    """Yield command, the first of its files, and the step to the next: all are loaded in the slow tier."""
    for number, command in enumerate(COMMANDS):
        if command in ("load", "load_from_checkpoint", "evaluate", "inspect"):  # they need no Trainer
            yield pytest.param(command, number, 71 if number else 41)
        yield pytest.param(command, number, 19 if number else 1, marks=pytest.mark.slow)
        if number:
            yield pytest.param(command, 0, 1, marks=pytest.mark.exhaustive)


@pytest.mark.parametrize(("command", "first", "step"), list(shares()))
def test_nothing_is_opened_asked_or_started_for_a_file(command, first, step, monkeypatch):
    # without folders of other tests, which importlib.metadata looks into
    monkeypatch.setattr(sys, "path", [each for each in sys.path if any(map(Path(each).is_relative_to, OURS))])
    write_davis("davis", 1, frames=2, size=(32, 32))
    Path("bait").mkdir()
    for bait in ("bait/x.pth", "bait/config.json", "bait/hubconf.py", "evil.py", "config.yaml", "run.json"):
        Path(bait).write_text("open('ran', 'w')")
    for class_path, arguments, encoder in list(files())[first::step]:
        about = {"class_path": class_path, "version": "1", "format": 2, "encoder": encoder}
        content = {"vidcorr": about, "state_dict": {}, "hyper_parameters": arguments, "global_step": 0, "epoch": 0}
        content["pytorch-lightning_version"] = "2.6.0"
        torch.save(content, "x.ckpt")
        with audited() as events, suppress(ValueError, SystemExit):
            COMMANDS[command]()
        assert events == [], (class_path, arguments, encoder, events)
        assert "evil" not in sys.modules, (class_path, arguments, encoder)
    assert not Path("ran").exists()


class Started:
    """An object that an unpickler would turn into a shell command."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def with_a_file_inside(path):
    torch.save({"state_dict": {"a": torch.zeros(1)}}, path)
    torch.save(Started(), path.with_name("inner"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(path.with_name("inner"), "other/data.pkl")


def of_the_oldest_form(path):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("../../storages"))


def safetensors(table, length=None):
    return struct.pack("<Q", length or len(table)) + table + bytes(4)


ENTRY = b'{"a":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}'
KINDS = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "link to itself": lambda path: path.symlink_to(path),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to a text": lambda path: path.symlink_to("/etc/passwd"),
    "file in a file": with_a_file_inside,
    "before 0.1.10": of_the_oldest_form,
    "table of 100 MB": lambda path: path.write_bytes(safetensors(ENTRY % (1, 4) + b" " * (100 << 20) + b"}")),
    "table too long": lambda path: path.write_bytes(safetensors(b'{"a":{}}', 1 << 16)),
    "weights too long": lambda path: path.write_bytes(safetensors(ENTRY % (10**12, 4 * 10**12) + b"}")),
}
"""Kind of a file → what writes one."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_one_line(kind, tmp_path):
    path = tmp_path / "x.ckpt"
    KINDS[kind](path)
    line = refused(ValueError, "x.ckpt: ", load, path)
    assert "\n" not in line
    assert "In PyTorch" not in line
    assert not Path("ran").exists()
