"""A network of tokens as a map: `vidcorr evaluate docs.examples.tokens:Patches --on davis=FOLDER --output tokens`."""

import timm
from torch import nn


class Patches(nn.Module):
    stride = multiple = 16  # pixels of a patch; sides are padded to whole patches
    input_mean = input_std = (0.5, 0.5, 0.5)

    def __init__(self):
        super().__init__()
        self.network = timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True)

    def forward(self, images):
        tokens = self.network.forward_features(images)
        size = images.shape[2] // self.stride, images.shape[3] // self.stride
        return tokens[:, 1:].mT.unflatten(2, size)  # (N, C, h, w), without the class token
