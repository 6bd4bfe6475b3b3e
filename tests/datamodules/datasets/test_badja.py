"""BADJA in its released layout, and as a set of TAP-Vid with masks beside it; hostile and broken files."""

import json

import numpy as np
import pytest
from PIL import Image

from datamodules.datasets import Badja
from datamodules.reading.guards import DataError
from datamodules.synthetic import write_tap_vid
from tests.helpers.refusal import refused
from tests.helpers.tap_vid import write_badja


@pytest.fixture
def root(tmp_path):
    return write_badja(tmp_path / "badja")


def test_clips_of_the_released_layout_and_areas_of_masks_scaled_to_the_frames(root):
    bear, dog = Badja(root)
    assert (bear.name, dog.name) == ("bear", "dog")
    assert bear.size == (40, 60)
    assert bear.num_frames == 4
    assert bear.tracks == ("upper_right_1", "neck_lower", "nose")
    content = json.loads((root / "joint_annotations" / "bear.json").read_text())
    row, column = content[2]["joints"][33]
    np.testing.assert_allclose(bear.points[2, 2] * [60, 40], [column + 0.5, row + 0.5])
    assert bear.occluded[2].tolist() == [not frame["visibility"][33] for frame in content]
    frame = bear.frame(3)
    assert frame.shape == (3, 40, 60)
    assert (frame[:, 0, 0].numpy() == np.array(Image.open(root / content[3]["image_path"]))[0, 0]).all()
    assert [bear.area(t) for t in range(4)] == [100.0, 121.0, 144.0, 169.0]
    assert dog.area(0) == 400.0  # RGB of half the size


@pytest.mark.parametrize("kind", ["file", "frames", "one each"])
def test_masks_beside_a_set_of_tap_vid(tmp_path, kind):
    path = write_tap_vid(tmp_path / "set", 2, frames=3, size=(48, 64)) / "tapvid_davis.pkl"
    wanted = [0, 1, 2] if kind == "one each" else [1, 4, 5]
    for name in ("synthetic-000", "synthetic-001"):
        (tmp_path / "masks" / name).mkdir(parents=True)
        for t in range(3 if kind == "one each" else 6):
            mask = np.zeros((48, 64), np.uint8)
            mask[: t + 1, :10] = 1
            Image.fromarray(mask).save(tmp_path / "masks" / name / f"{t:05d}.png")
    if kind == "frames":
        numbers = {name: {"frames": wanted} for name in ("synthetic-000", "synthetic-001")}
        path.with_suffix(".json").write_text(json.dumps(numbers))
    if kind == "file":
        refused(DataError, "synthetic-000: 6 masks for 3 frames; give a mask per", Badja, path, tmp_path / "masks")
        return
    film, _ = Badja(path, tmp_path / "masks")
    assert [film.area(t) for t in range(3)] == [10.0 * (t + 1) for t in wanted]
    assert not Badja(path)[0].masks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[1].pop("joints"), "bear.json: expected a list of frames"),
        (lambda c: c[1].update(image_path="../../../x"), "bear.json: names '../../../x', which lies outside"),
        (lambda c: c[1].update(image_path="DAVIS/none.jpg"), "none.jpg: no such file; unpack DAVIS-2017"),
        (lambda c: c[2]["joints"].__setitem__(33, [900, 5]), "bear.json: a visible joint of frame 2 lies outside"),
        (lambda c: c.clear(), "bear.json: has joints"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(root, change, message):
    file = root / "joint_annotations" / "bear.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    assert refused(DataError, message, Badja, root)
