"""The overview, the version, exit statuses, and one line for each kind of mistake on the command line."""

import os
import re
import shlex

import pytest
from pytorch_lightning.callbacks import EarlyStopping

from callbacks.command_line.arguments import read_config
from callbacks.command_line.runs import VidcorrCLI
from cli import RUNS, main, tools
from lightning_modules import VFSSimSiam
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, loader, quiet_trainer
from tests.helpers.words import refusal
from vidcorr.backbones.foreign.conversion import account
from vidcorr.errors import Terminated, UsageError, report

FIT = "fit --model=VFSSimSiam"
VALIDATE = "validate --model=FrozenEncoder --model.spec=raw_colour"
MEASURE = f"{VALIDATE} --config=benchmarks/davis.yaml"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_word(words, capsys):
    main(words)
    shown = capsys.readouterr().out
    for word in (*RUNS, *tools()):
        assert re.search(rf"^  {word} +\S.*\.$", shown, re.MULTILINE), word


def test_version(capsys):
    main(["--version"])
    assert re.match(r"vidcorr \d+\.\d+\.\d+ \(torch \d", capsys.readouterr().out)


MISUNDERSTOOD = {
    "fti": f"unknown command 'fti'; did you mean fit? Commands: {', '.join([*RUNS, *tools()])}",
    "fit": "give --model NAME, a --config with a model, or --ckpt_path FILE (docs/models.md compares models)",
    "fit --model dino-b9": "model: unknown class 'dino-b9'; did you mean dino-b8?",
    "fit --data.help": "--data.help: name the class, as in --data.help VideoDataModule; --help lists the classes",
    "fit --modle x": "unknown option --modle; did you mean --model?",
    "fit --model nowhere.Model": "model: unknown class 'nowhere.Model'",
    f"{FIT} --model.projektor_dim=3": "model: VFSSimSiam has no argument 'projektor_dim'; did you mean projector_dim?",
    f"{FIT} --data.source=x": (
        "--data.source: nothing names the class; add --data CLASS or a file such as data/synthetic.yaml"
    ),
    f"{FIT} --data.frames=4 --data=VideoDataModule": "data: the following arguments are required: source",
    f"{FIT} --data=VideoDataModule --data.source=x --data.augmentation.spatial=hole": (
        "data.augmentation.spatial: expected bool or Literal['whole'], got 'hole'"
    ),
    f"{FIT} --trainer.max_epochs=many": "trainer.max_epochs: expected int, got 'many'",
    f"{FIT} --trainer.max_epohcs=3": "unknown option --trainer.max_epohcs; did you mean --trainer.max_epochs?",
    f"{FIT} --config=kinetics.yaml": "--config: there is no file kinetics.yaml; did you mean data/kinetics.yaml?",
    f"{VALIDATE} --trainer.callbacks+=DavidBenchmark": (
        "trainer.callbacks: unknown class 'DavidBenchmark'; did you mean DavisBenchmark?"
    ),
    f"{MEASURE} --verbose=1": "unknown option --verbose",
    f"{MEASURE} --weights_only=1": "unknown option --weights_only",
    f"{MEASURE} --trainer.limit_test_batches=1": (
        "unknown option --trainer.limit_test_batches; did you mean --trainer.limit_train_batches?"
    ),
    "predict --model=raw_colour --output_dir=x": (
        "unknown option --output_dir; did you mean --trainer.callbacks.output_dir?"
    ),
    "predict --model raw_colour@block12 --trainer.callbacks.overlay=mp5": (
        "trainer.callbacks.overlay: expected one of 'mp4', 'gif', 'webp', 'none', got 'mp5'"
    ),
}
IMPOSSIBLE = {
    "validate --ckpt_path nowhere.ckpt": "--ckpt_path: there is no file nowhere.ckpt",
    f"{MEASURE} --trainer.callbacks.protocol=fvs": "unknown protocol 'fvs'",
    f"{MEASURE} '--trainer.callbacks.protocol={{name: x, context: 0, topk: 0, temperature: 1, radius: 1}}'": (
        "protocol 'x': topk must be greater than or equal to 1 or None, got 0"
    ),
    "table nowhere": "nowhere",
    "validate --model=raw_colour@x/none": "raw_colour@x/none: the stride 'none' is not a number; write SPEC@STAGE",
    f"{VALIDATE} --trainer.logger=false": "nothing to measure: add a benchmark",
    f"{MEASURE} '--trainer.callbacks.changes={{radus: 3}}'": "a protocol has no field 'radus'; did you mean radius?",
    f"{MEASURE} --trainer.accelerator=cpu --trainer.devices=q": (
        "trainer.devices: expected auto or a number of processes, got"
    ),
    f"{FIT} --trainer.logger=false": "fit needs data: add a file such as --config data/synthetic.yaml",
}


