"""Checkpoint files are written atomically."""

import pytest

from lightning_modules.checkpoints import written_completely


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    def write(text, error=None):
        with written_completely(path) as half:
            half.write_text(text)
            if error:
                raise error

    path = tmp_path / "new" / "a.ckpt"
    write("before")
    with pytest.raises(OSError, match="full"):
        write("ha", OSError("full"))
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]
