"""The arguments of a command line: flags with their values, configs with their content, in an order that parses."""

import re
from pathlib import Path

import pytest
import torch

from callbacks.command_line.arguments import Argument, read_arguments, with_flags_in_place, with_one_seed
from callbacks.command_line.configs import find_config, shipped_configs
from callbacks.command_line.endings import UsageError
from callbacks.command_line.runs import VidcorrCLI, with_last_checkpoint
from cli import main
from lightning_modules import VFSSimSiam

TINY = "tests.helpers.encoders:TinyResNet"


class Parsed(VidcorrCLI):
    """The command line as far as it is parsed: nothing is made."""

    def instantiate_classes(self):
        """Make nothing."""

    def _run_subcommand(self, subcommand):
        """Run nothing."""


def words(arguments):
    return [str(argument) for argument in arguments]


def test_a_flag_and_its_value_are_one_argument():
    given = ["fit", "--print_config", "--model", "Liir", "--data.box", "-1", "--x=a b", "c", "--z+", "T", "--y="]
    joined = ["fit", "--print_config", "--model=Liir", "--data.box=-1", "--x=a b", "c", "--z+=T", "--y="]
    assert words(read_arguments(given)) == joined
    short = read_arguments(["fit", "--print_config", "-c", "data: {class_path: X}"])
    assert words(short) == ["fit", "--print_config", "--config=data: {class_path: X}"]


def test_a_config_is_found_and_a_users_own_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = shipped_configs() / "benchmarks/davis.yaml"
    (found,) = read_arguments(["--config", "benchmarks/davis.yaml"])
    assert (found.value, found.content.keys()) == (str(own), {"trainer"})
    assert find_config("configs/benchmarks/davis.yaml") == own
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/davis.yaml").write_text("a: [")
    assert read_arguments(["--config=benchmarks/davis.yaml"]) == [Argument("--config", "benchmarks/davis.yaml")]
    with pytest.raises(UsageError, match=r"there is no file dvis\.yaml; did you mean"):
        read_arguments(["--config=dvis.yaml"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("dino-b8", ("timm:vit_base_patch8_224.dino", True, "block12", None)),
        ("torchvision:resnet18@res3/8", ("torchvision:resnet18", False, "res3", 8)),
        ("raw_colour", ("raw_colour", False, None, None)),
    ],
)
def test_a_model_is_what_compare_takes(spec, expected):
    model = Parsed(["validate", "--model", spec, "--config=benchmarks/davis_dino.yaml"]).config["validate"].model
    given = model.init_args
    assert model.class_path.endswith("FrozenEncoder")
    assert (given.spec, given.pretrained, given.stage, given.stride) == expected


def test_a_flag_behind_a_short_name_wins():
    model = Parsed(["validate", "--model", "dino-b8", "--model.stage", "block9"]).config["validate"].model
    assert model.init_args.stage == "block9"


def test_flags_move_behind_the_class_that_takes_them():
    mine, other = "--trainer.callbacks+=BestCheckpoint", "--trainer.callbacks+=CollapseMonitor"
    early, late, strange = (f"--trainer.callbacks.{name}=1" for name in ("save_top_k", "mode", "no_such"))
    given = ["fit", "--data.frames=4", early, mine, other, strange, late, "--data=VideoDataModule", "--data.size=8"]
    found = ["fit", mine, early, late, other, strange, "--data=VideoDataModule", "--data.frames=4", "--data.size=8"]
    assert words(with_flags_in_place(read_arguments(given))) == found


def test_one_seed_for_all_unless_one_is_set_by_hand():
    given = ["fit", "--config=vfs_moco_r18.yaml", "--config=data/clips.yaml", "--data.seed=1", "--seed_everything=7"]
    parsed = Parsed(given).config["fit"]
    assert (parsed.seed_everything, parsed.model.init_args.seed, parsed.data.init_args.seed) == (7, 7, 1)
    for without in (["fit", "--model=VFSMoCo"], ["fit", "--model=VFSSimSiam", "--seed_everything=7"]):
        assert words(with_one_seed(read_arguments(without))) == without


def test_a_flag_wins_over_a_file_and_a_file_over_a_checkpoint(tmp_path, capsys):
    checkpoint = last_checkpoint(tmp_path / "a.ckpt", 1, projector_dim=4)
    file = config(tmp_path / "file.yaml", "model: {class_path: VFSSimSiam, init_args: {predictor_dim: 50, base_lr: 6}}")
    with pytest.raises(SystemExit):
        main(["fit", f"--ckpt_path={checkpoint}", file, "--model.base_lr=600", "--print_config"])
    shown = capsys.readouterr().out
    names = ("projector_dim", "predictor_dim", "base_lr")
    assert [float(re.search(rf"{name}: (\S+)", shown)[1]) for name in names] == [4, 50, 600]


def last_checkpoint(path, step, projector_dim):
    """Write a `last.ckpt` of a run."""
    model = VFSSimSiam(TINY, projector_dim, 5)
    content = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content | {"global_step": step, "epoch": 0, "resume": {"run": step}}, path)
    return str(path)


