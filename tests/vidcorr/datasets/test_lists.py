"""Names in lists of data sets lead nowhere else, and files of boxes have any separator.

Also tests `datasets/box_files.py`.
"""

from tests.helpers.refusal import refused
from vidcorr.datasets.box_files import read_boxes
from vidcorr.datasets.lists import plain_name, read_names
from vidcorr.videos.files import DataError

HOSTILE = ["a/b", "..", "nul\x00byte", "C:windows", "x" * 201, "é" * 101, " "]


def test_names_that_lead_elsewhere_are_refused_and_shown_up_to_80_characters():
    for name in HOSTILE:
        assert refused(DataError, r"list\.txt: .* is not the plain name", plain_name, name, "list.txt").isprintable()
    assert plain_name("x" * 200, "list.txt") == "x" * 200


def test_a_list_refuses_names_that_lead_elsewhere_or_no_names(tmp_path):
    path = tmp_path / "list.txt"
    for text, message in (("a\n../outside\n", "'../outside' is not the plain name"), ("\n", "the list is empty")):
        path.write_text(text)
        refused(DataError, rf"list\.txt: {message}", read_names, path)
    path.write_text("b\n\na\nb\n x y \n")
    assert read_names(path, r"(\w) \w") == ("b", "a", "x")


def test_files_hold_boxes_with_any_separator_or_are_refused(tmp_path):
    path = tmp_path / "boxes.txt"
    refused(DataError, r"boxes\.txt: cannot be read \(No such file", read_boxes, path)
    path.write_text("1,2,3,4\n", encoding="utf-16")
    refused(DataError, "boxes.txt: not text in UTF-8", read_boxes, path)
    for content, boxes in {"1, 1\t1.5 1\r\n": [[1, 1, 1.5, 1]], "1,1,1,1": [[1, 1, 1, 1]], "\n": []}.items():
        path.write_text(content)
        assert read_boxes(path).tolist() == boxes
