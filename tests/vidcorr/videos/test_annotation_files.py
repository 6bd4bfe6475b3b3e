"""Masks of annotation tools: read as prompts, written again, and what is refused.

Also tests `videos/drawings.py` and `videos/annotation_writers.py`.
"""

import json
import zipfile
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.helpers.refusal import refused
from tests.helpers.tool_files import SIZE, labelme
from vidcorr.videos.annotation_files import read_masks
from vidcorr.videos.annotation_writers import WRITERS
from vidcorr.videos.files import DataError
from vidcorr.videos.objects import Objects
from vidcorr.videos.prompts import MaskPrompt

IDS = np.zeros((12, 20), np.uint8)
IDS[2:8, 3:11] = 1
IDS[4:10, 13:18] = 2


@pytest.mark.parametrize("folder", ["SegmentationObject", "export/SegmentationObject", "video", ""])
def test_a_zip_is_read_as_its_folder_of_objects(folder, tmp_path):
    """CVAT's export has the classes beside the objects: two objects of a class are two; later frames keep the ids."""
    palette = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:250,50,83::\n")
        for hidden in ("._frame_000003.png", ".ipynb_checkpoints/frame_000003-checkpoint.png"):
            archive.writestr(f"{folder}/{hidden}".lstrip("/"), b"what systems and editors leave")
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
    (tmp_path / "none").mkdir()
    for name in ("none", "none.zip"):
        refused(DataError, f"{name}: holds no PNG and no JSON", read_masks, [str(tmp_path / name)])
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    refused(DataError, "bad.zip", read_masks, [str(tmp_path / "bad.zip")])
    with zipfile.ZipFile(tmp_path / "torn.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(999))
    torn = bytearray((tmp_path / "torn.zip").read_bytes())
    torn[37] ^= 255  # of the deflated bytes
    (tmp_path / "torn.zip").write_bytes(torn)
    refused(DataError, "torn.zip: error: ", read_masks, [str(tmp_path / "torn.zip")])
    for name in ("yolo.txt", "film.mp4", "mask@7"):
        (tmp_path / name).touch()
        refused(DataError, f"{name}: no mask: expected a PNG of ids", read_masks, [str(tmp_path / name)])


def scene_of_five():
    """Two parts, a ring, a pole of one pixel's width, a pixel, and a disc."""
    ids = np.zeros((60, 80), np.uint8)
    ids[4:20, 4:20] = ids[4:20, 26:42] = 1
    ids[24:44, 4:24] = 2
    ids[29:39, 9:19] = 0
    ids[44, 30:40], ids[30, 60] = 3, 4
    rows, columns = np.indices(ids.shape)
    ids[(rows - 30) ** 2 + (columns - 40) ** 2 < 50] = 5
    return ids


NAMES = {1: "cat", 2: "ring", 3: "pole", 4: "", 5: "disc"}


def by_labelme(content):
    """Read LabelMe's shapes by its own rules: Pillow's polygons, and bitmaps between two corner pixels."""
    size = content["imageHeight"], content["imageWidth"]
    found = {}
    for shape in content["shapes"]:
        if shape["shape_type"] == "mask":
            mask = np.zeros(size, bool)
            (left, top), (right, bottom) = np.array(shape["points"]).astype(int)
            bitmap = np.array(Image.open(BytesIO(b64decode(shape["mask"])))) > 0
            mask[top : bottom + 1, left : right + 1] = bitmap
        else:
            image = Image.new("L", size[::-1])
            ImageDraw.Draw(image).polygon(list(map(tuple, shape["points"])), outline=1, fill=1)
            mask = np.array(image) > 0
        found[shape["label"]] = mask
    return found


def by_yolo(text, size):
    """Read YOLO's segments as its loaders do: a line an object, at least three corners in fractions of the image."""
    import cv2

    found = {}
    for line in text.splitlines():
        number, *places = line.split()
        corners = np.reshape(np.array(places, float), (-1, 2)) * size[::-1]
        assert len(corners) >= 3
        mask = np.zeros(size, np.uint8)
        found[int(number)] = cv2.fillPoly(mask, [corners.astype(np.int32)], 1) > 0
    assert len(found) == len(text.splitlines())
    return found


@pytest.mark.parametrize("image", ["00000.jpg", "img_3.png"])
def test_what_is_written_is_read_by_the_tools_rules(image, tmp_path):
    ids = scene_of_five()
    for name in WRITERS:
        writer = WRITERS[name](tmp_path, NAMES)
        writer.add(image, 3, ids)
        writer.add("b.png", 4, np.zeros_like(ids))
        writer.close()
    stem = Path(image).stem
    content = json.loads((tmp_path / "labelme" / f"{stem}.json").read_text())
    assert content["imagePath"] == image
    kinds = {shape["label"]: shape["shape_type"] for shape in content["shapes"]}
    assert kinds == {"cat": "mask", "ring": "polygon", "pole": "polygon", "4": "polygon", "disc": "polygon"}
    for number, mask in enumerate(by_labelme(content).values(), start=1):
        np.testing.assert_array_equal(mask, ids == number)
    of_yolo = by_yolo((tmp_path / "yolo" / f"{stem}.txt").read_text(), ids.shape)
    for number, mask in of_yolo.items():  # a bridge has the width of a pixel, and closes a hole's cut
        assert (mask & (ids != number + 1)).sum() <= 8
        assert mask[ids == number + 1].all()
    assert (tmp_path / "yolo" / "classes.txt").read_text().split() == ["cat", "ring", "pole", "4", "disc"]
    assert (tmp_path / "yolo" / "b.txt").read_text() == ""
    content = json.loads((tmp_path / "coco.json").read_text())
    assert [each["file_name"] for each in content["images"]] == [image, "b.png"]
    assert [each["name"] for each in content["categories"]] == ["cat", "ring", "pole", "4", "disc"]
    assert content["annotations"][0]["bbox"] == [4, 4, 38, 16]
    for path in (tmp_path / "labelme" / f"{stem}.json", tmp_path / "coco.json"):
        objects = Objects()
        (prompt,) = objects.numbered(read_masks([f"{path}@3"]))
        by_name = {name: (prompt.labels == number) for number, name in objects.names.items()}
        assert by_name.keys() == {"cat", "ring", "pole", "4", "disc"}
        for number, name in enumerate(("cat", "ring", "pole", "4", "disc"), start=1):
            np.testing.assert_array_equal(by_name[name], ids == number)
    for annotation in content["annotations"]:
        annotation["category_id"] = 1
    (tmp_path / "twice.json").write_text(json.dumps(content))
    refused(DataError, f"{image} has object cat twice", read_masks, [str(tmp_path / "twice.json")])
    of_coco = pytest.importorskip("pycocotools.coco").COCO(str(path))
    for number, annotation in enumerate(of_coco.loadAnns(of_coco.getAnnIds()), start=1):
        np.testing.assert_array_equal(of_coco.annToMask(annotation), ids == number)
        assert annotation["area"] == (ids == number).sum()


VALUES = json.loads(Path(__file__).with_name("wrong_values.json").read_text())
"""Line of the refusal → content."""


@pytest.mark.parametrize("line", VALUES)
def test_a_wrong_value_is_a_line_with_its_field(line, tmp_path):
    content = VALUES[line]
    if "shapes" in content:
        content = {"imageHeight": 12, "imageWidth": 20} | content
    elif "annotations" in content:
        content = {"images": [{"id": 1, "file_name": "0.png", "height": 12, "width": 20}]} | content
    (tmp_path / "0.json").write_text(json.dumps(content))
    refused(DataError, line, read_masks, [str(tmp_path / "0.json")])
    (tmp_path / "1.json").write_text("[" * 100_000)
    refused(DataError, "1.json: Invalid JSON: recursion limit exceeded", read_masks, [str(tmp_path / "1.json")])


def test_json_without_a_size_has_that_of_the_frames_and_is_a_mask_in_python(tmp_path):
    path = labelme(tmp_path / "7.json", [("a", "dog"), ("b", ("dog", 2))], imageHeight=None, imageWidth=None)
    assert read_masks([str(path)], size=SIZE)[0].labels.shape == SIZE
    prompt = MaskPrompt.of(labelme(path, [("a", "dog"), ("b", ("dog", 2))]), left=[7])
    assert (prompt.names, prompt.left, prompt.frame) == ({"dog": 1, "dog 2": 2}, (7,), None)
    empty = read_masks([str(labelme(path, []))])[0]
    assert (empty.objects, empty.notes) == ((), (f"{path}: has no shape: all objects have left its frame",))
    writer = WRITERS["coco"](tmp_path, NAMES)
    for t in range(2):
        writer.add(f"{t}.png", t, scene_of_five())
    writer.close()
    refused(DataError, "coco.json: has 2 images", MaskPrompt.of, tmp_path / "coco.json")
