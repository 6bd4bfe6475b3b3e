"""Clips of two views of one image: the batch, its draws, what is refused, and SimSiam on it."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity
from torchvision.transforms.v2 import functional

from tests.helpers.refusal import refused
from tests.helpers.training import TINY
from vidcorr.datamodules import ImageClipDataModule
from vidcorr.datasets.generated.writers import write_frames
from vidcorr.lightning_modules import VFSSimSiam
from vidcorr.videos.files import DataError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of three images of different plain colours and sizes."""
    root = tmp_path_factory.mktemp("images")
    for number in range(9):
        pictures = np.full((1, 40 + number, 60 - number, 3), 20 * number, np.uint8)
        write_frames(root / f"class {number // 3}", pictures, [f"n0144{number // 3}764_{number * number}.JPEG"])
    return root


def make(source, **arguments):
    plain = {"size": 16, "batch_size": 3, "num_workers": 0, "colour": False}
    data = ImageClipDataModule(source, **(plain | arguments))
    data.setup("fit")
    return data


def test_the_batch_is_that_of_videos(images):
    seen = list(make(images).train_dataloader())
    assert [set(batch) for batch in seen] == [{"clip", "video_index", "frame_index", "failures"}] * 3
    for batch in seen:
        assert (batch["clip"].shape, batch["clip"].dtype) == ((3, 2, 3, 16, 16), torch.uint8)
        assert batch["frame_index"].tolist() == [[0, 0]] * 3
        grey = batch["clip"].float().mean((1, 2, 3, 4))
        assert (grey / 20).round().long().tolist() == batch["video_index"].tolist()
    assert sorted(int(index) for batch in seen for index in batch["video_index"]) == list(range(9))
    assert ImageClipDataModule(images).colour.sigma == (0.1, 2.0)


def test_lists_and_broken_images(images, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    lines = [f"{path} {number}" for number, path in enumerate(sorted(images.rglob("*.JPEG")))]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "broken.jpg 9"]))
    seen = list(make(tmp_path / "list.txt", batch_size=10).train_dataloader())
    assert sorted(set(seen[0]["video_index"].tolist())) == list(range(9))
    assert [line.partition(": ")[0] for line in seen[0]["failures"]] == [str(tmp_path / "broken.jpg")]
    (tmp_path / "film.mp4").touch()
    (tmp_path / "list.txt").write_text("film.mp4\n")
    refused(DataError, r"film\.mp4 is no image", make, tmp_path / "list.txt")


def test_simsiam_on_images_is_that_of_the_paper():
    """One step against the paper's algorithm 1: separate passes of the views, and its symmetric cosine loss.

    VFS's loss is 2 + 2 of SimSiam's, so its gradients are twice as large.
    """
    torch.manual_seed(0)
    ours = VFSSimSiam(**TINY).train()
    paper = copy.deepcopy(ours)
    clip = torch.rand(8, 2, 3, 32, 32)
    loss = ours.step({"clip": clip})["loss"]
    loss.backward()
    outputs = []
    for view in clip.unbind(1):
        normal = functional.normalize(view, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        z = paper.projector(paper.backbone(normal))
        outputs.append((paper.predictor(z), z.detach()))
    (p1, z1), (p2, z2) = outputs
    expected = -0.5 * (cosine_similarity(p1, z2).mean() + cosine_similarity(p2, z1).mean())
    expected.backward()
    torch.testing.assert_close(loss, 2 + 2 * expected)
    gradients = {name: 2 * parameter.grad for name, parameter in paper.named_parameters()}
    found = {name: parameter.grad for name, parameter in ours.named_parameters()}
    torch.testing.assert_close(found, gradients, rtol=1e-3, atol=1e-5)
    # running statistics: both views in their order, each normalised on its own
    torch.testing.assert_close(dict(ours.named_buffers()), dict(paper.named_buffers()))
