"""Files of boxes, by any separator."""

from tests.helpers.refusal import refused
from vidcorr.datasets.box_files import read_boxes
from vidcorr.videos.files import DataError

REFUSED = {
    "1,2,3,4\n\n1,2,3,4,5\n": r"line 3: expected numbers \(x,y,w,h\), got",
    "x,y,w,h": "line 1: expected",
    "1,2,3,1_0": "line 1: expected",
    "0.1,0.2,0.5,0.25": "fractions of the frame",
    "0.1,0.3,1.0,0.25": "fractions of the frame",
}


def test_files_hold_boxes_with_any_separator_or_are_refused(tmp_path):
    path = tmp_path / "boxes.txt"
    refused(DataError, r"boxes\.txt: cannot be read \(No such file", read_boxes, path)
    path.write_text("1,2,3,4\n", encoding="utf-16")
    refused(DataError, "boxes.txt: not text in UTF-8", read_boxes, path)
    for content, message in REFUSED.items():
        path.write_text(content)
        refused(DataError, rf"boxes\.txt(, |: ){message}", read_boxes, path)
    for content, boxes in {"1, 1\t1.5 1\r\n": [[1, 1, 1.5, 1]], "1,1,1,1": [[1, 1, 1, 1]], "\n": []}.items():
        path.write_text(content)
        assert read_boxes(path).tolist() == boxes
