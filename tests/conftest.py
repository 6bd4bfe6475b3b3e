"""Fixtures that every test may use: reference numbers, real videos and small synthetic sets."""

import atexit
import gc
import inspect
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from warnings import WarningMessage

import numpy as np
import pytest

from tests.helpers import references
from vidcorr import signals

MEMORY = Path("/dev/shm")
"""A file system in memory, where a folder is removed at once; a disk may take milliseconds."""

if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**32:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_pycollect_makemodule() -> None:
    """Prepare the imports of the first test file, in a process that collects tests.

    The process that hands them to the workers collects none, so it imports neither timm nor torch.
    """
    if "timm" in sys.modules:
        return
    gc.disable()
    sys.modules["wandb"] = None  # type: ignore[assignment]  # timm imports it where it is installed, for seconds
    import timm  # noqa: F401

    del sys.modules["wandb"]
    from lightning_fabric.utilities import registry

    registry.entry_points = cache(registry.entry_points)  # type: ignore[attr-defined]  # each Trainer reads all packages
    inspect.stack.__defaults__ = (0,)  # jsonargparse asks who calls, and would read the sources of the whole stack


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: WarningMessage) -> None:
    """Pass a warning on as Python's own: to print it, the other process would import the library of its class."""
    warning_message.message = UserWarning(str(warning_message.message))
    warning_message.category = UserWarning


def pytest_collection_finish() -> None:
    """Leave what the imports made out of each later search for garbage."""
    gc.freeze()
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Let a worker of xdist, but no pytest that a test starts, end at once: to free all imports takes seconds."""
    if hasattr(config, "workerinput"):
        atexit.register(os._exit, 0)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give it back, where Python ends as usual: triton complains of objects that are never freed."""
    if not hasattr(config, "workerinput"):
        gc.unfreeze()


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """`golden(NAME)`: the arrays of tests/golden/NAME.npz."""
    return references.golden


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest) -> Any:
    """The record of a test file: the JSON of the same name beside it."""
    return json.loads(request.path.with_suffix(".json").read_text("utf-8"))


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data(NAME)`: a file or folder of the real videos; it skips the test where that is missing."""
    return references.real_data


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave every N-th case of a sweep marked `sampled(N)` where it is; the other cases are slow tests.

    `sampled(N, "exhaustive")` makes them exhaustive tests, which run if `-m` or the name of a test asks for them;
    `sampled(N, M)` leaves every M-th of all cases in the slow tier, and makes the others exhaustive.
    """
    seen: Counter[str] = Counter()
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is None:
            continue
        sweep = item.nodeid.partition("[")[0]
        if seen[sweep] % marker.args[0] != 0:
            tier = marker.args[1] if len(marker.args) > 1 else "slow"
            if isinstance(tier, int):
                tier = "slow" if seen[sweep] % tier == 1 else "exhaustive"
            item.add_marker(tier)
        seen[sweep] += 1
    if "exhaustive" in config.option.markexpr or any("::" in word for word in config.args):
        return
    unasked = [item for item in items if item.get_closest_marker("exhaustive")]
    config.hook.pytest_deselected(items=unasked)
    items[:] = [item for item in items if item not in unasked]


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    """Each test starts from the same random state, and leaves neither a signal nor another number of threads."""
    import torch

    threads = torch.get_num_threads()
    torch.default_generator.manual_seed(0)  # `manual_seed` formats the stack for a GPU that is not used yet
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)
    yield
    torch.set_num_threads(threads)
    vars(signals.requests).clear()
    os.environ.pop("PL_GLOBAL_SEED", None)


@pytest.fixture(scope="session")
def davis_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short synthetic sequences in DAVIS's layout, 64 px."""
    from vidcorr.datasets.generated import write_davis

    return write_davis(tmp_path_factory.mktemp("davis") / "davis", 3, frames=6, size=(64, 64))


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short synthetic mp4 files, 64 px."""
    from vidcorr.datasets.generated import write_videos

    return write_videos(tmp_path_factory.mktemp("videos") / "videos", 6, frames=10, size=(64, 64))


@pytest.fixture(scope="session")
def vfs(tmp_path_factory):
    """A checkpoint of VFSSimSiam whose every statistic counts."""
    import torch

    from tests.helpers.foreign import enliven
    from tests.helpers.saved import write_checkpoint
    from vidcorr.lightning_modules import VFSSimSiam

    torch.manual_seed(0)
    module = VFSSimSiam(projector_dim=16, predictor_dim=8)
    enliven(module.backbone)
    return write_checkpoint(module, tmp_path_factory.mktemp("vfs") / "vfs.ckpt")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def info_log(caplog):
    """The log, lines of information too."""
    caplog.set_level("INFO")
    return caplog


@pytest.fixture
def canary(monkeypatch, tmp_path):
    """Allow no code that a file names, and assert that none was imported or run."""
    from vidcorr.backbones.files import trust

    monkeypatch.setattr(trust, "KNOWN", set())
    monkeypatch.chdir(tmp_path)  # the modules of the tests are installed here, not the user's own
    sys.modules.pop("tests.helpers.canary", None)
    yield
    assert "tests.helpers.canary" not in sys.modules, "code that a file names was imported"
    assert not (tmp_path / "canary").exists(), "code that a file names was run"


@pytest.fixture
def no_gradients():
    """Compute without gradients for the length of a test."""
    import torch

    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def davis_run(davis_root, tmp_path_factory):
    """DAVIS by raw colour, with files: the benchmark, its scores, its folder."""
    from tests.helpers.words import SMALL
    from vidcorr import DavisBenchmark
    from vidcorr.backbones import build_feature_extractor

    folder = tmp_path_factory.mktemp("run") / "untrained" / "davis"
    benchmark = DavisBenchmark(davis_root, changes=SMALL)
    return benchmark, benchmark.evaluate(build_feature_extractor("raw_colour"), folder, "raw <colour>").scores, folder


@pytest.fixture(scope="module")
def scene():
    """A plainly coloured sprite that moves, and its masks."""
    from tests.helpers.sprite import FRAMES
    from vidcorr.datasets.generated.scene import Scenes

    return Scenes(seed=7, frames=FRAMES, size=(96, 130), sprites=(1, 1), camouflage=0).render(0)


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    """The scene as a folder of frames, as a video and with the mask of its first frame."""
    from tests.helpers.sprite import FRAMES, RATE
    from vidcorr.datasets.generated.writers import write_frames, write_masks, write_mp4

    root = tmp_path_factory.mktemp("scene")
    video, masks = scene
    write_frames(root / "frames", video, [f"{t:03d}.png" for t in range(FRAMES)])
    write_mp4(root / "clip.mp4", video, rate=RATE)
    write_masks(root / "masks", {"first": masks[0]})
    return root


@pytest.fixture
def colour():
    """Raw colour in cells of 4 px."""
    from vidcorr.backbones import build_feature_extractor

    return build_feature_extractor("raw_colour", stride=4)
