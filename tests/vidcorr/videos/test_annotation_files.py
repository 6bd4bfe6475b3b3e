"""Masks of annotation tools: read as prompts, written again, and what is refused.

`videos/annotation_writers.py`, `videos/objects.py` and `videos/frame_names.py` are tested here.
"""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.videos.annotation_files import mask_of_runs, read_masks, runs_of_text
from vidcorr.videos.annotation_writers import WRITERS, runs_of
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import davis_palette, write_ids

IDS = np.zeros((12, 20), np.uint8)
IDS[2:8, 3:11] = 1
IDS[4:10, 13:18] = 2


@pytest.fixture
def png(tmp_path):
    """Write ids as a PNG of a name."""

    def write(name, ids=IDS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_ids(tmp_path / name, ids, davis_palette())
        return str(tmp_path / name)

    return write


def test_a_frame_is_named_by_the_word_the_image_or_the_number(png, tmp_path):
    path = png("a@3.png")
    (tmp_path / "b@7").write_bytes((tmp_path / "a@3.png").read_bytes())
    (tmp_path / "mask.0001").write_bytes((tmp_path / "a@3.png").read_bytes())
    words = {path: None, f"{path}@12": 12, f"{tmp_path / 'b@7'}": None, f"{tmp_path / 'mask.0001'}": None}
    assert [read_masks([word])[0].frame for word in words] == list(words.values())
    stems = ["img_10", "img_11"]
    assert read_masks([png("img_11.png")], stems)[0].frame == 1
    png("masks/00004.png")
    png("masks/frame_00009.png")
    assert [prompt.frame for prompt in read_masks([str(tmp_path / "masks")])] == [4, 9]
    line = "its name 00004.png names no frame of the video; give 00004.png@FRAME"
    refused(DataError, line, read_masks, [str(tmp_path / "masks")], stems)
    (tmp_path / "none").mkdir()
    refused(DataError, "none: holds no PNG and no JSON", read_masks, [str(tmp_path / "none")])


def labelme(tmp_path, **changes):
    shapes = [
        {"label": "dog", "points": [[3, 2], [11, 2], [11, 8], [3, 8]], "shape_type": "polygon", "group_id": None},
        {"label": "dog", "points": [[13, 4], [18, 10]], "shape_type": "rectangle", "group_id": 2},
    ]
    content = {"shapes": shapes, "imagePath": "00007.jpg", "imageHeight": 12, "imageWidth": 20} | changes
    (tmp_path / "a.json").write_text(json.dumps(content))
    return str(tmp_path / "a.json")


def test_labelme_has_an_object_per_name_and_group(tmp_path):
    (prompt,) = read_masks([labelme(tmp_path)])
    assert (prompt.frame, prompt.objects) == (7, (1, 2))
    assert (prompt.labels != IDS).mean() < 0.13  # an outline of a pixel
    shape = {"label": "x", "points": [[1, 1]], "shape_type": "point"}
    refused(DataError, "the shape x is a point: draw polygons", read_masks, [labelme(tmp_path, shapes=[shape])])
    (tmp_path / "b.json").write_text("[]")
    refused(DataError, "b.json", read_masks, [str(tmp_path / "b.json")])


def test_masks_written_as_coco_are_read_again(tmp_path):
    writer = WRITERS["coco"](tmp_path, {1: "1", 2: "2"})
    masks = [IDS, np.roll(IDS, 2, axis=1), np.zeros_like(IDS), np.where(IDS == 2, 2, 0).astype(np.uint8)]
    for t, ids in enumerate(masks):
        writer.add(f"{t:05d}.png", t, ids)
    writer.close()
    prompts = read_masks([str(tmp_path / "coco.json")])
    assert [prompt.frame for prompt in prompts] == [0, 1, 3]
    for prompt in prompts:
        np.testing.assert_array_equal(prompt.labels, masks[prompt.frame])
    content = json.loads((tmp_path / "coco.json").read_text())
    assert content["annotations"][0]["bbox"] == [3, 2, 8, 6]
    assert [category["id"] for category in content["categories"]] == [1, 2]
    for annotation in content["annotations"]:
        annotation["category_id"] = 1
    (tmp_path / "coco.json").write_text(json.dumps(content))
    refused(DataError, "00000.png has object 1 twice", read_masks, [str(tmp_path / "coco.json")])


def test_runs_are_those_of_the_official_text():
    """The text was written by pycocotools 2.0.11, `mask.encode(numpy.asfortranarray(IDS))`."""
    np.testing.assert_array_equal(mask_of_runs(runs_of_text("V1660000000000000Z3"), IDS.shape), IDS == 1)
    for seed in range(20):
        mask = (np.random.default_rng(seed).random((37, 53)) > seed / 20).astype(np.uint8)
        np.testing.assert_array_equal(mask_of_runs(runs_of(mask), mask.shape), mask)
    np.testing.assert_array_equal(mask_of_runs([1, 2, 3], (2, 3)), [[0, 1, 0], [1, 0, 0]])


def test_labelme_and_yolo_are_written_beside_the_frames(tmp_path):
    for name in ("labelme", "yolo"):
        writer = WRITERS[name](tmp_path, {1: "cat", 2: "dog"})
        writer.add("img_3.png", 3, IDS)
        writer.close()
    (prompt,) = read_masks([str(tmp_path / "labelme" / "img_3.json")])
    np.testing.assert_array_equal(prompt.labels, IDS)
    lines = (tmp_path / "yolo" / "img_3.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1"]
    corners = np.reshape([float(number) for number in lines[0].split()[1:]], (-1, 2)) * (20, 12)
    assert (corners.min(0).round(3).tolist(), corners.max(0).round(3).tolist()) == ([3.5, 2.5], [10.5, 7.5])


@pytest.mark.parametrize("folder", ["SegmentationObject", "export/SegmentationObject", "video", ""])
def test_a_zip_is_read_as_its_folder_of_objects(folder, tmp_path):
    """CVAT's export has the classes beside the objects: two objects of a class are two; later frames keep the ids."""
    palette = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:250,50,83::\n")
        for frame, ids in ((3, IDS), (10, np.where(IDS == 2, 2, 0))):
            Image.fromarray(palette[ids]).save(tmp_path / "objects.png")
            Image.fromarray(palette[np.minimum(ids, 1)]).save(tmp_path / "classes.png")
            archive.write(tmp_path / "objects.png", f"{folder}/frame_{frame:06}.png".lstrip("/"))
            if "Segmentation" in folder:
                archive.write(tmp_path / "classes.png", f"{folder[:-6]}Class/frame_{frame:06}.png")
    first, second = read_masks([str(tmp_path / "export.zip")])
    assert (first.frame, second.frame) == (3, 10)
    assert first.source == f"{tmp_path}/export.zip/frame_000003.png"
    other, same = first.labels[9, 14], first.labels[3, 4]
    assert {same, other} == {1, 2}
    np.testing.assert_array_equal(first.labels, np.choose(IDS, [0, same, other]))
    np.testing.assert_array_equal(second.labels, np.where(IDS == 2, other, 0))


def test_a_file_without_masks_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("labelmap.txt", "")
    refused(DataError, "none.zip: holds no PNG", read_masks, [str(tmp_path / "none.zip")])
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    refused(DataError, "bad.zip", read_masks, [str(tmp_path / "bad.zip")])
    (tmp_path / "yolo.txt").write_text("0 .1 .1 .5 .5")
    refused(DataError, "yolo.txt: no mask: expected a PNG of ids", read_masks, [str(tmp_path / "yolo.txt")])


@pytest.mark.parametrize(
    ("images", "annotations", "reason"),
    [
        ([{"id": 1, "file_name": "a.png"}], [{}], "images.0.height: Field required; images.0.width"),
        ([{"id": 1, "file_name": "a.png"}], [], "has no annotation"),
    ],
)
def test_coco_without_sizes_or_objects_says_what_to_add(images, annotations, reason, tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    refused(DataError, f"coco.json: {reason}", read_masks, [str(tmp_path / "coco.json")])
