"""Pictures: refused by their headers, and RGB whatever the file holds."""

from pathlib import Path

import pytest

from datamodules.reading import guards
from datamodules.reading.errors import DecodingError
from datamodules.reading.images import image_header, read_image
from datamodules.reading.mask_files import read_mask
from tests.helpers.huge import huge_jpeg, huge_png
from tests.helpers.refusal import refused


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_huge_pictures_are_refused_by_their_headers(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"huge.{kind}"
    path.write_bytes(huge_png(32_000, 32_000) if kind == "png" else huge_jpeg(tmp_path, 65_500, 65_500))

    def untouched(*_: object) -> None:
        raise AssertionError("decoding has begun")

    monkeypatch.setattr("cv2.imdecode", untouched)
    for read in (read_image, read_mask, image_header):
        assert guards.LIMIT_VARIABLE in refused(DecodingError, r"claims \d+ × \d+ px|too large to decode", read, path)