def config(path, text):
    path.write_text(text)
    return f"--config={path}"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A newer run in `runs`, older ones in `kept` and `demo`, of other hyper-parameters."""
    monkeypatch.chdir(tmp_path)
    steps = {"runs": 8, "demo": 6, "kept": 7}
    return {name: last_checkpoint(Path(name, "checkpoints/last.ckpt"), step, step) for name, step in steps.items()}


def test_class_arguments_and_weights_come_from_one_run(runs, tmp_path, capsys):
    demo = config(tmp_path / "demo.yaml", "trainer: {default_root_dir: demo}")
    with pytest.raises(SystemExit):
        main(["validate", "--ckpt_path", "last", demo, f"--allow={TINY}", "--print_config"])
    shown = capsys.readouterr().out
    assert re.search(r"projector_dim: (\d+)", shown)[1] == "6"
    assert re.search(r"\nckpt_path: (\S+)", shown)[1] == runs["demo"]


def test_last_is_searched_for_where_flags_and_files_say(runs, tmp_path):
    root = config(tmp_path / "root.yaml", "trainer: {default_root_dir: demo}")
    entry = "{class_path: LastCheckpoint, init_args: {dirpath: kept/checkpoints}}"
    kept = config(tmp_path / "kept.yaml", f"trainer: {{callbacks+: [{entry}]}}")
    last = "--ckpt_path=last"
    expected = {
        (last,): "runs",
        (last, root): "demo",
        (root, last, "--trainer.default_root_dir=runs"): "runs",
        (last, "--trainer.default_root_dir=runs", root): "demo",
        (last, root, kept): "kept",
        (last, root, "--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.dirpath=kept/checkpoints"): "kept",
        (last, root, f"--trainer.callbacks+={entry}"): "kept",
        (last, '--trainer={"default_root_dir": "demo"}'): "demo",
        (config(tmp_path / "last.yaml", "ckpt_path: last"), root): "demo",
    }
    for given, run in expected.items():
        found = with_last_checkpoint(read_arguments(["validate", *given]))
        assert words(found[1:]) == [*given, f"--ckpt_path={runs[run]}"], given


def test_without_a_last_one_a_training_begins_and_nothing_else_does(runs):
    given = ["--ckpt_path=last", "--trainer.default_root_dir=elsewhere"]
    assert words(with_last_checkpoint(read_arguments(["fit", *given])))[-1] == "--ckpt_path=null"
    with pytest.raises(ValueError, match=r"^--ckpt_path last: no last\.ckpt in elsewhere$"):
        with_last_checkpoint(read_arguments(["validate", *given]))


def test_last_alone_is_the_run_by_its_own_config(runs):
    own = config(Path("runs/config.yaml"), "model: {class_path: VFSSimSiam, init_args: {projector_dim: 8}}")
    first = ["fit", "--ckpt_path=last", "--trainer.max_steps=9"]
    found = words(with_last_checkpoint(read_arguments(first)))
    assert found == ["fit", own, "--trainer.default_root_dir=runs", *first[1:], f"--ckpt_path={runs['runs']}"]
    named = ["fit", "--model=VFSSimSiam", "--ckpt_path=last"]
    assert words(with_last_checkpoint(read_arguments(named)))[:-1] == named
