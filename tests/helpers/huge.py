"""Pictures whose headers claim more than is decoded."""

import struct
import zlib
from pathlib import Path

from PIL import Image


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
