"""The overview, the version, and one line for each kind of mistake on the command line."""

import re

import pytest

from cli import RUNS, main, tools

BENCHMARK = ["--model=FrozenEncoder", "--model.spec=raw_colour", "--config=benchmarks/davis.yaml"]

FIT = ["fit", "--model=VFSSimSiam"]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_word(words, capsys):
    main(words)
    shown = capsys.readouterr().out
    for word in (*RUNS, *tools()):
        assert re.search(rf"^  {word} +\S.*\.$", shown, re.MULTILINE), word


def test_version(capsys):
    main(["--version"])
    assert re.match(r"vidcorr \d+\.\d+\.\d+ \(torch \d", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["fit"], "give --model, a --config with a model, or --ckpt_path FILE"),
        (["fit", "--model", "dino-b9"], "model: there is no class 'dino-b9'; did you mean dino-b8?"),
        (["fit", "--modle", "x"], "there is no option --modle; did you mean --model?"),
        (["fit", "--model", "VFSSimSam"], "model: there is no class 'VFSSimSam'; did you mean VFSSimSiam?"),
        (["fit", "--model", "nowhere.Model"], "model: there is no class 'nowhere.Model'"),
        (
            [*FIT, "--model.projektor_dim=3"],
            "model: VFSSimSiam has no argument 'projektor_dim'; did you mean projector_dim?",
        ),
        (
            [*FIT, "--data.source=x"],
            "--data.source: nothing before it names the class; add --data CLASS or a file such as data/clips.yaml",
        ),
        ([*FIT, "--data=VideoDataModule"], "data: VideoDataModule needs source"),
        (
            [*FIT, "--data=VideoDataModule", "--data.source=x", "--data.frames=many"],
            "data.frames: expected int, got 'many'",
        ),
        (
            [*FIT, "--data=VideoDataModule", "--data.source=x", "--data.spatial=hole"],
            "data.spatial: expected bool or 'whole', got 'hole'",
        ),
        (
            [*FIT, "--data=VideoDataModule", "--data.source=x", "--data.num_workers=few"],
            "data.num_workers: expected int or null, got 'few'",
        ),
        ([*FIT, "--trainer.max_epochs=many"], "trainer.max_epochs: expected int or null, got 'many'"),
        ([*FIT, "--trainer.max_epohcs=3"], "trainer: Trainer has no argument 'max_epohcs'; did you mean max_epochs?"),
        (
            ["validate", *BENCHMARK, "--trainer.callbacks.every_n_epochs=two"],
            "trainer.callbacks.every_n_epochs: expected int, got 'two'",
        ),
        (
            ["validate", *BENCHMARK[:2], "--trainer.callbacks+=DavisBenchmark"],
            "trainer.callbacks: DavisBenchmark needs root",
        ),
        (
            ["validate", *BENCHMARK[:2], "--trainer.callbacks+=DavidBenchmark"],
            "trainer.callbacks: there is no class 'DavidBenchmark'; did you mean DavisBenchmark?",
        ),
        (
            ["validate", *BENCHMARK, "--trainer.callbacks.protokol=vfs"],
            "trainer.callbacks: DavisBenchmark has no argument 'protokol'; did you mean protocol?",
        ),
        (
            [*FIT, "--config=benchmark/davis.yaml"],
            "--config: there is no file benchmark/davis.yaml; did you mean benchmarks/davis.yaml?",
        ),
        (
            [*FIT, "--config=kinetics.yaml"],
            "--config: there is no file kinetics.yaml; did you mean data/kinetics.yaml?",
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
        (
            [
                "validate",
                *BENCHMARK,
                "--trainer.callbacks.protocol={name: x, context: 0, topk: 0, temperature: 1, radius: 1}",
            ],
            "protocol 'x': topk must be an integer (at least 1) or None, got 0 (--debug",
        ),
        (["figure", "nowhere"], "nowhere"),
        (["validate", *BENCHMARK[:2], "--trainer.logger=false"], "nothing to measure: add a benchmark"),
        (["validate", *BENCHMARK, "--config=benchmarks/davis.yaml"], "two BestCheckpoint have the same settings"),
        (
            ["predict", *BENCHMARK[:2], "--data.video=v.mp4", "--data.mask=m.png", "--trainer.limit_predict_batches=3"],
            "--trainer.limit_predict_batches does nothing",
        ),
    ],
)
def test_what_cannot_be_done(words, message):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert message in ended.value.code
    assert "\n" not in ended.value.code


def test_an_unknown_word_lists_the_words(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fti"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("vidcorr: unknown command 'fti'; did you mean fit? Commands: fit, validate, predict, ")
    assert said.count("\n") == 1
    assert all(word in said for word in tools())


def test_a_mistake_in_a_file_names_the_file(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "trainer:\n  callbacks+:\n    - class_path: DavisBenchmark\n      init_args: {root: x, stag: res4}\n"
    )
    with pytest.raises(SystemExit):
        main(["validate", *BENCHMARK[:2], f"--config={file}"])
    line = f"{file}: trainer.callbacks: DavisBenchmark has no argument 'stag'; did you mean stage?"
    assert capsys.readouterr().err == f"vidcorr: {line}\n"
