"""Score an untrained ResNet-18 with BatchNorm's statistics of three frames of each of a folder's first eight videos."""

import sys

import torch
from torch import nn

from vidcorr.backbones import build_feature_extractor, load
from vidcorr.experiments.runs.benchmark_choice import read_on
from vidcorr.videos.source import list_videos, open_video

DAVIS, VIDEOS = sys.argv[1:]
(choice,) = read_on([f"davis_240p={DAVIS}"])
features = build_feature_extractor(load("torchvision:resnet18"), "res4", 8)  # seed 0
for module in features.modules():
    if isinstance(module, nn.BatchNorm2d):
        module.momentum = None  # the mean over all frames
        module.reset_running_stats()
        module.train()
for entry in list_videos(VIDEOS).entries[:8]:
    with open_video(entry.file) as video:
        for frame in video.read([0, video.num_frames // 2, video.num_frames - 1]):
            image = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None] / 255
            scale = 240 / min(image.shape[2:])
            with torch.no_grad():
                features(nn.functional.interpolate(image, scale_factor=scale, mode="bilinear", antialias=True))
print(choice.build().evaluate(features.eval()))
