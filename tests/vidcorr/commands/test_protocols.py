"""`vidcorr protocols`: names, fields with their source, differences.

Also tests `reports/protocol_texts.py`.
"""

import pytest

from tests.helpers.words import refusal
from vidcorr.cli import main


def shown(capsys, *words):
    main(["protocols", *words])
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("name", "said"), [("vfs+radius=x", "radius must be"), ("vfs+dilated=x", "dilated must be")])
def test_a_wrong_value_is_said_by_the_kind_that_has_its_field(name, said):
    assert said in refusal("protocols", name)


def test_it_lists_every_name(capsys):
    from vidcorr.protocols import PointProtocol, PropagationProtocol

    names = {line.split()[0] for line in shown(capsys) if line.startswith("  ") and line[2] != " "}
    protocol_classes = PropagationProtocol, PointProtocol
    assert names == {"vfs", *(name for kind in protocol_classes for name in kind.sources())}


def test_one_shows_all_its_benchmarks_and_where_each_value_comes_from(capsys):
    """VFS, Table A.1: three benchmarks of labels, a radius each."""
    lines = shown(capsys, "vfs")
    assert [head.split()[1] for head in lines[0].split("  ") if head.strip()] == ["davis", "vip", "jhmdb"]
    fields = {line.split()[0]: line for line in lines[: lines.index("")]}
    assert fields["context"].split()[1:] == ["20", "8", "4"]
    assert fields["input_size"].split()[1:] == ["None", "*", "(560,", "560)", "~", "(320,", "320)", "~"]
    assert "vfs, code: xvjiarui/VFS @ " in "\n".join(lines)
    assert [line.partition("inferred")[0] for line in lines if "inferred: " in line] == ["vfs, vip, ", "vfs, jhmdb, "]
    (changed,) = (line for line in shown(capsys, "vfs+topk=5") if line.startswith("topk "))
    assert changed.split()[1:] == ["5"] * 3


def test_two_show_what_differs_and_their_notes(capsys):
    head, radius, *notes = shown(capsys, "vfs", "vfs-r50")
    assert [word.strip(",") for word in head.split()][::3] == ["vfs", "vfs-r50"]
    assert radius == "radius  12                         18"
    assert any(note.startswith("vfs-r50, note: The released configuration") for note in notes)
