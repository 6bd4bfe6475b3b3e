"""Count the files and functions of ours that a piece of work enters.

    python tests/helpers/call_tracer.py [--list]

prints them for one `validate` of DAVIS, one `predict` and one step of `fit` of each method.
"""

import argparse
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(str(ROOT / name) for name in ("callbacks", "datamodules", "lightning_modules", "cli.py"))

Entered = dict[str, set[str]]
"""File → names of the functions in it."""


@contextmanager
def entered() -> Iterator[Entered]:
    """Collect the functions of ours, in every thread of this process, that the block calls.

    Comprehensions and lambdas count as functions, the bodies of modules and classes do not.
    """
    found: Entered = {}

    def look(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        is_function = code.co_flags & inspect.CO_OPTIMIZED  # the bodies of modules and classes are called too
        if event == "call" and is_function and code.co_filename.startswith(OURS):
            file = str(Path(code.co_filename).relative_to(ROOT))
            found.setdefault(file, set()).add(code.co_qualname)

    sys.setprofile(look)
    threading.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def summary(name: str, found: Entered, names: bool = False) -> str:
    """One line of counts, and the functions if they are asked for."""
    lines = [f"{name}: {len(found)} files, {sum(map(len, found.values()))} functions"]
    if names:
        lines += [f"  {file}: {', '.join(sorted(functions))}" for file, functions in sorted(found.items())]
    return "\n".join(lines)


def main() -> None:
    """Trace the commands and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name the functions")
    flags = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    import pytorch_lightning as pl
    import torch

    import cli
    from callbacks import DavisBenchmark, VideoPrediction
    from datamodules.prompted_video import PromptedVideoDataModule
    from datamodules.synthetic import write_davis
    from lightning_modules import FrozenEncoder, Liir, VFSMoCo, VFSSimSiam

    def trainer(folder: str, **settings: Any) -> pl.Trainer:
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        return pl.Trainer(accelerator="cpu", devices=1, default_root_dir=folder, logger=False, **quiet, **settings)

    with TemporaryDirectory() as folder:
        root = write_davis(Path(folder) / "davis", 2, frames=4, size=(64, 64))
        encoder = FrozenEncoder("torchvision:resnet18", "res4", 8)
        words = "validate --config configs/benchmarks/davis.yaml --trainer.accelerator cpu --trainer.devices 1"
        words += f" --model FrozenEncoder --model.spec torchvision:resnet18 --trainer.callbacks.root {root}"
        with entered() as found:
            cli.main([*words.split(), "--trainer.default_root_dir", folder])
        print(summary("validate of DAVIS, command line", found, flags.list))
        with entered() as found:
            trainer(folder, callbacks=[DavisBenchmark(root)]).validate(encoder, verbose=False)
        print(summary("validate of DAVIS, Trainer", found, flags.list))
        clip = min((root / "JPEGImages" / "480p").iterdir())
        mask = root / "Annotations" / "480p" / clip.name / "00000.png"
        prediction = VideoPrediction(Path(folder) / "prediction")
        with entered() as found:
            trainer(folder, callbacks=[prediction]).predict(encoder, PromptedVideoDataModule(clip, mask=mask))
        print(summary("predict of masks", found, flags.list))
        clips = torch.rand(2, 4, 3, 64, 64)
        videos = [{"clip": clip, "video_index": torch.tensor(number)} for number, clip in enumerate(clips)]
        for method in (VFSSimSiam(), VFSMoCo(queue_size=16), Liir()):
            loader = torch.utils.data.DataLoader(videos, batch_size=2)  # type: ignore[arg-type,var-annotated]
            with entered() as found:
                trainer(folder, max_steps=1, limit_val_batches=0).fit(method, loader)
            print(summary(f"one step of {type(method).__name__}", found, flags.list))


if __name__ == "__main__":
    main()
