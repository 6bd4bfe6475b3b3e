"""`vidcorr protocols`: names, fields with their source, differences."""

import pytest

from cli import main
from tests.helpers.words import refusal


def shown(capsys, *words):
    main(["protocols", *words])
    return capsys.readouterr().out.splitlines()


def test_it_lists_every_name(capsys):
    from vidcorr.protocols import MatchingProtocol, PointProtocol, PropagationProtocol

    names = {line.split()[0] for line in shown(capsys) if line.startswith("  ") and line[2] != " "}
    kinds = PropagationProtocol, PointProtocol, MatchingProtocol
    assert names == {"vfs", *(name for kind in kinds for name in kind.sources())}


def test_one_shows_each_field_with_where_its_value_comes_from(capsys):
    lines = shown(capsys, "vfs+topk=5", "--benchmark=jhmdb")
    fields = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}
    assert lines[1].startswith("source: xvjiarui/VFS @ ")
    assert fields["context"] == ["4", "source"]
    assert fields["topk"] == ["5", "changed"]
    assert fields["border"] == ["exclude", "default"]


def test_two_show_what_differs_and_their_notes(capsys):
    *lines, note = shown(capsys, "vfs", "vfs-r50")
    assert [line.split() for line in lines] == [
        ["vfs,", "davis", "vfs-r50,", "davis"],
        ["radius", "12", "cells,", "96", "px", "18", "cells,", "144", "px"],
    ]
    assert note.startswith("note on vfs-r50: The released configuration")
    assert shown(capsys, "crw", "crw")[-1] == "crw and crw are the same"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vsf"], "there is no protocol vsf; did you mean vfs?"),
        (["dino", "--benchmark=vip"], "the source of protocol 'dino' defines no values for 'vip' (only for davis)"),
        (["crw+radus=3"], "a protocol has no field 'radus'; did you mean radius?"),
        (["dino", "fgvc"], "dino is for masks and joints, fgvc for points"),
    ],
)
def test_a_mistake_is_one_line(words, said):
    line = refusal("protocols", *words)
    assert said in line
    assert "--debug" not in line
