"""Stop trainings at random, resume each, and compare it with the run that was not stopped, bit by bit.

Real signals stop them, `trainer.should_stop` (as `max_time` sets it) within an epoch, and `max_steps`, at a validation
within the epoch too.

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
from tests.helpers.faults import METHODS, curve, differences, harm, last, run, run_script, strike, words
from tests.helpers.words import NETWORK
from vidcorr.datasets.generated import write_davis, write_videos

CRW = {"backbone": NETWORK, "embedding_dim": 8, "patch_size": 16, "patch_stride": 8}
METHODS |= {"ContrastiveRandomWalk": CRW, "tests.faults.random_stops.Warmed": METHODS["VFSSimSiam"]}
STATUS = {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": -9, "should_stop": 0, "max_steps": 0}
LENGTH_FREE = ("Liir", "ContrastiveRandomWalk", "tests.faults.random_stops.Warmed")
"""Methods with a schedule that does not depend on the length of the run, which `max_steps` changes."""
INTERVAL = 2
"""Batches between validations within an epoch."""
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
    interval: bool
    """Validate every `INTERVAL` batches, within the epoch."""


def draw(generator: random.Random) -> Blow:
    """Draw a stop; a third of those in training fall on the last steps of an epoch."""
    kind = generator.choice(list(STATUS))
    method = generator.choice(LENGTH_FREE if kind == "max_steps" else list(METHODS))
    place = generator.choice(["step", "end", "validation", "benchmark"])
    if STATUS[kind] == 0:
        place = "step"
    last_steps = ENDS.get(method, (5, 10, 15))
    ends = place in ("validation", "benchmark") or generator.random() < 1 / 3
    step = generator.choice(last_steps) if ends else generator.randrange(1, last_steps[-1] + 1)
    ranks = generator.choice([1, 1, 1, 1, 1, 1, 2])
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


def train(blow: Blow, folder: Path, data: Path, stopped: bool, resumed: bool = False) -> str:
    """Run a training, to its stop or to its end; return its output."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"step": blow.step, "place": blow.place, "rank": blow.rank, "group": blow.group}
    callbacks: tuple[Any, ...] = ()
    ends_at: list[str] = []
    if stopped and blow.signal == "should_stop":
        callbacks = (harm("Ends", step=blow.step),)
    elif stopped and blow.signal == "max_steps":
        ends_at = [f"--trainer.max_steps={blow.step}"]
    elif stopped:
        callbacks = (strike(blow.signal, **about),)
    command = words(
        blow.method,
        data / "videos",
        folder,
        *("--on", f"davis={data / 'davis'}", "--change", "radius=3", "context=2"),
        *(["--ckpt_path=last"] if resumed else []),
        *(["--trainer.strategy=ddp", "--trainer.devices=2"] if blow.ranks == 2 else []),
        *([f"--trainer.val_check_interval={INTERVAL}"] if blow.interval else []),
        *ends_at,
        callbacks=callbacks,
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
    _leave_out_scores_of_the_end(one, other)
    found = [fault for key in COMPARED for fault in differences(one[key], other[key], key)]
    return found + ([] if curve(folder) == curve(whole) else ["losses"])


def _leave_out_scores_of_the_end(resumed: dict[str, Any], whole: dict[str, Any]) -> None:
    """Leave out scores at the end of the stopped run, which the whole run does not have."""
    for name, state in resumed["benchmarks"].items():
        steps = {run["step"] for run in whole["benchmarks"][name]["runs"]}
        state["runs"] = [run for run in state["runs"] if run["step"] in steps]


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
            whole = data / f"{blow.method}-{blow.ranks}-{blow.interval}"
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
