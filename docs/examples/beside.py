"""The authors' code beside a method of ours: equal weights, frames and step, in float64.

Run: `python docs/examples/beside.py`
"""

import torch
from torch import nn
from torch.nn.functional import cosine_similarity
from torchvision.models import resnet18

from vidcorr.lightning_modules import VFSSimSiam
from vidcorr.lightning_modules.parts.heads import mlp


class Theirs(nn.Module):
    """SimSiam as its authors could have written it; put their module here."""

    def __init__(self):
        super().__init__()
        self.net = resnet18()
        self.net.fc = nn.Identity()
        self.head = mlp(512, 64, 64, 64, norm=True, norm_last=True)
        self.predict = mlp(64, 16, 64, norm=True)

    def forward(self, first, second):
        z1, z2 = self.head(self.net(first)), self.head(self.net(second))
        p1, p2 = self.predict(z1), self.predict(z2)
        return 2 - cosine_similarity(p1, z2.detach()).mean() - cosine_similarity(p2, z1.detach()).mean()


NAMES = {"net.": "backbone.", "head.": "projector.", "predict.": "predictor."}


def our_name(name):
    """Return our name of one of their weights."""
    part = next(part for part in NAMES if name.startswith(part))
    return NAMES[part] + name.removeprefix(part)


def difference(found, wanted):
    """Return the largest difference of tensors by name, over the largest value: a bias before a BatchNorm has none."""
    largest = max(tensor.abs().max() for tensor in wanted.values())
    return max((found[our_name(name)] - tensor).abs().max() for name, tensor in wanted.items()) / largest


if __name__ == "__main__":
    torch.manual_seed(0)
    theirs, ours = Theirs().double(), VFSSimSiam(projector_dim=64, predictor_dim=16).double()
    ours.load_state_dict({our_name(name): weight for name, weight in theirs.state_dict().items()})
    clip = torch.rand(4, 2, 3, 64, 64, dtype=torch.float64)
    loss = ours.step({"clip": clip})["loss"]
    wanted = theirs(*(ours.normalise(frame) for frame in clip.unbind(1)))
    loss.backward()
    wanted.backward()
    print(f"loss: {abs(loss - wanted):.0e} of {wanted:.4f}")
    gradients = [{name: weight.grad for name, weight in module.named_parameters()} for module in (ours, theirs)]
    print(f"gradients: {difference(*gradients):.0e} of the largest")
    statistics = [dict(module.named_buffers()) for module in (ours, theirs)]
    print(f"running statistics: {difference(*statistics):.0e} of the largest")
