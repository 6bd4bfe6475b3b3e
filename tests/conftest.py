"""Fixtures that every test may use: the golden numbers and the real videos in ../shared."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """Load ../shared/golden/NAME.npz as a dict; skips where the folder is missing."""

    def load(name: str) -> dict[str, np.ndarray]:
        path = SHARED / "golden" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"golden numbers are not here: {path}")
        with np.load(path) as archive:
            return dict(archive)

    return load


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos, ../shared/data; skips where it is missing."""
    return _shared("data", "real videos")


@pytest.fixture(scope="session")
def shared_points() -> Path:
    """The folder of TAP-Vid material, ../shared/tapvid; skips where it is missing."""
    return _shared("tapvid", "TAP-Vid material")


def _shared(name: str, content: str) -> Path:
    """Return a folder of ../shared; skip the test where it is missing."""
    path = SHARED / name
    if not path.is_dir():
        pytest.skip(f"{content}: not here ({path})")
    return path


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    """Each test starts from the same random state and leaves the number of threads as it was."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    os.environ.pop("PL_GLOBAL_SEED", None)


@pytest.fixture(scope="session")
def davis_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short synthetic sequences in DAVIS's layout, 64 px."""
    from datamodules.synthetic import write_davis

    return write_davis(tmp_path_factory.mktemp("davis") / "davis", 3, frames=6, size=(64, 64))


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short synthetic mp4 files, 64 px."""
    from datamodules.synthetic import write_videos

    return write_videos(tmp_path_factory.mktemp("videos") / "videos", 6, frames=10, size=(64, 64))
