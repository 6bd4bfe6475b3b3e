"""The arguments of a command line: flags with their values, configs with their content, in an order that parses."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from callbacks.command_line.arguments import merge, read_arguments, read_config
from callbacks.command_line.runs import with_last_checkpoint, with_saved_model
from cli import main
from lightning_modules import VFSSimSiam
from tests.helpers.parsed import Parsed
from tests.helpers.refusal import refused
from vidcorr.backbones import trust
from vidcorr.backbones.checkpoints import write_checkpoint
from vidcorr.config_files import CONFIGS, find_config
from vidcorr.errors import UsageError

TINY = "tests.helpers.encoders:TinyResNet"


def test_what_belongs_to_the_configuration_and_what_does_not():
    words = "fit --print_config --model Liir --data.box -1 '--x=a b' c --model.help=Liir --y="
    given, rest = read_arguments(shlex.split(words))
    contents = [{"model": "Liir"}, {"data": {"box": "-1"}}, {"x": "a b"}, {"y": ""}]
    assert [each.content for each in given] == contents
    assert rest == ["fit", "--print_config", "c", "--model.help=Liir"]


def test_a_config_is_found_and_a_users_own_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = CONFIGS / "benchmarks/davis.yaml"
    ((found,), _) = read_arguments(["--config", "benchmarks/davis.yaml"])
    assert (found.file, found.content.keys()) == (str(own), {"trainer"})
    assert find_config("configs/benchmarks/davis.yaml") == own
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/davis.yaml").write_text("temperature: 1e-3")
    assert read_config("benchmarks/davis.yaml").content == {"temperature": 0.001}
    (tmp_path / "benchmarks/davis.yaml").write_text("a: [")
    refused(UsageError, "cannot", read_config, "benchmarks/davis.yaml")


@pytest.mark.parametrize("flag", ["--config={}", "--config {}", "-c {}"])
def test_names_on_a_command_line_and_in_its_configs_are_allowed(tmp_path, monkeypatch, flag):
    monkeypatch.setattr(trust, "_allowed", set())
    config = tmp_path / "a.yaml"
    config.write_text("model:\n  class_path: mine.Method\n  init_args:\n    names: [a:b, {deep: c:d}]\n    n: 3\n")
    read_arguments(["--data.annotations", str(config)])
    assert "mine.Method" not in trust._allowed  # a file of data names nothing
    args = ["fit", "--model", "x.Y", "--model.backbone=e:f", "--allow", "g:h", *flag.format(config).split(" ")]
    given, rest = read_arguments([*args, "--allow=i:j"])
    assert (len(given), rest) == (3, ["fit"])
    assert {"x.Y", "e:f", "g:h", "i:j", "mine.Method", "a:b", "c:d"} <= trust._allowed
    for wrong in (["--allow"], ["--allow", "--config"], ["--allow="]):
        refused(UsageError, "--allow: name the class or callable", read_arguments, wrong)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("dino-b8", ("timm:vit_base_patch8_224.dino", True, "block12", None)),
        ("dino-b8 --model.stage block9", ("timm:vit_base_patch8_224.dino", True, "block9", None)),
        ("torchvision:resnet18@res3/8", ("torchvision:resnet18", False, "res3", 8)),
        ("raw_colour", ("raw_colour", False, None, None)),
    ],
)
def test_a_model_is_what_compare_takes_and_a_flag_behind_it_wins(words, expected):
    config = Parsed(["validate", "--model", *words.split(), "--config=benchmarks/davis_dino.yaml"]).config
    model = config.model
    given = model.init_args
    assert model.class_path.endswith("FrozenEncoder")
    assert (given.spec, given.pretrained, given.stage, given.stride) == expected


def merged(*words):
    return merge(read_arguments(words)[0])


def test_a_flag_goes_to_the_class_that_takes_it_wherever_the_class_is_named():
    mine, other = "--trainer.callbacks+=BestCheckpoint", "--trainer.callbacks+=CollapseMonitor"
    early, late, strange = (f"--trainer.callbacks.{name}=1" for name in ("save_top_k", "init_args.mode", "no_such"))
    given = ["--data.frames=4", early, mine, other, strange, late, "--data=VideoDataModule", "--data.size=8"]
    config = merged(*given)
    assert config["data"] == {
        "class_path": "datamodules.video.VideoDataModule",
        "init_args": {"frames": "4", "size": "8"},
    }
    assert [entry["init_args"] for entry in config["trainer"]["callbacks"]] == [
        {"save_top_k": "1", "mode": "1"},
        {"no_such": "1"},
    ]


def test_each_of_two_classes_takes_the_flags_behind_it():
    words = ["--trainer.callbacks.limit_sequences=3"]  # before all classes: for the first that takes it
    for number, kind in enumerate(("DavisBenchmark", "JhmdbBenchmark")):
        words += [f"--trainer.callbacks+={kind}", f"--trainer.callbacks.root={number}"]
    words += ["--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.stage=b"]
    found = [entry.get("init_args") for entry in merged(*words)["trainer"]["callbacks"]]
    assert found == [{"limit_sequences": "3", "root": "0"}, {"root": "1", "stage": "b"}, None]


def test_files_add_up_and_another_class_begins_with_its_own_defaults(tmp_path):
    one = config_file(
        tmp_path / "one.yaml", "{model: {class_path: Liir, init_args: {lr: 1, radius: 2}}, trainer: {a: 1}}"
    )
    two = config_file(tmp_path / "two.yaml", "{model: {init_args: {lr: 3}}, trainer: {b: 2, logger: CSVLogger}}")
    config = merged("--trainer.logger.name=x", one, two)
    assert config["model"]["init_args"] == {"lr": 3, "radius": 2}
    assert config["trainer"] == {"a": 1, "b": 2, "logger": {"class_path": "CSVLogger", "init_args": {"name": "x"}}}
    assert merged(one, two, "--model=VFSMoCo")["model"] == {"class_path": "lightning_modules.vfs_moco.VFSMoCo"}
    callbacks = "{trainer: {callbacks: [LastCheckpoint]}}"
    three = config_file(tmp_path / "three.yaml", callbacks)
    found = merged("--trainer.callbacks+=Throughput", three, "--trainer.callbacks+=Safeguards")["trainer"]["callbacks"]
    assert [entry["class_path"].rpartition(".")[2] for entry in found] == ["LastCheckpoint", "Safeguards"]


def test_a_flag_for_an_entry_of_a_dictionary_keeps_the_others(tmp_path):
    entry = "{class_path: DavisBenchmark, init_args: {root: x, changes: {context: 2, radius: 9}}}"
    file = config_file(tmp_path / "a.yaml", f"{{model: FrozenEncoder, trainer: {{callbacks+: [{entry}]}}}}")
    words = [file, "--model.spec=raw_colour", "--trainer.callbacks.changes.radius=3"]
    parsed = Parsed(["validate", *words]).config
    assert parsed.trainer.callbacks[0].init_args.changes == {"context": 2, "radius": 3}


def test_one_seed_for_all_unless_one_is_set_by_hand():
    given = ["fit", "--config=vfs_moco_r18.yaml", "--config=data/clips.yaml", "--data.seed=1", "--seed_everything=7"]
    parsed = Parsed(given).config
    assert (parsed.seed_everything, parsed.model.init_args.seed, parsed.data.init_args.seed) == (7, 7, 1)
    for without in (["--model=VFSMoCo"], ["--model=VFSSimSiam", "--seed_everything=7"]):
        assert "init_args" not in merged(*without)["model"]


def test_a_flag_wins_over_a_file_and_a_file_over_a_checkpoint(tmp_path, capsys):
    checkpoint = last_checkpoint(tmp_path / "a.ckpt", 1, projector_dim=4)
    file = config_file(
        tmp_path / "file.yaml", "model: {class_path: VFSSimSiam, init_args: {predictor_dim: 50, base_lr: 6}}"
    )
    with pytest.raises(SystemExit):
        main(["fit", f"--ckpt_path={checkpoint}", file, "--model.base_lr=600", "--print_config"])
    shown = capsys.readouterr().out
    names = ("projector_dim", "predictor_dim", "base_lr")
    assert [float(re.search(rf"{name}: (\S+)", shown)[1]) for name in names] == [4, 50, 600]


def test_a_config_with_a_null_model_leaves_the_model_to_the_checkpoint(tmp_path):
    checkpoint = last_checkpoint(tmp_path / "a.ckpt", 1, projector_dim=4)
    file = config_file(tmp_path / "file.yaml", "model: null")
    model = with_saved_model(merged(file, f"--ckpt_path={checkpoint}"))["model"]
    assert model["class_path"].endswith("VFSSimSiam")
    assert model["init_args"]["projector_dim"] == 4


def last_checkpoint(path, step, projector_dim):
    """Write a `last.ckpt` of a run."""
    write_checkpoint(VFSSimSiam(TINY, projector_dim, 5), path)
    torch.save(torch.load(path, weights_only=True) | {"global_step": step, "resume": {"run": step}}, path)
    return str(path)


def config_file(path, text):
    path.write_text(text)
    return f"--config={path}"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A newer run in `runs`, older ones in `kept` and `demo`, of other hyper-parameters."""
    monkeypatch.chdir(tmp_path)
    steps = {"runs": 8, "demo": 6, "kept": 7}
    return {name: last_checkpoint(Path(name, "checkpoints/last.ckpt"), step, step) for name, step in steps.items()}


