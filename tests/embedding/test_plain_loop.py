"""Somebody's training loop in plain PyTorch, over our loader and with our loss."""

import copy

import torch
from torch import nn

from datamodules import Augmentation, VideoDataModule
from vidcorr.functional import simsiam_loss


def loader_of(video_folder, **options):
    data = VideoDataModule(
        video_folder, frames=4, size=32, batch_size=3, num_workers=0, validation_fraction=0, **options
    )
    data.setup("fit")
    return data, data.train_dataloader()


def written_by_hand(p1, z1, p2, z2):
    """Return the mean of 2 - 2 cos over all pairs of an earlier and a later frame, in both directions."""
    distances = []
    for prediction, target in ((p1, z2), (p2, z1)):
        for video in range(len(prediction)):
            for p in prediction[video]:
                for z in target[video].detach():
                    distances.append(2 - 2 * (p @ z) / (p.norm() * z.norm()))
    return sum(distances) / len(distances)


def loss_of(network, clip, loss):
    encoder, predictor = network
    z1, z2 = encoder(clip.flatten(0, 1)).unflatten(0, clip.shape[:2]).chunk(2, dim=1)
    return loss(predictor(z1), z1, predictor(z2), z2)


def test_a_network_learns_as_with_a_loss_that_is_written_by_hand(video_folder):
    data, loader = loader_of(video_folder, augmentation=Augmentation(colour=True))
    encoder = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 8))
    ours = nn.ModuleList([encoder, nn.Linear(8, 8)])
    by_hand = copy.deepcopy(ours)
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.1) for network in (ours, by_hand)]
    steps = 0
    for _epoch in range(2):
        for batch in loader:
            clip = data.on_after_batch_transfer(batch, 0)["clip"]
            losses = [loss_of(ours, clip, simsiam_loss), loss_of(by_hand, clip, written_by_hand)]
            torch.testing.assert_close(*losses)
            for loss, optimizer in zip(losses, optimizers, strict=True):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            steps += 1
    assert steps == 4  # six videos, three a batch, two epochs
    for mine, other in zip(ours.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, other)
