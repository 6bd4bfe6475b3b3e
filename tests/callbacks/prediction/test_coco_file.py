"""Predictions as COCO's JSON; masks are compared with their files in test_predict.py."""

import json

import numpy as np
import pytest
import torch

from callbacks.prediction.follow import FollowedPoints
from callbacks.prediction.output_files import CocoFile, _annotate_boxes, _annotate_masks, _annotate_points
from datamodules import FrameStream


def test_frames_without_an_object_have_an_image_and_no_annotation(tmp_path, folder):
    mask = torch.zeros(96, 130, dtype=torch.uint8)
    mask[2:50, 3:70] = 9
    stream = FrameStream(folder / "clip.mp4", start=3, every=2)
    file = CocoFile(tmp_path / "coco.json", stream, [{"id": 9, "name": "9"}], _annotate_masks)
    file.add(mask * 0)
    file.add(mask)
    assert not (tmp_path / "coco.json").exists()
    file.close()
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [(image["id"], image["height"], image["width"]) for image in coco["images"]] == [(3, 96, 130), (5, 96, 130)]
    (annotation,) = coco["annotations"]
    assert (annotation["image_id"], annotation["category_id"], annotation["track_id"]) == (5, 9, 9)
    assert (annotation["bbox"], annotation["area"], annotation["iscrowd"]) == ([3, 2, 67, 48], 67 * 48, 0)
    read = pytest.importorskip("pycocotools.coco").COCO(str(tmp_path / "coco.json"))
    (annotation,) = read.loadAnns(read.getAnnIds(imgIds=[5]))
    assert np.array_equal(read.annToMask(annotation), mask.numpy() == 9)


def test_boxes_and_points_are_annotations_too():
    boxes = _annotate_boxes(np.array([[1.0, 2, 3, 4], [5, 6, 7, 8.126]]))
    assert [each["bbox"] for each in boxes] == [[1, 2, 3, 4], [5, 6, 7, 8.13]]
    (annotation,) = _annotate_points(torch.tensor([[1.0, 2, 0.5], [torch.nan, torch.nan, 0]]))
    assert annotation["keypoints"] == [1, 2, 2, 0, 0, 0]
    assert (annotation["num_keypoints"], annotation["bbox"]) == (1, [1, 2, 0, 0])
    places, hidden = torch.tensor([[[1.0, 2]], [[4, 6]]]), torch.tensor([[False], [True]])
    (annotation,) = _annotate_points(FollowedPoints(0, places, hidden, torch.ones(2, 1)))
    assert annotation["keypoints"] == [1, 2, 2, 4, 6, 1]
    assert annotation["bbox"] == [1, 2, 3, 4]
