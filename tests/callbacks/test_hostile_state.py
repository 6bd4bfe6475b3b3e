"""A checkpoint is data: what its state says is checked before it is restored, and no path in it is ever followed."""

import copy
import math

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from callbacks import Safeguards, TrainingStopped
from tests.helpers.refusal import refused
from tests.helpers.stops import Stop, go, make
from tests.helpers.training import loader, quiet_trainer

FIT = ("loops", "fit_loop")
EPOCH = (*FIT, "epoch_progress", "current")
STATES = ("optimizer_states", 0)
BEST = ("best", "counted/score")
GONE = object()

DAMAGES = {
    "no counters": (("loops",), GONE),
    "a negative epoch": ((*EPOCH, "processed"), -1000),
    "a counter less": ((*EPOCH, "started"), GONE),
    "a method's name": ((*EPOCH, "reset_on_restart"), 0),
    "a place in the data before its start": ((*FIT, "state_dict", "combined_loader", 0, "batches"), -1),
    "no optimiser states": (("optimizer_states",), []),
    "momentum of another shape": ((*STATES, "state", 0, "momentum_buffer"), torch.zeros(3)),
    "momentum as text": ((*STATES, "state", 0, "momentum_buffer"), "much"),
    "a learning rate that is not finite": ((*STATES, "param_groups", 0, "lr"), math.inf),
    "a schedule's method": (("lr_schedulers", 0, "step"), 1),
    "scores as text": (("benchmarks", "counted", "history"), {0: {"a": "b"}}),
    "sizes as text": (("resume", "accumulated"), "one"),
    "steps as text": (("global_step",), "seven"),
    "best scores as text": ((*BEST, "scores"), "all"),
    "a kept checkpoint in another folder": ((*BEST, "scores"), {"../other/notes.ckpt": 0.5}),
    "a callback's state without a part": ((*BEST, "scores"), GONE),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that was stopped within its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    go("VFSSimSiam", folder, stop=Stop("step", 3))
    return folder


def changed(content, place, value):
    """Set, or delete, one part of a nested state; a callback is found by the beginning of its key."""
    for number, name in enumerate(place, 1):
        key = next((key for key in content if str(key).startswith(name)), name) if isinstance(name, str) else name
        if number < len(place):
            content = content[key]
    if value is GONE:
        del content[key]
    else:
        content[key] = value


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damaged_state_ends_in_one_line(damage, stopped, tmp_path):
    content = torch.load(stopped / "last.ckpt", weights_only=True)
    changed(content, *DAMAGES[damage])
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    assert refused(ValueError, r"last\.ckpt|place in the data is damaged", go, "VFSSimSiam", tmp_path, start=path)


class EndOnceRestored(pl.Callback):
    def on_train_batch_start(self, *args):
        raise TrainingStopped

    on_train_batch_end = on_train_batch_start


def parts(content, place=()):
    """Yield all parts of a state with their places; two of the optimiser's numbers and tensors stand for all."""
    if isinstance(content, dict | list):
        for name, part in content.items() if isinstance(content, dict) else enumerate(content):
            at = (*place, name)
            if at != ("state_dict",) and not (at[0] == "optimizer_states" and type(at[-1]) is int and at[-1] > 1):
                yield at, part
                yield from parts(part, at)


def replacements(part):
    """Return values of the type of a part, and None, and its absence."""
    of_type = {
        bool: [part is False], int: [0, -1, 10**18], float: [0.0, math.nan, -1.0], str: ["", "__class__"],
        dict: [{}, {"unknown": 1}], list: [[], part[:-1] if isinstance(part, list) else []],
        torch.Tensor: [torch.zeros(1), torch.full((2,), math.nan)],
    }  # fmt: skip
    return [GONE, None, *of_type.get(type(part), [])]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["VFSSimSiam", "VFSMoCo", "Liir"])
def test_any_part_of_a_state_may_be_missing_or_another(method, tmp_path):
    go(method, tmp_path, stop=Stop("step", 3))
    whole = torch.load(tmp_path / "last.ckpt", weights_only=True)
    path = tmp_path / "damaged/last.ckpt"
    path.parent.mkdir()
    cases = [(place, value) for place, part in parts(whole) for value in replacements(part)]
    outcomes = [outcome_of(method, whole, place, value, path) for place, value in cases[:: 1 + len(cases) // 150]]
    assert {outcome for outcome in outcomes if outcome not in ("restored", "refused")} == set()
    assert min(outcomes.count("restored"), outcomes.count("refused")) > 20


def outcome_of(method, whole, place, value, path):
    """Return whether a changed state was restored, refused in one line, or what else came of it."""
    content = copy.deepcopy(whole)
    changed(content, place, value)
    torch.save(content, path)
    try:
        _, ended = go(method, path.parent / "run", start=path, more=[EndOnceRestored()])
    except Exception as error:
        if isinstance(error, ValueError | MisconfigurationException) and "\n" not in str(error):
            return "refused"
        return f"{place}: {value!r}: {error!r}"
    # a run of more epochs than were asked for has ended, as Lightning says
    return "restored" if not ended or place == (*EPOCH, "processed") else f"{place}: {value!r}: not resumed"


def test_no_path_of_a_checkpoint_is_followed(stopped, tmp_path):
    kept, other = tmp_path / "kept", tmp_path / "other"
    own = ModelCheckpoint(monitor="counted/score", mode="min", dirpath=kept, filename="own-{step}")
    content = torch.load(stopped / "last.ckpt", weights_only=True)
    for folder in (kept, other):
        (folder / "folder.ckpt").mkdir(parents=True)
        (folder / "notes.txt").write_text("a user's")
    (other / "notes.ckpt").write_text("a user's")
    (kept / "linked.ckpt").symlink_to(other / "notes.ckpt")
    (kept / "real.ckpt").write_text("an earlier best one")
    before = {*tmp_path.rglob("*")}
    names = [kept / name for name in ("folder.ckpt", "linked.ckpt", "notes.txt", "../other/notes.ckpt", "real.ckpt")]
    addresses = [f"{prefix}{other}" for prefix in ("local://", "file://", "simplecache::file://")]
    for path in map(str, [other, *addresses, other / "notes.ckpt", *names]):
        same = dict.fromkeys(("best_model_path", "kth_best_model_path", "last_model_path"), path)
        state = {"best_k_models": {path: torch.tensor(1e9)}, "dirpath": str(kept), **same}
        content["callbacks"][own.state_key] = own.state_dict() | state
        torch.save(content, tmp_path / "last.ckpt")
        again = ModelCheckpoint(monitor="counted/score", mode="min", dirpath=kept, filename="own-{step}")
        assert go("VFSSimSiam", tmp_path / "run", start=tmp_path / "last.ckpt", more=[again])[1]
        gone = before - {*tmp_path.rglob("*")}
        assert gone == ({kept / "real.ckpt"} if path.endswith("real.ckpt") else set())


def test_an_evaluation_takes_no_counters_from_a_checkpoint(stopped, tmp_path):
    content = torch.load(stopped / "last.ckpt", weights_only=True) | {"loops": "any"}

    def validate(path=tmp_path / "a.ckpt"):
        torch.save(content, path)
        trainer = quiet_trainer(callbacks=[Safeguards()])
        trainer.validate(make("VFSSimSiam", 1), loader(2, 2, 2, 16), path, verbose=False)

    assert refused(ValueError, r"a\.ckpt is damaged \(loops: ", validate)
    content["loops"] = {"validate_loop": {"epoch_loop.batch_progress": {"total": {"reset": 1}}}}
    validate()
