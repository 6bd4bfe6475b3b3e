"""Compiled code is made once, and its lack is no error."""

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_modules.functional import native

SQUARE = 'extern "C" int square(int number) { return number * number; }\n'

needs_compiler = pytest.mark.skipif(
    not native._is_supported() or native._compiler() is None, reason="needs AVX-512 and a C++ compiler"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    native.library.cache_clear()
    yield
    native.library.cache_clear()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "square.cpp"
    path.write_text(SQUARE)
    return path


@needs_compiler
def test_it_is_compiled_once_and_again_when_the_source_changes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: runs.append(1) or run(*words, **options))
    for text, result, count in ((SQUARE, 9, 1), (SQUARE, 9, 1), (SQUARE.replace("* number", "+ 1"), 4, 2)):
        source.write_text(text)
        native.library.cache_clear()
        loaded = native.library(source)
        assert loaded is not None
        assert loaded.square(3) == result
        assert len(runs) == count
    names = [path.suffix for path in (tmp_path / "cache" / "vidcorr").iterdir()]
    assert names == [".so", ".so"]


@pytest.mark.parametrize(("value", "on"), [(None, False), ("0", False), ("1", True)])
def test_it_is_off_unless_asked_for(value: str | None, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(native.SWITCH, raising=False)
    if value is not None:
        monkeypatch.setenv(native.SWITCH, value)
    assert native.switched_on() is on


def test_no_compiler_is_a_warning(
    source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "_compiler", lambda: None)
    assert native.library(source) is None
    assert caplog.messages == ["VIDCORR_NATIVE=1 has no effect: compiled code needs Linux, AVX-512 and a C++ compiler"]


@needs_compiler
def test_a_damaged_file_is_compiled_again(source: Path, tmp_path: Path) -> None:
    kept = tmp_path / f"cache/vidcorr/square-{native._digest(source, native._compiler() or '')}.so"
    kept.parent.mkdir(mode=0o700, parents=True)
    kept.touch()
    loaded = native.library(source)
    assert loaded is not None
    assert loaded.square(3) == 9
    assert kept.stat().st_size > 0


@needs_compiler
def test_a_compiler_that_fails_is_told_of(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    source.write_text("this is not C++")
    with caplog.at_level(logging.WARNING):
        assert native.library(source) is None
    assert "square.cpp: not compiled" in caplog.text
    assert native.SWITCH in caplog.text


@needs_compiler
@pytest.mark.parametrize("home", ["writable by others", "none"])
def test_without_a_safe_cache_nothing_is_kept(
    home: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache" / "vidcorr"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    if home == "none":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home directory")))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(native.tempfile, "tempdir", str(temporary))
    loaded = native.library(source)
    assert loaded is not None
    assert loaded.square(3) == 9
    assert list(folder.iterdir()) == list(temporary.iterdir()) == []
