"""Arguments of a run: flags win over files, and files over a checkpoint."""

import re

import pytest

from cli import main


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
