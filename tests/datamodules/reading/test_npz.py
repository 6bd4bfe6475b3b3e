"""Arrays of an .npz are found without pickle."""

import numpy as np
import pytest

from datamodules.datasets import TapVid
from datamodules.reading.errors import DataError
from tests.helpers.tap_vid_files import element


def test_an_npz_with_objects_or_compressed_is_refused(tmp_path):
    video = element()
    for number, (save, content, message) in enumerate([
        (np.savez, video | {"points": np.array([None])}, "points holds '|O'"),
        (np.savez_compressed, video, "is compressed"),
    ]):  # fmt: skip
        path = tmp_path / f"{number}.npz"
        save(path, **content)
        with pytest.raises(DataError, match=message.replace("|", r"\|")):
            TapVid(path)
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match=r"not an \.npz file"):
        TapVid(path)
