"""What the command line says to a person: an overview, a version, and one line for each kind of mistake."""

import re

import pytest

from cli import RUNS, TOOLS, main

BENCHMARK = ["--model=FrozenEncoder", "--model.spec=raw_colour", "--config=configs/benchmarks/davis.yaml"]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_word(words, capsys):
    main(words)
    shown = capsys.readouterr().out
    for word in (*RUNS, *TOOLS):
        assert re.search(rf"^  {word} +\S.*\.$", shown, re.MULTILINE), word


def test_version(capsys):
    main(["--version"])
    assert re.match(r"vidcorr \d+\.\d+\.\d+ \(torch \d", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["fti"], "there is no word 'fti'; did you mean fit?"),
        (["fit"], "give --model, a --config with a model, or --ckpt_path FILE"),
        (["fit", "--modle", "x"], "unrecognized arguments: --modle x; did you mean --model?"),
        (["fit", "--model", "VFSSimSam"], "model: there is no class 'VFSSimSam'; did you mean VFSSimSiam?"),
        (
            ["fit", "--model=VFSSimSiam", "--model.projektor_dim=3"],
            "model: there is no option 'projektor_dim'; did you mean projector_dim?",
        ),
        (["fit", "--model=VFSSimSiam", "--data=VideoDataModule"], "data: needs source"),
        (
            ["fit", "--model=VFSSimSiam", "--data=VideoDataModule", "--data.frames=many"],
            "data: frames: must be int, got 'many'",
        ),
        (
            ["validate", *BENCHMARK, "--trainer.callbacks.every_n_epochs=two"],
            "trainer.callbacks: every_n_epochs: must be int, got 'two'",
        ),
        (["validate", *BENCHMARK[:2], "--trainer.callbacks+=DavisBenchmark"], "trainer.callbacks: needs root"),
        (
            ["validate", *BENCHMARK, "--trainer.callbacks.protokol=vfs"],
            "trainer.callbacks: there is no option 'protokol'; did you mean protocol?",
        ),
    ],
)
def test_words_that_cannot_be_understood(words, line, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"vidcorr: {line}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["validate", "--ckpt_path", "nowhere.ckpt"], "--ckpt_path: there is no file nowhere.ckpt"),
        (["validate", *BENCHMARK, "--trainer.callbacks.protocol=fvs"], "unknown protocol 'fvs'"),
        (["figure", "nowhere"], "nowhere"),
        (["validate", *BENCHMARK[:2], "--trainer.logger=false"], "nothing to measure: add a benchmark"),
        (
            ["validate", *BENCHMARK, "--config=configs/benchmarks/davis.yaml"],
            "two BestCheckpoint have the same settings",
        ),
    ],
)
def test_what_cannot_be_done(words, message):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert message in ended.value.code
    assert "\n" not in ended.value.code


def test_a_flag_wins_over_a_file_and_a_file_over_a_checkpoint(tmp_path, capsys):
    import torch

    from lightning_modules import VFSSimSiam

    saved = {"backbone": "tests.helpers.encoders:TinyResNet", "projector_dim": 4, "predictor_dim": 5, "base_lr": 6.0}
    checkpoint = tmp_path / "a.ckpt"
    model = VFSSimSiam(**saved)
    content = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(content)
    torch.save(content, checkpoint)
    file = tmp_path / "file.yaml"
    file.write_text("model:\n  class_path: VFSSimSiam\n  init_args: {predictor_dim: 50, base_lr: 60.0}\n")
    with pytest.raises(SystemExit):
        main(["fit", f"--ckpt_path={checkpoint}", f"--config={file}", "--model.base_lr=600", "--print_config"])
    shown = capsys.readouterr().out
    values = {
        name: float(re.search(rf"{name}: (\S+)", shown)[1]) for name in ("projector_dim", "predictor_dim", "base_lr")
    }
    assert values == {"projector_dim": 4, "predictor_dim": 50, "base_lr": 600}
