"""A module of stable-pretraining 0.1.8 with our benchmark: `python docs/examples/stable.py`, after `make demo`."""

import lightning as L
import stable_pretraining as spt
import torch
from torchvision.models import resnet18

from vidcorr import BenchmarkCallback, DavisBenchmark
from vidcorr.backbones import build_feature_extractor


class Module(spt.Module):
    """A module whose forward pass takes a batch, so it states its features for benchmarks itself."""

    def feature_extractor(self, stage=None, stride=None, dilated=False):
        """Return an extractor of the backbone's features."""
        return build_feature_extractor(self.backbone, stage, stride, dilated=dilated)


def forward(self, batch, stage):
    """Compute the loss of a batch: no method, just something to train."""
    return {"loss": self.backbone(batch["image"]).square().mean()}


module = Module(forward=forward, backbone=resnet18(), optim={"optimizer": {"type": "SGD", "lr": 0.01}})
images = [{"image": torch.rand(3, 64, 64)} for _ in range(4)]
data = spt.data.DataModule(train=torch.utils.data.DataLoader(images, 2))
benchmark = BenchmarkCallback(DavisBenchmark("demo/data/davis"), every_n_epochs=1)
trainer = L.Trainer(max_epochs=1, accelerator="cpu", callbacks=[benchmark])
spt.Manager(trainer=trainer, module=module, data=data)()
print(benchmark.history)
