"""Who an object is: ids, names and colours after one, two and three commands, for each form of a file."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusal import refused
from tests.helpers.tool_files import coco, coloured, cvat_zip, ids_of, indexed, labelme
from vidcorr.videos.annotation_files import read_masks
from vidcorr.videos.files import DataError
from vidcorr.videos.masks import davis_palette, write_ids
from vidcorr.videos.objects import Objects

OWN = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255), *davis_palette()[3:]])
GREY = np.arange(256)[:, None].repeat(3, axis=1)


def png(path: Path, t: int, objects: dict[str, Any], palette: Any = None) -> Path:
    return indexed(path / f"{t:05d}.png", objects, palette)


def rgb(path: Path, t: int, objects: dict[str, Any]) -> Path:
    return coloured(path / f"{t:05d}.png", objects)


def beside_void(path: Path, t: int, objects: dict[str, Any]) -> Path:
    return rgb(path, t, objects | {"c": 0xE0E0C0})


def shapes(path: Path, t: int, objects: dict[str, Any]) -> Path:
    return labelme(path / f"{t:05d}.json", list(objects.items()))


def twins(path: Path, t: int, objects: dict[str, Any]) -> Path:
    """Two shapes of a label in the first file; later ones have the names that were told."""
    return shapes(path, t, objects if t else dict.fromkeys(objects, "dog"))


def tracks(path: Path, t: int, objects: dict[str, Any], key: str = "track_id", in_attributes: bool = True) -> Path:
    found = []
    for place, number in objects.items():
        fields = {key: number}
        found.append((place, "person", {"attributes": fields} if in_attributes else fields))
    return coco(path / f"{t}.json", found, f"frame_{t:06d}.PNG")


def categories(path: Path, t: int, objects: dict[str, Any]) -> Path:
    found = [(place, name, {"attributes": None}) for place, name in objects.items()]
    return coco(path / f"{t}.json", found, f"{t:05d}.jpg")


def zipped(path: Path, t: int, objects: dict[str, Any]) -> Path:
    return cvat_zip(path / f"{t}.zip", t, objects)


FORMS: dict[str, tuple[Any, ...]] = {
    "ids of a PNG": (png, (1, 2), (1, 2), "1, 2"),
    "ids with a gap": (png, (9, 4), (9, 4), "4, 9"),
    "a grey PNG": (partial(png, palette=GREY), (1, 2), (1, 2), "1, 2"),
    "an own palette": (partial(png, palette=OWN), (1, 2), (1, 2), "1 = #ff0000, 2 = #0000ff"),
    "colours of DAVIS": (rgb, (0x008000, 0x800000), (2, 1), "1, 2"),
    "colours of DAVIS beside void": (beside_void, (0x008000, 0x800000), (2, 1), "1, 2"),
    "own colours": (rgb, (0xFF0000, 0x0000FF), (2, 1), "1 = #0000ff, 2 = #ff0000"),
    "one colour of DAVIS": (rgb, (0x0000FF, 0x800000), (2, 1), "1, 2 = #0000ff"),
    "labels": (shapes, ("cat", "dog"), (1, 2), "1 = cat, 2 = dog"),
    "groups": (shapes, (("dog", 4), ("dog", 2)), (1, 2), "1 = dog 4, 2 = dog 2"),
    "a label twice": (twins, ("dog #1", "dog #2"), (1, 2), "1 = dog #1, 2 = dog #2"),
    "numbers": (shapes, ("7", "0"), (7, 1), "1 = 0, 7 = 7"),
    "a large number": (shapes, ("300", "1"), (2, 1), "1 = 1, 2 = 300"),
    "a word and a number": (shapes, ("cat", "1"), (2, 1), "1 = 1, 2 = cat"),
    "a number as a number": (shapes, (2, 1), (2, 1), "1 = 1, 2 = 2"),
    "tracks of CVAT": (tracks, (0, 1), (1, 2), "1 = person 0, 2 = person 1"),
    "tracks": (partial(tracks, in_attributes=False), ("x", 7), (1, 2), "1 = person x, 2 = person 7"),
    "instances": (partial(tracks, key="instance_id"), (3, 2), (1, 2), "1 = person 3, 2 = person 2"),
    "categories": (categories, ("cat", "dog"), (1, 2), "1 = cat, 2 = dog"),
    "a zip of CVAT": (zipped, (0x33DDFF, 0xFA3253), (1, 2), "1 = #33ddff, 2 = #fa3253"),
}
"""Form of a file → what writes it, what it has for objects a and b, their ids, the table of objects as text."""


def command(objects: Objects, *words: Any) -> list[np.ndarray]:
    """Read the files of a command, and return their labels by the table of objects."""
    return [prompt.labels for prompt in objects.numbered(read_masks(list(map(str, words)), None, "clip"))]


@pytest.mark.parametrize("form", FORMS)
def test_objects_keep_ids_names_and_colours_over_three_commands(form: str, tmp_path: Path) -> None:
    """In the second command the second object is alone, in the third the order is turned, in the fourth it is RGB."""
    write, given, ids, told = FORMS[form]
    both = dict(zip("ab", given, strict=True))
    turned = dict(reversed(both.items()))
    objects = Objects()
    for t, shown in enumerate((both, {"b": both["b"]}, turned)):
        objects = Objects(objects.rows)
        (found,) = command(objects, write(tmp_path, t, shown))
        np.testing.assert_array_equal(found, ids_of(**{place: ids["ab".index(place)] for place in shown}))
        assert str(objects) == told
        assert not [note for note in objects.notes if "new beside" in note]
    write_ids(tmp_path / "masks.png", found, objects.palette)
    Image.open(tmp_path / "masks.png").convert("RGB").save(tmp_path / "00007.png")
    again = Objects(objects.rows)
    np.testing.assert_array_equal(command(again, tmp_path / "00007.png")[0], found)
    assert again.rows == objects.rows
    together = Objects()  # two files of one command
    for labels in command(together, write(tmp_path, 0, both), write(tmp_path, 5, turned)):
        np.testing.assert_array_equal(labels, ids_of(a=ids[0], b=ids[1]))
    assert str(together) == told


def test_claims_of_a_command_come_in_order(tmp_path: Path) -> None:
    """Ids of PNGs, then colours, then names that are numbers, then words, whatever the order of the files."""
    words = labelme(tmp_path / "00004.json", [("a", "cat"), ("b", "3"), ("c", "1")])
    files = [
        words,
        coloured(tmp_path / "00002.png", {"a": 0xFF0000, "b": 0x808000}),
        indexed(tmp_path / "0.png", {"c": 1}),
    ]
    objects = Objects()
    of_words, of_colours, of_ids = command(objects, *files)
    np.testing.assert_array_equal(of_ids, ids_of(c=1))
    np.testing.assert_array_equal(of_colours, ids_of(b=3, a=2))
    np.testing.assert_array_equal(of_words, ids_of(a=4, b=3, c=1))
    assert str(objects) == "1 = 1, 2 = #ff0000, 3 = 3, 4 = cat"
    pink, red = coloured(tmp_path / "7.png", {"a": 0xFF00FF}), coloured(tmp_path / "8.png", {"b": 0x800000})
    for labels, ids in zip(command(Objects(), pink, red), (ids_of(a=2), ids_of(b=1)), strict=True):
        np.testing.assert_array_equal(labels, ids)
    only_void = coloured(tmp_path / "9.png", {"c": 0xE0E0C0})
    np.testing.assert_array_equal(command(Objects(), red, only_void)[1], ids_of())


def test_what_is_new_or_uncertain_is_said_or_refused(tmp_path: Path) -> None:
    objects = Objects()
    command(objects, labelme(tmp_path / "0.json", [("a", "cat"), ("b", "dog")]))
    assert not objects.notes
    refused(DataError, "2.json: 2 is the id of dog: draw", command, objects, labelme(tmp_path / "2.json", [("a", "2")]))
    command(objects, labelme(tmp_path / "3.json", [("c", "cow")]))
    assert objects.notes == ["new beside 1 = cat, 2 = dog: 3 = cow; to correct an object, draw it under its name"]
    command(objects, indexed(tmp_path / "4.png", {"a": 1}))
    assert "4.png: is taken for object 1 alone, of 1 = cat, 2 = dog, 3 = cow" in objects.notes[1]
    full = Objects([{"id": i, "name": None, "colour": f"#{i:06x}"} for i in range(1, 255)])
    refused(DataError, "5.json: more than 254 obj", command, full, labelme(tmp_path / "5.json", [("a", "x")]))


def test_a_colour_with_two_indices_is_refused(tmp_path: Path) -> None:
    turned = davis_palette()[[0, 2, 1, *range(3, 256)]]
    first, later = indexed(tmp_path / "0.png", {"a": 1, "b": 2}), indexed(tmp_path / "3.png", {"a": 2}, turned)
    line = "3.png: colour #800000 has index 2, and 1 in another mask"
    refused(DataError, line, command, Objects(), first, later)
    objects = Objects()
    command(objects, first)
    refused(DataError, line, command, Objects(objects.rows), later)
    unused = indexed(tmp_path / "5.png", {"c": 3}, turned)  # colours that no pixel has
    np.testing.assert_array_equal(command(objects, unused)[0], ids_of(c=3))
