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
        fails, which is logged. Callers then take their way without it.
    """
    compiler = _compiler()
    if not _serves() or compiler is None:
        return None
    try:
        folder = _cache()
        made = folder / f"{source.stem}-{_digest(source, compiler)}.so"
        if not made.exists():
            _compile(compiler, source, made)
        return ctypes.CDLL(str(made))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        log.warning(
            f"{source.name} was not compiled, slower code runs in its place (unset {SWITCH} to do without): {said}"
        )
        return None


def _serves() -> bool:
    linux = platform.system() == "Linux" and platform.machine() == "x86_64"
    return linux and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _compiler() -> str | None:
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def _cache() -> Path:
    """Return a folder that only this user can write: libraries in it are run."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidcorr"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
        if state.st_uid == os.getuid() and not state.st_mode & 0o022 and os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    return Path(tempfile.mkdtemp(prefix="vidcorr-"))


def _digest(source: Path, compiler: str) -> str:
    processor = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    state = os.stat(compiler)
    parts = (source.read_text(), " ".join(FLAGS), compiler, str((state.st_size, state.st_mtime_ns)), processor)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, source: Path, made: Path) -> None:
    """Write the library under another name first, so that processes side by side never load half of one."""
    unfinished = made.with_suffix(f".{os.getpid()}")
    try:
        command = [compiler, *FLAGS, str(source), "-o", str(unfinished)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        os.replace(unfinished, made)
    finally:
        unfinished.unlink(missing_ok=True)
