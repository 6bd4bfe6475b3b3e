"""Count the files and functions of ours that a piece of work enters, in all and on the path of one frame or step.

    python -m tests.helpers.call_tracer [--list]

prints them for `validate` and `evaluate` on DAVIS, `predict`, and `fit` of each method. Functions fall into two parts:
those that each frame (each step) passes through, and the rest: the command line, reading, set-up, scores and files.
"""

import argparse
import inspect
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NamedTuple

import cli
from callbacks import BenchmarkCallback
from lightning_modules import ContrastiveRandomWalk, FrozenEncoder, Liir, VFSMoCo, VFSSimSiam
from tests.helpers.training import loader, quiet_trainer
from vidcorr import DavisBenchmark
from vidcorr.datasets.generated import write_davis

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(str(ROOT / name) for name in ("callbacks", "datamodules", "lightning_modules", "vidcorr", "cli.py"))
ROUND = (3, 7)
"""Calls of the function that begins each round (a frame, a step) between which functions count as those of a round."""

Function = tuple[str, str]
"""File and qualified name."""


class Entered(NamedTuple):
    """The functions of ours that were entered: every one, and those between two calls of what begins a round."""

    all: set[Function]
    of_a_round: set[Function]


@contextmanager
def entered(begins_round: str) -> Iterator[Entered]:
    """Collect the functions of ours, in every thread of this process, that the block calls.

    Comprehensions and lambdas count as functions, the bodies of modules and classes do not.

    Args:
        begins_round: qualified name of the function that every frame or step begins with.
    """
    found = Entered(set(), set())
    rounds = 0

    def look(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal rounds
        code = frame.f_code
        is_function = code.co_flags & inspect.CO_OPTIMIZED  # the bodies of modules and classes are called too
        if event != "call" or not is_function or not code.co_filename.startswith(OURS):
            return
        rounds += code.co_qualname == begins_round
        function = str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname
        found.all.add(function)
        if ROUND[0] <= rounds < ROUND[1]:
            found.of_a_round.add(function)

    sys.setprofile(look)
    threading.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def counts(functions: set[Function]) -> str:
    """Return the number of files and functions, and the number of functions with a name."""
    named = sum(not re.search(r"<(listcomp|setcomp|dictcomp|genexpr|lambda)>", name) for _, name in functions)
    return f"{len({file for file, _ in functions})} files, {len(functions)} functions ({named} without comprehensions)"


def summary(name: str, found: Entered, names: bool = False) -> str:
    """Return lines of counts, and the functions if they are asked for."""
    lines = [f"{name}: {counts(found.all)}"]
    for part, functions in (("each round", found.of_a_round), ("the rest", found.all - found.of_a_round)):
        lines.append(f"    {part}: {counts(functions)}")
        if names:
            for file, of_file in groupby(sorted(functions), itemgetter(0)):
                lines.append(f"        {file}: {', '.join(function for _, function in of_file)}")
    return "\n".join(lines)


def main() -> None:
    """Trace the commands and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name the functions")
    flags = parser.parse_args()
    frame, step = "LabelPropagator.step", "CorrespondenceModule.on_train_batch_start"
    with TemporaryDirectory() as folder:
        root = write_davis(Path(folder) / "davis", 2, frames=12, size=(64, 64))
        encoder = FrozenEncoder("torchvision:resnet18", "res4", 8)
        words = "validate --model torchvision:resnet18 --trainer.accelerator cpu --trainer.devices 1"
        words += f" --on davis={root}"
        with entered(frame) as found:
            cli.main([*words.split(), "--trainer.default_root_dir", folder])
        print(summary("validate of DAVIS, command line", found, flags.list))
        with entered(frame) as found:
            quiet_trainer(default_root_dir=folder, callbacks=[BenchmarkCallback(DavisBenchmark(root))]).validate(
                encoder, verbose=False
            )
        print(summary("validate of DAVIS, Trainer", found, flags.list))
        words = f"evaluate torchvision:resnet18@res4/8 --on davis={root} --output {folder}/evaluation"
        with entered(frame) as found:
            cli.main(words.split())
        print(summary("evaluate on DAVIS, command line", found, flags.list))
        clip = min((root / "JPEGImages" / "480p").iterdir())
        mask = root / "Annotations" / "480p" / clip.name / "00000.png"
        words = ["predict", str(clip), "--mask", str(mask), "--model=torchvision:resnet18", f"--output={folder}/out"]
        with entered(frame) as found:
            cli.main(words)
        print(summary("predict of masks", found, flags.list))
        walk = ContrastiveRandomWalk(patch_size=32, patch_stride=32)
        for method in (VFSSimSiam(), VFSMoCo(queue_size=16), Liir(), walk):
            with entered(step) as found:
                quiet_trainer(max_steps=8, limit_val_batches=0).fit(method, loader(16, 2, size=64))
            print(summary(f"fit of {type(method).__name__}", found, flags.list))


if __name__ == "__main__":
    main()
