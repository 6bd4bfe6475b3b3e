"""Picture headers of packets: they tell what a packet shows without decoding it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    import av

Picture = Literal["I", "P", "B"]
"""I: no frame shown after it refers to frames before it. P: refers to earlier pictures. B: shown before the I- or
P-picture that precedes it in the file."""

# start code of a picture of MPEG-4 part 2
_VOP_START = b"\0\0\1\xb6"

# Bytes of an MPEG-4 picture that is not coded and shows nothing, at most (FFmpeg's MAX_NVOP_SIZE). A coded picture is
# larger if it has 128 macroblocks, as it needs a bit for each; of a smaller picture it is uncertain.
_LARGEST_EMPTY = 19


def picture_of(packet: av.Packet) -> Picture | None:
    """Return the kind of a packet's picture; None if it is uncertain whether the packet shows exactly one frame.

    Only of MPEG-4 part 2 is the picture's header read; of other codecs a key frame is I and every other picture P, even
    a B-picture.
    """
    codec = packet.stream.codec_context.name
    if codec == "mpeg4":
        return _mpeg4(bytes(packet))
    is_key = packet.is_keyframe
    if is_key and codec == "h264":  # recovery points count as key frames, but may need frames before
        is_key = _is_idr(packet)
    return "I" if is_key else "P"


def shown_order(pictures: Iterable[tuple[int, Picture]]) -> list[int]:
    """Return the time stamps in the order in which a decoder shows the pictures.

    Args:
        pictures: time stamp and kind of picture of each packet, in the order of the file.

    Example:
        >>> shown_order([(1, "I"), (4, "P"), (2, "B"), (3, "B"), (7, "I"), (5, "B")])
        [1, 2, 3, 4, 5, 7]
    """
    shown: list[int] = []
    held: list[int] = []  # the last I- or P-picture, which B-pictures may precede
    for time, picture in pictures:
        if picture == "B":
            shown.append(time)
        else:
            shown += held
            held = [time]
    return shown + held


def _mpeg4(packet: bytes) -> Picture | None:
    """Return the kind of an MPEG-4 part 2 packet's picture.

    None for a packet with further B-pictures, and for an empty picture, which stands in place of a B-picture that lies
    in an earlier packet.
    """
    if packet.count(_VOP_START) != 1:  # no picture, or further B-pictures behind the first
        return None
    _, _, after = packet.partition(_VOP_START)
    content, _, _ = after.partition(b"\0\0\1")  # up to the next start code of any kind
    if len(_VOP_START) + len(content) <= _LARGEST_EMPTY:  # so short that it may be empty
        return None
    kinds: tuple[Picture, ...] = ("I", "P", "B", "P")  # the last: a sprite, which refers as a P-picture does
    # vop_coding_type, 2 bits
    return kinds[content[0] >> 6]


def _is_idr(packet: av.Packet) -> bool:
    import av
    from av.bitstream import BitStreamFilterContext

    only_idr = BitStreamFilterContext("filter_units=pass_types=5", packet.stream)  # nal_unit_type 5: an IDR picture
    copied = av.Packet(bytes(packet))  # the filter empties its packet
    return bool(only_idr.filter(copied))
