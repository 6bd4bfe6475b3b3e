"""Who made a folder, by the marker file in it."""

import pytest

from tests.helpers.refusal import refused
from vidcorr.datasets.generated import write_davis
from vidcorr.videos.files import DataError
from vidcorr.videos.markers import Marker

MARKER = Marker("made by tool", "made.json", "a\n")


def test_a_folder_is_made_by_nobody_this_call_another_call_or_a_stranger(tmp_path):
    folder = tmp_path / "folder"
    assert MARKER.maker(folder) == "nobody"
    folder.mkdir()
    (folder / ".DS_Store").write_text("")
    assert MARKER.maker(folder) == "nobody"
    (folder / "video.mp4").write_text("")
    assert MARKER.maker(folder) == "stranger"
    MARKER.write(folder)
    assert (MARKER.maker(folder), MARKER._replace(text="b").maker(folder)) == ("this", "other")
    message = f"{folder}: holds files that were not made by tool; give another folder or empty it"
    assert str(MARKER.stranger(folder)) == message
    refused(DataError, "is a file; the output must be a folder", MARKER.maker, folder / "video.mp4")


@pytest.mark.parametrize("name", ["notes.txt", ".git"])
def test_generate_removes_no_file_of_a_stranger(name, tmp_path):
    (tmp_path / name).write_text("mine")
    refused((DataError, OSError), str(tmp_path), write_davis, tmp_path, 1, frames=2, size=(16, 16))
    assert (tmp_path / name).read_text() == "mine"