@pytest.mark.parametrize("words", MISUNDERSTOOD)
def test_words_that_cannot_be_understood(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words))
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"vidcorr: {MISUNDERSTOOD[words]}\n"


@pytest.mark.parametrize("words", IMPOSSIBLE)
def test_what_cannot_be_done(words):
    line = refusal(*shlex.split(words))
    assert IMPOSSIBLE[words] in line
    assert "--debug" not in line


def test_the_parser_of_a_completion_has_all_commands(capsys):
    with pytest.raises(SystemExit):
        VidcorrCLI(["--help"], completes=True)
    assert re.findall(r"^    (fit|validate|test|predict) ", capsys.readouterr().out, re.MULTILINE) == [*RUNS]


def test_the_help_of_a_run_names_what_belongs_to_all_commands(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    shown = capsys.readouterr().out
    assert "--debug" in shown
    assert "--allow NAME" in shown
    assert "datamodules.VideoDataModule" in shown
    assert "SampledDataModule" not in shown
    assert "MaskBenchmark" not in shown
    assert "os.getcwd" not in shown


def test_a_mistake_in_a_file_names_the_file(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "trainer:\n  callbacks+:\n    - class_path: DavisBenchmark\n      init_args: {root: x, stag: res4}\n"
    )
    with pytest.raises(SystemExit):
        main([*VALIDATE.split(), f"--config={file}"])
    line = f"{file}: trainer.callbacks: DavisBenchmark has no argument 'stag'; did you mean stage?"
    assert capsys.readouterr().err == f"vidcorr: {line}\n"


def test_a_config_that_never_ends_is_refused(tmp_path):
    pipe, bomb = tmp_path / "pipe.yaml", tmp_path / "bomb.yaml"
    os.mkfifo(pipe)
    assert refused(UsageError, "not a regular file", read_config, str(pipe))
    lines = ["a0: &a0 [1, 2]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    for text in ("\n".join(lines), "a: &a [*a]"):
        bomb.write_text(text)
        assert refused(UsageError, "repeat each other endlessly", read_config, str(bomb))


def test_gpus_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = refusal(*shlex.split(f"{FIT} --config=data/synthetic.yaml --config=trainer/gpus.yaml"))
    assert "trainer.accelerator gpu: torch finds no GPU on this machine; leave it and trainer/gpus.yaml out" in line


def test_a_monitor_that_is_never_logged_is_named():
    trainer = quiet_trainer(max_epochs=1, callbacks=[EarlyStopping("val/nothing")])
    with pytest.raises(RuntimeError) as error:
        trainer.fit(VFSSimSiam(**TINY), loader(4, 2, frames=2, size=32))
    assert report(error.value).startswith("vidcorr: Early stopping conditioned on metric `val/nothing`")


class ProcessRaisedException(Exception):
    """Stand-in for torch.multiprocessing's, which holds the traceback of a forked rank as text."""

    def __init__(self, last):
        super().__init__(f"-- Process 0 terminated\nTraceback (most recent call last):\n  File x\n{last}\n")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (ValueError("of a library"), "vidcorr: of a library (--debug shows where)"),
        (FileNotFoundError(2, "No such file", "a.mp4"), "vidcorr: [Errno 2] No such file: 'a.mp4'"),
        (
            RuntimeError("[../third_party/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"),
            "vidcorr: another process of this run has ended, see its message; resume with --ckpt_path last",
        ),
        (BrokenPipeError(32, "Broken pipe"), "vidcorr: [Errno 32] Broken pipe"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (AssertionError(), None),
        (ProcessRaisedException("vidcorr.videos.guards.DataError: no such folder"), "vidcorr: no such folder"),
        (ProcessRaisedException("ValueError: stage must be one name"), "vidcorr: stage must be one name"),
        (ProcessRaisedException("KeyError: 'clip'"), None),
        (
            ValueError('Caught DataError in worker process 0.\nOriginal Traceback:\n  File "a"\nDataError: no pair'),
            "vidcorr: no pair (--debug shows where)",
        ),
        (ValueError("x.pth: \x1b[31mred\x07 名"), r"vidcorr: x.pth: \x1b[31mred\x07 名 (--debug shows where)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_ends_with(error, status):
    assert report(error) == status


@pytest.mark.parametrize(("rank", "prefix"), [("0", ""), ("1", "rank 1 of 2: ")])
def test_a_rank_names_itself(rank, prefix, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert report(FileNotFoundError(2, "No such file", "a")) == f"vidcorr: {prefix}[Errno 2] No such file: 'a'"


def test_keys_of_a_checkpoint_do_not_command_the_terminal():
    told = {"family": "vfs", "class_path": "a.B", "init_args": {}, "unused": {}, "note": "", "measure": ""}
    assert "\x1b" not in account(told | {"beside": ["epoch", "\x1b[31m"]})
