"""Frozen layers, and rates per layer: `vidcorr fit --config configs/demo.yaml --model docs.examples.rates.Tuned`."""

import torch

from vidcorr.lightning_modules import VFSSimSiam
from vidcorr.lightning_modules.parts.schedules import cosine_factor, scheduled


class Tuned(VFSSimSiam):
    """The first stage of a ResNet stays as it is; the later stages learn at a tenth of the heads' rate."""

    def configure_optimizers(self):
        for part in (self.backbone.conv1, self.backbone.bn1, self.backbone.layer1):
            part.requires_grad_(False)
        stages = [weight for weight in self.backbone.parameters() if weight.requires_grad]
        heads = [*self.projector.parameters(), *self.predictor.parameters()]
        rate = self.rate_of_batch(self.hparams["base_lr"])  # by the global batch
        groups = [{"params": stages, "lr": rate / 10}, {"params": heads, "lr": rate}]
        steps = self.total_steps()
        return scheduled(torch.optim.SGD(groups, momentum=0.9), lambda step: cosine_factor(step, steps))
