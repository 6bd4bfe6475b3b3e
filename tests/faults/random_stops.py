"""Stop trainings at random by real signals, resume each, and compare it with the run that was not stopped, bit by bit.

By hand, in 40 minutes: python -m tests.faults.random_stops --stops 60
"""

import argparse
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR

from lightning_modules import VFSSimSiam
from tests.helpers.faults import METHODS, curve, differences, last, run, run_script, strike, words
from tests.helpers.words import NETWORK
from vidcorr.datasets.generated import write_davis, write_videos

CRW = {"backbone": NETWORK, "embedding_dim": 8, "patch_size": 16, "patch_stride": 8}
METHODS |= {"ContrastiveRandomWalk": CRW, "tests.faults.random_stops.Warmed": METHODS["VFSSimSiam"]}
STATUS = {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": -9}
COMPARED = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "benchmarks")
ENDS = {"Liir": (3, 8, 13)}
"""Method → last steps of its epochs; by default those of five batches. Liir's first accumulates."""


class Warmed(VFSSimSiam):
    """A user's method with a schedule of two parts."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)
        parts = [LinearLR(optimizer, 0.1, total_iters=7), ExponentialLR(optimizer, 0.9)]
        schedule = {"scheduler": SequentialLR(optimizer, parts, milestones=[7]), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class Blow(NamedTuple):
    """A random stop."""

    method: str
    ranks: int
    signal: str
    place: str
    step: int
    rank: int
    group: bool


def draw(generator: random.Random) -> Blow:
    """Draw a stop; a third of those in training fall on the last steps of an epoch."""
    method, place = generator.choice(list(METHODS)), generator.choice(["step", "end", "validation", "benchmark"])
    last_steps = ENDS.get(method, (5, 10, 15))
    ends = place in ("validation", "benchmark") or generator.random() < 1 / 3
    step = generator.choice(last_steps) if ends else generator.randrange(1, last_steps[-1] + 1)
    ranks = generator.choice([1, 1, 1, 1, 1, 1, 2])
    return Blow(
        method=method,
        ranks=ranks,
        signal=generator.choice(list(STATUS)),
        place=place,
        step=step - (place == "step"),  # of the steps before it
        rank=generator.randrange(ranks),
        group=generator.random() < 0.5,
    )


def train(blow: Blow, folder: Path, data: Path, stopped: bool, resumed: bool = False) -> str:
    """Run a training, to its stop or to its end; return its output."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"step": blow.step, "place": blow.place, "rank": blow.rank, "group": blow.group}
    command = words(
        blow.method,
        data / "videos",
        folder,
        *("--on", f"davis={data / 'davis'}", "--change", "radius=3", "context=2"),
        *(["--ckpt_path=last"] if resumed else []),
        *(["--trainer.strategy=ddp", "--trainer.devices=2"] if blow.ranks == 2 else []),
        callbacks=(strike(blow.signal, **about),) if stopped else (),
        samples_per_epoch=10 * blow.ranks,
        frames=3 if blow.method == "ContrastiveRandomWalk" else 2,
    )
    status = STATUS[blow.signal] if stopped else 0
    if blow.ranks == 1:
        return run(command, folder, status)
    # rank 0 ends by an error if the other is killed, and by SIGTERM's status if the other is interrupted
    others = {"SIGKILL": 1, "SIGINT": 143}
    return run_script(command, status, *([others.get(blow.signal, status)] if stopped else []))


def faults_of(blow: Blow, folder: Path, whole: Path, data: Path) -> list[str]:
    """Stop a run and resume it; return where it differs from the whole run."""
    train(blow, folder, data, stopped=True)
    begun = bool(list(folder.glob("lightning_logs/*/checkpoints/last.ckpt")))
    said = train(blow, folder, data, stopped=False, resumed=True)
    if not re.search("resuming from .*: step" if begun else "starting a new run", said):
        return [said]
    one, other = last(folder), last(whole)
    found = [fault for key in COMPARED for fault in differences(one[key], other[key], key)]
    return found + ([] if curve(folder) == curve(whole) else ["losses"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stops", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    generator, counts, wrong = random.Random(flags.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        write_videos(data / "videos", 6, frames=10, size=(64, 64))
        write_davis(data / "davis", 2, frames=4, size=(64, 64))
        for number in range(flags.stops):
            blow = draw(generator)
            whole = data / f"{blow.method}-{blow.ranks}"
            if not whole.exists():
                train(blow, whole, data, stopped=False)
            try:
                faults = faults_of(blow, data / str(number), whole, data)
            except (AssertionError, TimeoutError) as error:
                faults = [f"{type(error).__name__}: {str(error)[-2000:]}"]
            wrong += bool(faults)
            counts.update([blow.method.rpartition(".")[2], f"{blow.ranks} ranks", blow.signal, blow.place])
            print(number, *blow, "EQUAL" if not faults else f"DIFFERS: {faults[:5]}", flush=True)
    print(f"{flags.stops - wrong} of {flags.stops} equal; {dict(counts)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
