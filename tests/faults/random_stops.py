"""Stop trainings at random, resume each, and compare it with the run that was not stopped, bit by bit.

Every method that trains is stopped, and one of a user's folder: by real signals, SLURM's among them, by `max_time`,
`trainer.should_stop` within an epoch, and `max_steps`, at a validation within the epoch too. Weights, optimisers,
schedules, queues, losses, logged scalars and scores of a benchmark are compared; a run without the benchmark has equal
weights.

By hand, in an hour: python -m tests.faults.random_stops --stops 60
"""

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR

from tests.helpers import faults
from tests.helpers.layouts import write_got10k
from tests.helpers.method_steps import METHODS as ALL, arguments_of
from tests.helpers.words import NETWORK
from vidcorr.datasets.generated import write_davis, write_videos
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.lightning_modules import VFSSimSiam

CRW = {"backbone": NETWORK, "embedding_dim": 8, "patch_size": 16, "patch_stride": 8}
METHODS = faults.METHODS
METHODS |= {"ContrastiveRandomWalk": CRW, "tests.faults.random_stops.Warmed": METHODS["VFSSimSiam"]}
METHODS |= {name: arguments_of(name) for name in ALL if name not in METHODS} | {"mine.Mine": METHODS["VFSMoCo"]}
STATUS = {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": -9, "SIGUSR1": 138, "should_stop": 0, "max_time": 0, "max_steps": 0}
SLURM = {"NTASKS": "1", "JOB_NAME": "train", "JOB_ID": "7", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
"""Variables of a job of one rank, without their prefix."""
LENGTH_FREE = ("Liir", "ContrastiveRandomWalk", "tests.faults.random_stops.Warmed", "mine.Mine")
"""Methods with a schedule that does not depend on the length of the run, which `max_steps` changes."""
UNSCORED = ("LinearProbe",)
"""Methods that refuse benchmarks: their features are those of the checkpoint that they read."""
INTERVAL = 2
"""Batches between validations within an epoch."""
ENDS = {"Liir": (3, 8, 13)}
"""Method → last steps of its epochs; by default those of five batches. Liir's first accumulates."""


class Warmed(VFSSimSiam):
    """A user's method with a schedule of two parts."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)
        parts = [LinearLR(optimizer, 0.1, total_iters=7), ExponentialLR(optimizer, 0.9)]
        schedule = {"scheduler": SequentialLR(optimizer, parts, milestones=[7]), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


Blow = namedtuple("Blow", "method ranks signal place step rank group interval")
"""A random stop; `interval`: validate every `INTERVAL` batches, within the epoch."""


def draw(generator: random.Random) -> Blow:
    """Draw a stop; a third of those in training fall on the last steps of an epoch."""
    kind = generator.choice(list(STATUS))
    method = generator.choice(LENGTH_FREE if kind == "max_steps" else list(METHODS))
    place = generator.choice(["step", "end", "validation", "benchmark"])
    if STATUS[kind] == 0:
        place = "step"
    if method in UNSCORED and place == "benchmark":
        place = "validation"
    last_steps = ENDS.get(method, (5, 10, 15))
    ends = place in ("validation", "benchmark") or generator.random() < 1 / 3
    step = generator.choice(last_steps) if ends else generator.randrange(1, last_steps[-1] + 1)
    ranks = 1 if kind == "SIGUSR1" else generator.choice([1, 1, 1, 1, 1, 1, 2])
    return Blow(
        method=method,
        ranks=ranks,
        signal=kind,
        place=place,
        step=step - (place == "step" and STATUS[kind] != 0),  # a signal within step n comes after n − 1 steps
        rank=generator.randrange(ranks),
        group=generator.random() < 0.5,
        interval=STATUS[kind] == 0 and generator.random() < 0.5,
    )


def train(blow: Blow, folder: Path, data: Path, stopped: bool, resumed: bool = False, scored: bool = True) -> str:
    """Run a training, to its stop or to its end; return its output."""
    folder.mkdir(parents=True, exist_ok=True)
    more = ["--ckpt_path=last"] if resumed else []
    if scored and blow.method not in UNSCORED:
        more += ["--on", f"davis={data / 'davis'}", "--every", "1", "--change", "radius=3", "context=2"]
    if blow.ranks == 2:
        more += ["--trainer.strategy=ddp", "--trainer.devices=2"]
    if blow.interval:
        more += [f"--trainer.val_check_interval={INTERVAL}"]
    limits = {"max_steps": str(blow.step), "max_time": f'{{"milliseconds": {50 * blow.step}}}'}
    callbacks: list[dict[str, Any]] = []
    if stopped and blow.signal in limits:
        more += [f"--trainer.{blow.signal}={limits[blow.signal]}"]
    elif blow.signal == "should_stop":
        callbacks = [faults.harm("Ends", step=blow.step)]
    elif blow.signal not in limits:
        about = {"step": blow.step, "place": blow.place, "rank": blow.rank, "group": blow.group}
        callbacks = [faults.harm("Strike", name=blow.signal, **about)]
    command = command_of(blow, folder, data, *more, callbacks=callbacks)
    status = STATUS[blow.signal] if stopped else 0
    # rank 0 ends by an error if the other is killed, and by SIGTERM's status if the other is interrupted
    of_others = {"SIGKILL": 1, "SIGINT": 143}.get(blow.signal, status) if stopped and blow.ranks == 2 else status
    job = {f"SLURM_{name}": value for name, value in SLURM.items()} | {"PATH": f"{data}:{os.environ['PATH']}"}
    variables = job if status == 138 else {}
    if not stopped:
        variables |= {faults.STRUCK: str(blow.step)}
    return faults.run(command, status, of_others, place=data, **variables)


def command_of(blow: Blow, folder: Path, data: Path, *more: str, callbacks: Sequence[Any]) -> list[str]:
    """Return the command of a run on the data that the method reads, five steps an epoch."""
    frames = 3 if blow.method == "ContrastiveRandomWalk" else 2
    clips = {"source": data / "videos", "samples_per_epoch": 10 * blow.ranks, "frames": frames}
    images = {"root": data / f"images-{blow.ranks}", "size": 32, "resize": 36}
    boxes = {"root": data / "got10k", "repeat": 2 * blow.ranks}
    others = {"SiamFC": ("Got10kDataModule", boxes), "LinearProbe": ("ImageFolderDataModule", images)}
    kind, given = others.get(blow.method, ("VideoDataModule", clips))
    return faults.words(blow.method, folder, *more, kind=kind, callbacks=callbacks, **given)


def write_data(folder: Path) -> None:
    """Write the videos, boxes and images that methods learn from, a user's method and SLURM's command."""
    write_videos(folder / "videos", 6, frames=10, size=(64, 64))
    write_davis(folder / "davis", 2, frames=4, size=(64, 64))
    write_got10k(folder / "got10k", 5, frames=6, size=(64, 64))
    generator = np.random.default_rng(0)
    for ranks in (1, 2):
        for number, count in enumerate((3, 3, 4)):
            for part, images in (("train", count * ranks), ("val", 2)):
                noise = generator.integers(0, 256, (images, 40, 60, 3), dtype=np.uint8)
                names = [f"{index}.png" for index in range(images)]
                write_frames(folder / f"images-{ranks}" / part / f"class{number}", noise, names)
    shutil.copy(Path(__file__).with_name("mine.py"), folder)
    (folder / "scontrol").write_text("#!/bin/sh\n")
    (folder / "scontrol").chmod(0o755)


def points(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """Return what TensorBoard and the benchmarks keep of the newest run: name → steps and values; no times."""
    events = EventAccumulator(str(faults.last_of(folder).parent.parent)).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith(("time/", "epoch", "hp_metric"))]
    found: dict[str, list[tuple[int, Any]]] = {}
    for tag in tags:
        found[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    for name, state in faults.last(folder).get("benchmarks", {}).items():
        found[f"benchmarks/{name}"] = [(run["step"], run) for run in state["runs"]]
    return found


def faults_of(blow: Blow, folder: Path, whole: Path, data: Path) -> list[str]:
    """Stop a run and resume it; return where it differs from the whole run."""
    train(blow, folder, data, stopped=True)
    begun = bool(list(folder.glob("*/checkpoints/last.ckpt")))
    time.sleep(1 - time.time() % 1)  # TensorBoard orders the files of a second by a number as text, 10 before 9
    said = train(blow, folder, data, stopped=False, resumed=True)
    if not re.search("resuming from .*: step" if begun else "starting a new run", said):
        return [said]
    found, expected = points(folder), points(whole)
    # what the end of the stopped run scored, and a validation there logged, the whole run does not have
    of_the_end = ("benchmarks/", "val/", "davis/") if STATUS[blow.signal] == 0 else ("benchmarks/",)
    for name in found.keys() & expected.keys():
        if name.startswith(of_the_end):
            steps = {step for step, _ in expected[name]}
            found[name] = [point for point in found[name] if point[0] in steps]
    return faults.faults_between(folder, whole) + faults.differences(found, expected, "logged")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stops", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    generator, counts, wrong = random.Random(flags.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        write_data(data)
        for number in range(flags.stops):
            blow = draw(generator)
            whole = data / f"{blow.method}-{blow.ranks}-{blow.interval}"
            found = []
            try:
                if not whole.exists():
                    train(blow, whole, data, stopped=False)
                    if blow.ranks == 1 and not blow.interval:
                        plain = whole.with_name(f"{whole.name}-plain")  # without the benchmark
                        train(blow, plain, data, stopped=False, scored=False)
                        found = faults.faults_between(plain, whole, faults.STATE[:3])
                found += faults_of(blow, data / str(number), whole, data)
            except (AssertionError, TimeoutError) as error:
                found = [f"{type(error).__name__}: {str(error)[-2000:]}"]
            wrong += bool(found)
            counts.update([blow.method.rpartition(".")[2], f"{blow.ranks} ranks", blow.signal, blow.place])
            print(number, *blow, "EQUAL" if not found else f"DIFFERS: {found[:5]}", flush=True)
    print(f"{flags.stops - wrong} of {flags.stops} equal; {dict(counts)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
