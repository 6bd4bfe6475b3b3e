"""Grids of protocols: combinations, batches, and one line for what is wrong."""

import pytest

from callbacks.tools.grid import batches, named_grid, read_grid
from lightning_modules.functional import PropagationProtocol
from tests.helpers.refusal import refused

THIRTY = ",".join(map(str, range(1, 31)))
VFS = PropagationProtocol.named("vfs", "davis")


def test_combinations_are_named_by_what_differs():
    grid = read_grid(VFS, ["radius=6,12", "topk=5,10,null"])
    assert {protocol.name for protocol in grid.protocols} == {
        "vfs",
        "vfs+radius=6",
        "vfs+topk=5",
        "vfs+topk=none",
        "vfs+radius=6+topk=5",
        "vfs+radius=6+topk=none",
    }


def test_values_are_read_as_yaml():
    grid = read_grid(VFS, ["neighbourhood=circle,square", "references=null,[0, -1]"])
    assert {protocol.references for protocol in grid.protocols} == {None, (0, -1)}
    assert {protocol.neighbourhood for protocol in grid.protocols} == {"circle", "square"}


def test_combinations_that_cannot_be_are_told():
    grid = read_grid(VFS, ["neighbourhood=circle,square", "radius=0,12"])
    assert len(grid.protocols) == 3
    assert len(grid.refused) == 1
    assert "radius" in grid.refused[0]


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        (["radus=6"], "no field 'radus'; did you mean radius"),
        (["radius=6", "radius=7"], "write each field once"),
        (["radius"], "write each field once"),
        (["radius=[6"], "cannot be read as YAML"),
        (["feature_stride=4,8"], "features have the strides of --strides"),
        (["radius=-1"], "no combination of the grid is a protocol"),
        (
            ["radius=" + ",".join(map(str, range(1, 31))), "context=" + ",".join(map(str, range(1, 31)))],
            "900 protocols",
        ),
    ],
)
def test_a_mistake_is_one_line(varied, said):
    with pytest.raises(ValueError, match=r".") as raised:
        read_grid(VFS, varied)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_batch_sees_frames_alike():
    grid = read_grid(VFS, ["input_size=null,240", "topk=5,10,15"])
    found = batches(grid, ["res3", "res4"], [None], at_once=2)
    assert len(found) == 2 * 2 * 2  # stages, sizes, and three protocols by twos
    assert all(len({protocol.input_size for protocol in batch.protocols}) == 1 for batch in found)
    assert sum(len(batch.protocols) for batch in found) == 2 * len(grid.protocols)
    assert len({batch.name for batch in found}) == len(found)


def test_all_named_protocols_of_a_benchmark():
    assert len(named_grid(["all"], "davis").protocols) == 17
    assert {protocol.name for protocol in named_grid(["all"], "vip").protocols} >= {"vfs", "cropmae", "spa-then-temp"}
    refused(ValueError, "unknown protocol 'fvs'", named_grid, ["fvs"], "davis")
    refused(ValueError, "'rsp' defines no values for 'vip'", named_grid, ["rsp"], "vip")
