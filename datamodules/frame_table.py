"""Where the frames of a video file are, read from its packets without decoding them."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Self

# Containers whose time stamps can be trusted (AVI has none for B-frames), and codecs with one packet per frame
# (VP8 has packets that show nothing). `True`: the decoder can leave out frames that no other frame refers to.
_SEEKABLE_CONTAINERS = ("mov", "matroska")
_SEEKABLE_CODECS = {"h264": True, "mpeg4": True, "hevc": False, "vp9": False, "av1": False, "libdav1d": False}


def can_seek(container: Any, stream: Any) -> bool:
    """Whether container and codec are of the kinds in which a time stamp leads to its frame."""
    return stream.codec_context.name in _SEEKABLE_CODECS and container.format.name.startswith(_SEEKABLE_CONTAINERS)


@dataclass(frozen=True)
class FrameTable:
    """Where each frame of a file is: `pts` and `keys` in decoding order, `order` from frame number to that order."""

    pts: list[int]
    keys: list[int]
    order: list[int]
    skippable: bool

    @classmethod
    def of(cls, container: Any, stream: Any) -> Self | None:
        """Reads the packets of a freshly opened file; None where they do not tell the frames' times."""
        if not can_seek(container, stream):
            return None
        codec = stream.codec_context.name
        extradata = stream.codec_context.extradata or b""
        if codec == "h264" and (extradata[:1] != b"\1" or "444" in (stream.codec_context.pix_fmt or "")):
            return None  # no lengths without avcC; decoding 4:4:4 right needs the first packet, which names the encoder
        pts: list[int] = []
        keys: list[int] = []
        for packet in container.demux(stream):
            if packet.pts is None:
                if packet.size:
                    return None
                continue  # the empty packet that ends the stream
            if packet.is_discard:
                return None
            if packet.is_keyframe and (codec != "h264" or _is_idr(bytes(packet), (extradata[4] & 3) + 1)):
                keys.append(len(pts))
            pts.append(packet.pts)
        if not keys or keys[0] != 0 or len(set(pts)) < len(pts):
            return None
        return cls(pts, keys, sorted(range(len(pts)), key=pts.__getitem__), _SEEKABLE_CODECS[codec])

    def __len__(self) -> int:
        return len(self.pts)

    def position(self, number: int) -> int:
        """Place in decoding order of a frame; beyond the end, of the last frame."""
        return self.order[min(number, len(self) - 1)]

    def start(self, position: int) -> int:
        """Place of the key frame from which a frame can be decoded."""
        nearest = bisect_right(self.keys, position) - 1
        if nearest > 0 and self.pts[position] < self.pts[self.keys[nearest]]:
            nearest -= 1  # shown before the key frame that it follows: it may refer to frames before that one
        return self.keys[nearest]

    def position_of(self, pts: int | None, limit: int) -> int:
        """Place of the packet with this time stamp, at `limit` or before."""
        position = self.pts.index(pts) if pts in self.pts else limit + 1
        if position > limit:
            raise LookupError("a seek went beyond its key frame")
        return position


def _is_idr(packet: bytes, length_size: int) -> bool:
    """Whether an H.264 packet cuts all references to what was before it; a mere recovery point need not."""
    place = 0
    while place + length_size < len(packet):
        kind = packet[place + length_size] & 31
        if 1 <= kind <= 5:
            return kind == 5
        place += length_size + int.from_bytes(packet[place : place + length_size], "big")
    return False
