"""BADJA in its released layout; hostile and broken files."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusal import refused
from vidcorr.datasets import Badja
from vidcorr.datasets.badja import BADJA_JOINTS
from vidcorr.datasets.generated import write_badja
from vidcorr.datasets.generated.scene import Scenes
from vidcorr.videos.files import DataError

SIZE = (40, 60)


@pytest.fixture
def root(tmp_path):
    return write_badja(tmp_path / "badja", 2, frames=4, size=SIZE)


def test_clips_of_the_released_layout_and_areas_of_masks_scaled_to_the_frames(root):
    small = np.zeros((20, 30, 3), np.uint8)
    small[:10, :10] = 255
    Image.fromarray(small).save(root / "extra_videos/synthetic-001/segmentations/00000.png")
    clip, extra = Badja(root)
    assert (clip.name, extra.name) == ("synthetic-000", "synthetic-001")
    assert (clip.size, clip.num_frames) == (SIZE, 4)
    assert clip.tracks == tuple(BADJA_JOINTS.values())
    content = json.loads((root / "joint_annotations/synthetic-000.json").read_text())
    nose, hidden = clip.tracks.index("nose"), [not frame["visibility"][33] for frame in content]
    row, column = content[2]["joints"][33]
    np.testing.assert_allclose(clip.points[nose, 2] * [60, 40], [column + 0.5, row + 0.5])
    assert clip.occluded[nose].tolist() == hidden
    masks = Scenes(0, 0, 4, SIZE, (1, 1)).render(0)[1]
    assert all(masks[t, row, column] for t in range(4) if not hidden[t] for row, column in [content[t]["joints"][33]])
    frame = clip.frame(3)
    assert frame.shape == (3, *SIZE)
    assert (frame[:, 0, 0].numpy() == np.array(Image.open(root / content[3]["image_path"]))[0, 0]).all()
    assert clip.areas().tolist() == [(mask > 0).sum() for mask in masks]
    assert extra.areas()[0] == 400.0  # RGB of half the size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[1].pop("joints"), "synthetic-000.json: is not a list of annotated frames"),
        (lambda c: c[1].update(image_path="../../../x"), "synthetic-000.json: '..' is not the plain name"),
        (lambda c: c[2]["joints"].__setitem__(33, [900, 5]), "000.json: a visible joint of frame 2 lies outside"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(root, change, message):
    file = root / "joint_annotations" / "synthetic-000.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    assert refused(DataError, message, Badja, root)
