"""Freed memory stays with the process while it trains."""

import subprocess
import sys

import pytest
import pytorch_lightning as pl

from lightning_modules import VFSSimSiam, base
from lightning_modules.components import freed_memory
from tests.helpers.tiny import TINY, loader

PAGES_OF_THREE_BLOCKS = """
import ctypes, resource, runpy, sys
module = runpy.run_path(sys.argv[1])
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        block = libc.malloc(100 << 20)
        ctypes.memset(block, 1, 100 << 20)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = [pages(), module["keep_freed_memory"](), pages(), pages()]
module["hand_back_freed_memory"]()
print(*found, pages())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's switch")
@pytest.mark.parametrize("by_user", [False, True])
def test_pages_are_fetched_once(by_user, monkeypatch):
    for name in freed_memory.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    if by_user:
        monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(1 << 20))
    command = [sys.executable, "-c", PAGES_OF_THREE_BLOCKS, freed_memory.__file__]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    before, kept, _, later, after = output.split()
    if by_user:
        assert kept == "False"
        assert int(later) > 0.5 * int(before)
    elif kept == "True":
        assert int(later) < 0.1 * int(before)
        assert int(after) > 0.5 * int(before)
    else:
        pytest.skip("a C library without mallopt")


def test_a_fit_on_a_cpu_keeps_memory_until_its_end(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(base, "keep_freed_memory", lambda: calls.append("keep"))
    monkeypatch.setattr(base, "hand_back_freed_memory", lambda: calls.append("hand back"))
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    pl.Trainer(default_root_dir=tmp_path, max_steps=1, **options).fit(VFSSimSiam(**TINY), loader(4))
    assert calls == ["keep", "hand back"]
