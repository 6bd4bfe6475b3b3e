"""A module of lightly 1.6.0 with our benchmark: `python docs/examples/with_lightly.py`, after `make demo`."""

import pytorch_lightning as pl
import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
from torchvision.models import resnet18

from vidcorr import BenchmarkCallback, DavisBenchmark


class SimSiam(pl.LightningModule):
    """SimSiam, of lightly's parts; benchmarks evaluate its `backbone`."""

    def __init__(self):
        super().__init__()
        self.backbone = resnet18()
        self.backbone.fc = torch.nn.Identity()
        self.projection_head = SimSiamProjectionHead(512, 512, 128)
        self.prediction_head = SimSiamPredictionHead(128, 64, 128)
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, views, batch_index):
        """Compute SimSiam's loss of two views of a batch of images."""
        z0, z1 = (self.projection_head(self.backbone(view)) for view in views)
        p0, p1 = self.prediction_head(z0), self.prediction_head(z1)
        return 0.5 * (self.criterion(p0, z1.detach()) + self.criterion(p1, z0.detach()))

    def configure_optimizers(self):
        """SGD at a constant rate."""
        return torch.optim.SGD(self.parameters(), 0.06)


benchmark = BenchmarkCallback(DavisBenchmark("demo/data/davis"), every_n_epochs=1)
trainer = pl.Trainer(max_epochs=1, accelerator="cpu", callbacks=[benchmark])
pairs = torch.utils.data.DataLoader([(torch.rand(3, 64, 64), torch.rand(3, 64, 64)) for _ in range(4)], 2)
trainer.fit(SimSiam(), pairs)
print(benchmark.history)