def test_class_arguments_and_weights_come_from_one_run(runs, tmp_path, capsys):
    demo = config_file(tmp_path / "demo.yaml", "trainer: {default_root_dir: demo}")
    with pytest.raises(SystemExit):
        main(["validate", "--ckpt_path", "last", demo, f"--allow={TINY}", "--print_config"])
    shown = capsys.readouterr().out
    assert re.search(r"projector_dim: (\d+)", shown)[1] == "6"
    assert re.search(r"\nckpt_path: (\S+)", shown)[1] == runs["demo"]


def last(command, *words):
    given, _ = read_arguments(words)
    return with_last_checkpoint(merge(given), given, command)


def test_last_is_searched_for_where_flags_and_files_say(runs, tmp_path):
    root = config_file(tmp_path / "root.yaml", "trainer: {default_root_dir: demo}")
    entry = "{class_path: LastCheckpoint, init_args: {dirpath: kept/checkpoints}}"
    kept = config_file(tmp_path / "kept.yaml", f"trainer: {{callbacks+: [{entry}]}}")
    expected = {
        (): "runs",
        (root,): "demo",
        ("--trainer.default_root_dir=runs", root): "runs",
        (root, kept): "kept",
        (root, "--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.dirpath=kept/checkpoints"): "kept",
        (root, f"--trainer.callbacks+={entry}"): "kept",
        ('--trainer={"default_root_dir": "demo"}',): "demo",
    }
    for words, run in expected.items():
        assert last("validate", *words)["ckpt_path"] == runs[run], words


def test_without_a_last_one_a_training_begins_and_nothing_else_does(runs):
    elsewhere = "--trainer.default_root_dir=elsewhere"
    assert last("fit", elsewhere)["ckpt_path"] is None
    refused(ValueError, r"^--ckpt_path last: no last\.ckpt in elsewhere$", last, "validate", elsewhere)


def test_last_alone_is_the_run_by_its_own_config(runs):
    config_file(Path("runs/config.yaml"), "{model: {class_path: VFSSimSiam, init_args: {projector_dim: 8}}}")
    found = last("fit", "--trainer.max_steps=9")
    assert found["model"]["init_args"] == {"projector_dim": 8}
    assert found["trainer"] == {"max_steps": "9", "default_root_dir": "runs"}
    assert "init_args" not in last("fit", "--model=VFSSimSiam")["model"]
