"""Pictures: refused by their headers, and RGB whatever the file holds."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from datamodules.reading import guards
from datamodules.reading.errors import DecodingError
from datamodules.reading.images import picture_header, read_picture
from datamodules.reading.mask_files import read_mask


def huge_png(width: int, height: int) -> bytes:
    """A valid header, and the first bytes of its zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def huge_jpeg(folder: Path, width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    Image.new("RGB", (16, 16)).save(folder / "small.jpg")
    content = bytearray((folder / "small.jpg").read_bytes())
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(content)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_huge_pictures_are_refused_by_their_headers(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"huge.{kind}"
    path.write_bytes(huge_png(32_000, 32_000) if kind == "png" else huge_jpeg(tmp_path, 65_500, 65_500))

    def untouched(*_: object) -> None:
        raise AssertionError("decoding has begun")

    monkeypatch.setattr("cv2.imdecode", untouched)
    for read in (read_picture, read_mask, picture_header):
        with pytest.raises(DecodingError, match=r"claims \d+ × \d+ px|too large to decode") as error:
            read(path)
        assert guards.LIMIT_VARIABLE in str(error.value)
