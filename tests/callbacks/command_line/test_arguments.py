"""The arguments of a command line: flags with their values, configs with their content."""

import pytest

from callbacks.command_line.arguments import Argument, option_of, read_arguments
from callbacks.command_line.configs import shipped_configs
from callbacks.command_line.endings import UsageError


def test_a_flag_and_its_value_are_one_argument():
    words = ["fit", "--print_config", "--model", "Liir", "--data.box", "-1", "--x=a b", "c", "--z+", "T", "--y="]
    joined = ["fit", "--print_config", "--model=Liir", "--data.box=-1", "--x=a b", "c", "--z+=T", "--y="]
    assert [str(argument) for argument in read_arguments(words)] == joined
    assert read_arguments(["--print_config"]) == [Argument("--print_config")]
    short = read_arguments(["fit", "--print_config", "-c", "data: {class_path: X}"])
    assert [str(argument) for argument in short] == ["fit", "--print_config", "--config=data: {class_path: X}"]


def test_a_config_is_found_and_read(tmp_path):
    (tmp_path / "broken.yaml").write_text("a: [")
    for value, path, content in (
        ("trainer/nodes.yaml", str(shipped_configs() / "trainer/nodes.yaml"), None),
        ("data: {class_path: X}", "data: {class_path: X}", {"data": {"class_path": "X"}}),
        (str(tmp_path / "broken.yaml"), str(tmp_path / "broken.yaml"), {}),
    ):
        for words in (["--config", value], [f"--config={value}"]):
            (argument,) = read_arguments(words)
            assert (argument.flag, argument.value) == ("--config", path)
            assert argument.content == content if content is not None else "trainer" in argument.content
    with pytest.raises(UsageError, match=r"there is no file dvis\.yaml; did you mean"):
        read_arguments(["--config=dvis.yaml"])


def test_the_last_flag_or_file_sets_an_option():
    flag, null, other = "--ckpt_path=a.ckpt", "--ckpt_path=null", "--config=ckpt_path: b.ckpt"
    for *words, value in ((flag, other, "b.ckpt"), (other, flag, "a.ckpt"), (other, null, None), ("--x=1", None)):
        assert option_of(read_arguments(words), "ckpt_path") == value


def test_other_models_than_short_names_stay_as_they_are():
    words = ["fit", "--model=VFSSimSiam", "--model.backbone=torchvision:resnet18", "--model"]
    assert [str(argument) for argument in read_arguments(words)] == words
