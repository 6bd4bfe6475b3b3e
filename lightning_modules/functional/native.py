"""C++ files of ours as libraries for this machine's processor, compiled at their first use."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
SWITCH = "VIDCORR_NATIVE"
"""Environment variable that turns compiled code on if it is 1."""

log = logging.getLogger(__name__)


def switched_on() -> bool:
    """Return True if the user asks for compiled code by `VIDCORR_NATIVE=1`."""
    return os.environ.get(SWITCH) == "1"


@functools.cache
def library(source: Path) -> ctypes.CDLL | None:
    """Compile a C++ file, unless an earlier process has, and load it.

    Compiled files are kept in `~/.cache/vidcorr` (or `$XDG_CACHE_HOME/vidcorr`), under a name made of the source, the
    compiler and the processor.

    Args:
        source: the file.

    Returns:
        The library, or None without Linux, AVX-512 or a compiler (`$CXX`, `c++`, `g++`, `clang++`), or if the compiler
        fails. Both are logged; callers then fall back to torch.
    """
    compiler = _compiler()
    if not _is_supported() or compiler is None:
        log.warning(f"{SWITCH}=1 has no effect: compiled code needs Linux, AVX-512 and a C++ compiler")
        return None
    try:
        with _cache_folder() as folder:
            path = folder / f"{source.stem}-{_digest(source, compiler)}.so"
            if path.exists():
                with suppress(OSError):  # a damaged file is compiled again
                    return ctypes.CDLL(str(path))
            _compile(compiler, source, path)
            return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or str(error)
        log.warning(f"{source.name}: not compiled, torch runs in its place (unset {SWITCH} to do without): {output}")
        return None


def _is_supported() -> bool:
    linux = platform.system() == "Linux" and platform.machine() == "x86_64"
    return linux and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _compiler() -> str | None:
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


@contextmanager
def _cache_folder() -> Iterator[Path]:
    """Give a folder that only this user can write, as libraries in it are run; a temporary one where there is none."""
    with ExitStack() as stack:
        try:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidcorr"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = folder.stat()
            safe = state.st_uid == os.getuid() and not state.st_mode & 0o022 and os.access(folder, os.W_OK)
            reason = "" if safe else f"{folder} is not a folder that you alone can write"
        except (OSError, RuntimeError) as error:
            reason = str(error)
        if reason:
            log.info(f"compiled code is not kept: {reason}")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vidcorr-")))
        yield folder


def _digest(source: Path, compiler: str) -> str:
    processor = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    state = os.stat(compiler)
    parts = (source.read_text(), " ".join(FLAGS), compiler, str((state.st_size, state.st_mtime_ns)), processor)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, source: Path, path: Path) -> None:
    """Write the library under another name first, so that no process loads half of one."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
    os.close(descriptor)
    try:
        command = [compiler, *FLAGS, str(source), "-o", unfinished]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        os.replace(unfinished, path)
    finally:
        Path(unfinished).unlink(missing_ok=True)
