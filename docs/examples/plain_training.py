"""A training loop of one's own on our clips and losses: `python docs/examples/plain_training.py`, after `make demo`."""

import torch

from vidcorr import DavisBenchmark
from vidcorr.backbones import Normalise, load
from vidcorr.datamodules import VideoDataModule
from vidcorr.functional import simsiam_loss

device = "cuda" if torch.cuda.is_available() else "cpu"
data = VideoDataModule("demo/data/videos", frames=2, size=64, batch_size=2, num_workers=0)
data.setup("fit")
network = load("torchvision:resnet18").network.to(device)
projector = torch.nn.Linear(512, 128).to(device)
predictor = torch.nn.Sequential(torch.nn.Linear(128, 32), torch.nn.ReLU(), torch.nn.Linear(32, 128)).to(device)
normalise = Normalise().to(device)
learned = [*network.parameters(), *projector.parameters(), *predictor.parameters()]
optimizer = torch.optim.SGD(learned, lr=0.01, momentum=0.9)

for step, batch in zip(range(2), data.train_dataloader(), strict=False):
    batch["clip"] = batch["clip"].to(device)
    clip = data.on_after_batch_transfer(batch, 0)["clip"]  # (B, T, 3, H, W) in [0, 1]
    features = projector(network(normalise(clip.flatten(0, 1)))).unflatten(0, clip.shape[:2])
    z1, z2 = features.chunk(2, dim=1)  # each (B, T/2, 128): earlier and later frames
    loss = simsiam_loss(predictor(z1), z1, predictor(z2), z2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.3f}")

benchmark = DavisBenchmark("demo/data/davis", protocol="vfs", limit_sequences=1)
print(benchmark.evaluate(network).scores)
