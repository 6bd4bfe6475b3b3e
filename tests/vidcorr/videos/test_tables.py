"""Lists and tables in the encodings and forms in which people and programs write them, for every reader."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.readers import READERS
from tests.helpers.refusal import refused
from vidcorr.commands.score_tracks import score_boxes
from vidcorr.datasets import TapVid
from vidcorr.datasets.generated import write_otb
from vidcorr.videos.boxes import read_boxes
from vidcorr.videos.files import DataError, read_names
from vidcorr.videos.prompts import read_prompt
from vidcorr.videos.source import list_videos
from vidcorr.videos.tables import frame_number, read_lines

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
LISTS = {
    "Davis": "ImageSets/2017/val.txt",
    "Vip": "VIP_Fine/lists/*.txt",
    "Jhmdb": "splits/*.txt",
    "GOT-10k": "train/list.txt",
}
"""Reader with a list → its lists."""
COMMENTED = ("Davis", "Vip", "GOT-10k")
"""Readers whose lines are names, which may also be paths of folders."""


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("reader", LISTS)
def test_lists_in_any_encoding_with_blank_lines_and_comments(reader, encoding, tmp_path):
    write, read = READERS[reader]
    root = write(tmp_path / "data")
    before = read(root)
    for path in root.glob(LISTS[reader]):
        lines = path.read_text().splitlines()
        if reader in COMMENTED:
            lines = [f"{line.strip('/')}/" for line in lines]
        path.write_bytes("\r\n".join(["# names, line by line", *lines, "", "   ", ""]).encode(encoding))
    assert read(root) == before


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lists_of_training_videos_and_of_names(encoding, tmp_path):
    for name in ("a.mp4", "my dog.mp4"):
        (tmp_path / name).write_bytes(b"")
    lines = "\r\n".join(["# comment", "a.mp4 3", "", "my dog.mp4 5", ""])
    (tmp_path / "list.txt").write_bytes(lines.encode(encoding))
    assert [(entry.path.name, entry.label) for entry in list_videos(tmp_path / "list.txt")] == [
        ("a.mp4", 3),
        ("my dog.mp4", 5),
    ]
    (tmp_path / "names.txt").write_bytes("# comment\r\n./dog/\r\ncat\\\r\ncat\r\n".encode(encoding))
    assert read_names(tmp_path / "names.txt", "") == ("dog", "cat")


BOXES = np.array([[8, 10, 14, 12], [10, 10.5, 14, 12], [12, 11, 14, 12]])


def table(heading: str, rows: np.ndarray, separator: str = ",") -> str:
    return "\n".join([heading, *(separator.join(f"{value:g}" for value in row) for row in rows)])


CORNERS = np.concatenate([BOXES[:, :2], BOXES[:, :2] + BOXES[:, 2:]], axis=1)
FRAMES = np.array([[0], [1], [2]])


@pytest.mark.parametrize(
    "text",
    [
        table("x,y,width,height", BOXES),
        table("X, Y, W, H", BOXES),
        table('"x";"y";"w";"h"', BOXES, ";"),
        table("x;y;w;h", BOXES, ";").replace(".", ","),
        table("left\ttop\twidth\theight", BOXES, "\t"),
        table("x y w h", BOXES, " "),
        table("bbox_x,bbox_y,bbox_w,bbox_h", BOXES),
        table("# made by hand\nx,y,w,h", BOXES),
        table("sep=;\nx;y;w;h", BOXES, ";"),
        "x;y;w;h\n+8,0;10;14;1,2e1\n10;10,5;14;12\n12;11;14;12",
        "file,x,y,w,h\nimg\\00010.JPG,12,11,14,12\nimg\\00000.JPG,8,10,14,12\nimg\\00005.JPG,10,10.5,14,12",
        table("x1,y1,x2,y2", CORNERS),
        table("xmin,ymin,xmax,ymax", CORNERS),
        table("left,top,right,bottom", CORNERS),
        table("Frame,x,y,w,h", np.hstack([FRAMES, BOXES])),
        table("frame,x,y,w,h,score", np.hstack([FRAMES, BOXES, FRAMES])[[2, 0, 1]]),
        table("frame_id,x,y,w,h", np.hstack([FRAMES + 1, BOXES])[[1, 2, 0]]),
        table("frame,x,y,w,h", np.hstack([5 * FRAMES, BOXES])[::-1]),
        "frame,x,y,w,h\n00010.jpg,12,11,14,12\n00000.jpg,8,10,14,12\n00005.jpg,10,10.5,14,12",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_boxes_below_any_known_heading_count_from_0(text, encoding, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    stems = ["00000", "00005", "00010"]
    np.testing.assert_allclose(read_boxes(path, stems), BOXES + np.array([1, 1, 0, 0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table("cx,cy,w,h", BOXES), "columns cx,cy,w,h are not known; a table of boxes has x,y,width,height"),
        (table("a,b,c,d", BOXES), "columns a,b,c,d are not known"),
        (table("x,y,w,h,angle", np.hstack([BOXES, FRAMES])), "are not known"),
        (table("frame,x,y,w,h", np.hstack([FRAMES * 0, BOXES])), "two lines are for frame 0"),
        (table("frame,x,y,w,h", np.hstack([FRAMES * 2, BOXES])), r"3 lines for the frames 0 to 4, .* frames a1 to a3"),
        (table("frame,image,x,y,w,h", np.hstack([FRAMES, FRAMES, BOXES])), "columns frame and image mean the same"),
        (table("frame,x,y,w,h", np.hstack([FRAMES + 0.5, BOXES])), r"3 lines for the frames 0\.5 to 2\.5"),
        ("x1,y1,x2,y2\n8,10,4,12", "line 2: x2,y2 lie before x1,y1"),
        ("x,y,w,h\n1,2,3", "line 2: expected x,y,w,h in each line, got '1,2,3'"),
        ("x,y,w,h\n1,2,,4", "line 2: expected numbers below x,y,w,h"),
    ],
)
def test_tables_that_are_not_understood_are_refused(text, message, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    assert refused(DataError, f"boxes.csv.*{message}", read_boxes, path, ["a1", "a2", "a3"])


def test_boxes_of_other_programs_score_as_lines_without_a_heading(tmp_path: Path):
    """A heading means that the table counts from 0, lines without one count from 1."""
    root = write_otb(tmp_path / "otb", 1, frames=6, size=(32, 32))
    name = next(path.name for path in root.iterdir() if path.is_dir())
    boxes = read_boxes(root / name / "groundtruth_rect.txt")
    shifted = boxes + np.array([1, 0, 0, 0])
    (tmp_path / f"{name}.txt").write_text(table("", shifted).strip())
    expected = score_boxes(root, tmp_path).scores
    assert expected["success"] < 20 / 21
    numbered = np.hstack([np.arange(6)[:, None], shifted - np.array([1, 1, 0, 0])])
    for text in (table("x,y,w,h", numbered[:, 1:]), table("frame,x,y,w,h", numbered[::-1])):
        (tmp_path / f"{name}.txt").write_text(text)
        assert score_boxes(root, tmp_path).scores == expected
    (tmp_path / f"{name}.csv").write_text(text)
    refused(DataError, f"both hold boxes of {name}; remove one", score_boxes, root, tmp_path)


def test_the_names_of_got10ks_toolkit_are_found(tmp_path: Path):
    root = write_otb(tmp_path / "otb", 1, frames=6, size=(32, 32))
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    boxes = (folder / "groundtruth_rect.txt").read_bytes()
    (folder / "groundtruth_rect.txt").unlink()
    for number in (1, 2):
        (folder / f"groundtruth_rect.{number}.txt").write_bytes(boxes)
        (tmp_path / f"{folder.name}.{number}.txt").write_bytes(boxes)
    assert score_boxes(root, tmp_path).scores["success"] == pytest.approx(20 / 21)


@pytest.mark.parametrize("heading", ["Track;Frame;X;Y;Occluded", '"track"\t"frame"\t"x"\t"y"\t"occluded"'])
def test_tables_of_tracks_have_any_separator_and_order(heading, tmp_path):
    write, _ = READERS["TapVid"]
    root = write(tmp_path / "data")
    (before,) = TapVid(root)
    separator = ";" if ";" in heading else "\t"
    first, *lines = (root / "walk.csv").read_text().splitlines()
    assert first == "track,frame,x,y,occluded"
    lines = [line.replace(",", separator) for line in reversed(lines)]
    (root / "walk.csv").write_text("\n".join([heading, *lines]), encoding="utf-16")
    (after,) = TapVid(root)
    np.testing.assert_array_equal(after.points, before.points)


@pytest.mark.parametrize(
    ("flag", "text", "expected"),
    [
        ("box", "Frame;Name;X;Y;W;H\n7;car;1,5;2;3;4", {"frame": "7", "boxes": {"car": [1.5, 2, 3, 4]}}),
        ("box", "x1\ty1\tx2\ty2\n1\t2\t4\t6", {"box": [1, 2, 3, 4]}),
        ("points", "Joint;X;Y\nnose;1,5;2", {"points": {"nose": [1.5, 2]}}),
        ("points", "image,name,x,y\n00003.png,a,1,2", {"frame": "00003.png", "points": {"a": [1, 2]}}),
    ],
)
def test_prompts_of_tables_of_other_programs(flag, text, expected, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-16")
    found = read_prompt(**{flag: str(path)}).metadata()
    if expected.keys() == {"frame", "boxes"}:
        found.pop("box", None)
    assert found == {"kind": flag, "source": str(path)} | expected


def test_cells_and_numbers_of_frames(tmp_path):
    (tmp_path / "t.csv").write_text('\n a , "b, c"\n\n1,2\n')
    assert [tuple(line) for line in read_lines(tmp_path / "t.csv")] == [(2, ["a", "b, c"]), (4, ["1", "2"])]
    assert [frame_number(text) for text in ("7", "007", "7.0", "7.5", "-1", "img7", "")] == [7, 7, 7, *[None] * 4]
