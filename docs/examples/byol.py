"""A method with a moving average, in one file: `vidcorr fit --config demo.yaml --model docs.examples.byol:Byol`."""

from copy import deepcopy

import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from vidcorr.lightning_modules.base import CorrespondenceModule
from vidcorr.lightning_modules.parts.heads import mlp, split_views
from vidcorr.lightning_modules.parts.momentum import MomentumMethod
from vidcorr.lightning_modules.parts.schedules import cosine_factor


class Byol(MomentumMethod, CorrespondenceModule):
    """BYOL (Grill et al., NeurIPS 2020) on videos: predict the average's features of the other half."""

    def __init__(
        self, backbone: str = "torchvision:resnet18", encoder_momentum: float = 0.99, base_lr: float = 0.05
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder_momentum = encoder_momentum
        self.base_lr = base_lr
        self.backbone = self.network_to_train(backbone)
        self.projector = mlp(self.backbone_width, 512, 128, norm=True)
        self.predictor = mlp(128, 512, 128, norm=True)
        self.target_encoder = deepcopy(self.encoder).requires_grad_(False)

    @property
    def encoder(self):
        """The network that learns, and that `target_encoder` averages."""
        return nn.Sequential(self.backbone, self.projector)

    def momentum_of_average(self):
        """Return the momentum of the next step: from `encoder_momentum` by a half cosine to 1, as in the paper."""
        return 1 - (1 - self.encoder_momentum) * cosine_factor(self.global_step, self.total_steps())

    def step(self, batch):
        """Compute the loss: each half of a clip predicts the other."""
        first, second = (view.flatten(0, 1) for view in split_views(batch["clip"]))
        return {"loss": self.distance(first, second) + self.distance(second, first)}

    def distance(self, frames, others):
        """Return the mean distance of predictions for `frames` from the average's projections of `others`.

        Both are RGB `(N, 3, H, W)` in [0, 1]; the distance is that of unit vectors, squared.
        """
        predicted = self.predictor(self.projector(self.embed(frames)))
        with torch.no_grad():
            average, projector = self.target_encoder
            target = projector(self.embed(others, average))
        return 2 - 2 * cosine_similarity(predicted, target).mean()

    def configure_optimizers(self):
        """SGD with a cosine schedule."""
        return self.sgd_with_cosine(self.base_lr, weight_decay=1e-4)
