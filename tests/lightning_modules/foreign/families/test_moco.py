"""MoCo's checkpoints."""

import torch

from lightning_modules.backbones import module_from_checkpoint
from lightning_modules.foreign.conversion import convert
from tests.helpers.foreign import (
    lively_resnet18,
    write,
)


def test_moco_takes_the_query_encoder_of_a_whole_checkpoint(tmp_path):
    state = lively_resnet18().state_dict()
    whole = {f"module.encoder_q.{name}": value for name, value in state.items()}
    whole |= {f"module.encoder_k.{name}": -value for name, value in state.items()}
    whole |= {"module.queue": torch.rand(128, 64), "module.queue_ptr": torch.zeros(1)}
    write(tmp_path / "moco.pth", whole, optimizer={"lr": 0.03}, arch="resnet18")
    report = convert(tmp_path / "moco.pth", tmp_path / "ours.ckpt")
    own = module_from_checkpoint(tmp_path / "ours.ckpt").encoder.network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items())
    assert {"queue", "encoder_k.conv1.weight"} <= report.converted.unused.keys()
    for told in ("encoder_k", "moving average", "optimizer, arch (stored with the weights)"):
        assert told in str(report)
