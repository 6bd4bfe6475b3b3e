"""A user's module, which `random_stops` copies to the user's folder."""

import torch

from vidcorr.lightning_modules import VFSMoCo


class Mine(VFSMoCo):
    """A method with a state and an optimiser of its own."""

    def setup(self, stage):
        super().setup(stage)
        self.register_buffer("batches", torch.zeros(()))

    def on_train_batch_end(self, *args):
        self.batches += 1

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-3)
