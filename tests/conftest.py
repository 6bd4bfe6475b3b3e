"""Fixtures that every test may use: reference numbers, real videos and small synthetic sets."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import references


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """`golden(NAME)`: the arrays of tests/golden/NAME.npz."""
    return references.golden


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data(NAME)`: a file or folder of the real videos; it skips the test where that is missing."""
    return references.real_data


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one closing line how many tests were skipped, and what they lacked."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ()) if report.longrepr]
    videos = sum(references.NO_VIDEOS in reason for reason in reasons)
    gpu = sum("CUDA" in reason for reason in reasons)
    terminalreporter.write_line(
        f"skipped: {videos} for want of real videos (docs/same-data.md, VIDCORR_DATA), {gpu} for want of a GPU, "
        f"{len(reasons) - videos - gpu} for another reason (-rs shows it)"
    )


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
