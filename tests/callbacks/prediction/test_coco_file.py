"""Predictions as COCO's JSON; masks are compared with their files in test_predict.py."""

import json

import numpy as np
import pytest
import torch

from callbacks.prediction.coco_file import CocoFile, object_box
from callbacks.prediction.point_queries import FollowedPoints
from datamodules import BoxPrompt, FrameStream, MaskPrompt, PointPrompt


def write(tmp_path, folder, names, kind, found, **part):
    file = CocoFile(tmp_path / "coco.json", FrameStream(folder / "clip.mp4", **part), names, kind)
    for each in found:
        file.add(each)
    assert not (tmp_path / "coco.json").exists()
    file.close()
    return json.loads((tmp_path / "coco.json").read_text())


@pytest.mark.parametrize("seed", range(5))
def test_the_box_of_an_object_holds_it_tightly(seed):
    inside = np.random.default_rng(seed).random((9, 12)) < 0.1
    inside[4, 5] = True
    rows, columns = np.nonzero(inside)
    expected = (columns.min(), rows.min(), columns.max() - columns.min() + 1, rows.max() - rows.min() + 1)
    assert object_box(inside) == expected


def test_frames_without_an_object_have_an_image_and_no_annotation(tmp_path, folder):
    mask = torch.zeros(96, 130, dtype=torch.uint8)
    mask[2:5, 3:7] = 9
    coco = write(tmp_path, folder, ["9"], MaskPrompt, [mask * 0, mask], start=3, every=2)
    assert [(image["id"], image["height"], image["width"]) for image in coco["images"]] == [(3, 96, 130), (5, 96, 130)]
    (annotation,) = coco["annotations"]
    assert (annotation["image_id"], annotation["category_id"], annotation["track_id"]) == (5, 9, 9)
    assert (annotation["bbox"], annotation["area"], annotation["iscrowd"]) == ([3, 2, 4, 3], 12, 0)
    assert coco["categories"] == [{"id": 9, "name": "9"}]


def test_boxes_and_points_are_annotations_too(tmp_path, folder):
    boxes = write(tmp_path, folder, ["a", "b"], BoxPrompt, [np.array([[1.0, 2, 3, 4], [5, 6, 7, 8.126]])])
    assert [each["bbox"] for each in boxes["annotations"]] == [[1, 2, 3, 4], [5, 6, 7, 8.13]]
    points = write(
        tmp_path, folder, ["a", "b"], PointPrompt, [torch.tensor([[1.0, 2, 0.5], [torch.nan, torch.nan, 0]])]
    )
    (annotation,) = points["annotations"]
    assert annotation["keypoints"] == [1, 2, 2, 0, 0, 0]
    assert (annotation["num_keypoints"], annotation["bbox"]) == (1, [1, 2, 0, 0])
    assert points["categories"] == [{"id": 1, "name": "points", "keypoints": ["a", "b"], "skeleton": []}]
    places, hidden = torch.tensor([[[1.0, 2]], [[4, 6]]]), torch.tensor([[False], [True]])
    followed = [FollowedPoints(0, places, hidden, torch.ones(2, 1))]
    (annotation,) = write(tmp_path, folder, ["a", "b"], PointPrompt, followed)["annotations"]
    assert annotation["keypoints"] == [1, 2, 2, 4, 6, 1]
    assert annotation["bbox"] == [1, 2, 3, 4]


def test_pycocotools_reads_the_file(tmp_path, folder):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    mask = torch.zeros(96, 130, dtype=torch.uint8)
    mask[2:50, 3:70] = 2
    write(tmp_path, folder, ["2"], MaskPrompt, [mask])
    read = coco.COCO(str(tmp_path / "coco.json"))
    (annotation,) = read.loadAnns(read.getAnnIds(imgIds=[0]))
    assert np.array_equal(read.annToMask(annotation), mask.numpy() == 2)
