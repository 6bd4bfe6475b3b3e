"""GOT-10k: its files have a line per frame."""

import pytest

from tests.helpers.refusal import refused
from vidcorr.datasets.generated import write_got10k
from vidcorr.datasets.got10k import read_annotation
from vidcorr.videos.files import DataError


@pytest.mark.parametrize("name", ["groundtruth.txt", "cover.label"])
def test_a_file_with_more_lines_than_frames_is_refused(tmp_path, name):
    file = next(write_got10k(tmp_path / "got10k", 1, frames=4, size=(32, 32)).rglob(name))
    file.write_text(2 * file.read_text())
    refused(DataError, "frames, boxes and visible parts differ in number", read_annotation, file.parent)
