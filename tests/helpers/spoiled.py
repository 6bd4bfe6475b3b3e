"""A training whose loss and weights can be spoiled."""

import pytorch_lightning as pl
import torch

from tests.helpers.training import Tiny, quiet_trainer


class Training(pl.LightningModule):
    """A convolution whose loss and weights can be spoiled."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.loss, self.weight = Tiny(), 1.0, None

    def training_step(self, batch, batch_index):
        loss = self.net(batch["clip"].flatten(0, 1)).square().mean()
        return loss * (self.loss if batch_index == 3 else 1)

    def on_train_batch_end(self, *args):
        if self.weight is not None and args[-1] == 5:
            self.net.conv.weight.data[0, 0, 0, 0] = self.weight

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


def fit(folder, module, callbacks):
    batches = [{"clip": torch.rand(2, 2, 3, 8, 8), "video_index": torch.tensor([5, 9])} for _ in range(6)]
    trainer = quiet_trainer(callbacks=callbacks, max_epochs=2, default_root_dir=folder, enable_checkpointing=True)
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
