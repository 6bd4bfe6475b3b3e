"""Picture headers of packets: they tell what a packet shows without decoding it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import av

Picture = Literal["I", "P", "B"]
"""I: no frame shown after it refers to frames before it. P: refers to earlier pictures. B: shown before the I- or
P-picture that precedes it in the file."""

_VOP_START = b"\0\0\1\xb6"
"""Start code of a picture of MPEG-4 part 2."""
_PICTURE_START = b"\0\0\1\0"
"""Start code of a picture of MPEG-1 and MPEG-2."""

_CODED = "(?:" + "|".join(f"0{{{zeros}}}1.{{{zeros}}}" for zeros in range(17)) + ")"
"""Bits of a number in an Exp-Golomb code."""
_DECLARED = re.compile(
    rf"""
    11100001 .{{16}} .{{8}}  # one set of parameters, its length, its kind
    (?:
        (?:01000010|01001101) .{{16}} {_CODED}  # Baseline and Main: level, id
        |
        (?:01100100|01101110|01111010|11110100) .{{16}} {_CODED}  # High: 8 bits, 10 bits, 4:2:2, 4:4:4
        (?:1|010|011|00100.) {_CODED}{{2}} .0  # kind of chroma, depths, no scaling lists
    )
    {_CODED} (?:1{_CODED}|011)  # frame numbers, picture orders
    {_CODED} . {_CODED}{{2}} (?:1|0.) .  # references, size, fields, direct prediction
    (?:0|1{_CODED}{{4}})  # cropping
    1  # usability information follows
    (?:0|1(?:1{{8}}.{{32}}|(?!1{{8}}).{{8}}))  # aspect ratio
    (?:0|1.) (?:0|1.{{4}}(?:0|1.{{24}})) (?:0|1{_CODED}{{2}}) (?:0|1.{{65}})  # overscan, colours, chroma, timing
    00 . 1  # no decoder models; bitstream_restriction_flag
    . {_CODED}{{4}} (?!1){_CODED}{{2}} 10*  # the restrictions, of which the number is not 0, and the end
    """,
    re.VERBOSE,
)
"""Bits of an avcC record up to the end of its sequence parameters (H.264, 7.3.2.1.1 and E.1.1; ISO/IEC 14496-15)."""

_LARGEST_EMPTY = 19
"""Bytes of an MPEG-4 picture that is not coded and shows nothing, at most (FFmpeg's MAX_NVOP_SIZE).

A coded picture is larger if it has 128 macroblocks, as it needs a bit for each; of a smaller picture it is uncertain.
"""


def picture_of(packet: av.Packet) -> Picture | None:
    """Return the kind of a packet's picture; None if it is uncertain whether the packet shows exactly one frame.

    If `has_picture_headers` is False of the codec, a key frame is I and every other picture P, even a B-picture.
    """
    codec = packet.stream.codec_context
    if has_picture_headers(codec.name):
        return _READERS[codec.name](bytes(packet))
    is_key = packet.is_keyframe
    if is_key and codec.name == "h264":  # recovery points count as key frames, but may need frames before
        length_size = (codec.extradata[4] & 3) + 1  # lengthSizeMinusOne of the avcC record
        is_key = _is_idr(bytes(packet), length_size)
    return "I" if is_key else "P"


def has_picture_headers(codec: str) -> bool:
    """Return True if `picture_of` reads the pictures' headers of this codec (FFmpeg's name)."""
    return codec in _READERS


def shown_order(pictures: Iterable[tuple[int, Picture]]) -> list[int]:
    """Return the time stamps in the order in which a decoder shows the pictures.

    Args:
        pictures: time stamp and kind of picture of each packet, in the order of the file.
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


def declares_delay(header: bytes) -> bool:
    """Return True if an avcC record states by how many frames H.264 is reordered (`bitstream_restriction_flag`).

    Without the number FFmpeg guesses it from the first frames. The answer is also False for records that are rare:
    parameters in several sets, scaling lists, a decoder model, or a cycle of picture orders. It is False for the number
    0 too, since a film with this number may be reordered all the same.
    """
    end = 8 + int.from_bytes(header[6:8], "big")
    content = header[5:end].replace(b"\0\0\3", b"\0\0")  # a 3 behind two zeros only keeps them from a start code
    return _DECLARED.fullmatch("".join(f"{byte:08b}" for byte in content)) is not None


def _mpeg4(packet: bytes) -> Picture | None:
    """Return the kind of an MPEG-4 part 2 packet's picture.

    None for a packet with further B-pictures, and for an empty picture, which stands where such a picture was.
    """
    if packet.count(_VOP_START) != 1:
        return None
    _, _, after = packet.partition(_VOP_START)
    content, _, _ = after.partition(b"\0\0\1")  # up to the next start code of any kind
    if len(_VOP_START) + len(content) <= _LARGEST_EMPTY:
        return None
    kinds: tuple[Picture, ...] = ("I", "P", "B", "P")  # the last: a sprite, which refers as a P-picture does
    coding_type = content[0] >> 6  # vop_coding_type, 2 bits
    return kinds[coding_type]


def _mpeg2(packet: bytes) -> Picture | None:
    """Return the kind of an MPEG-1 or MPEG-2 packet's picture; None for two fields in a packet."""
    _, _, content = packet.partition(_PICTURE_START)
    if packet.count(_PICTURE_START) != 1 or len(content) < 2:
        return None
    kinds: dict[int, Picture] = {1: "I", 2: "P", 3: "B"}
    coding_type = (content[1] >> 3) & 7  # picture_coding_type, 3 bits after the 10 of temporal_reference
    return kinds.get(coding_type)


def _vp8(packet: bytes) -> Picture | None:
    """Return the kind of a VP8 packet's picture; None if it is not shown, such as an alternate reference."""
    if not packet:
        return None
    is_shown = packet[0] & 0b10000  # show_frame
    is_key = not packet[0] & 1  # the bit is 0 for a key frame
    if not is_shown:
        return None
    return "I" if is_key else "P"


def _is_idr(packet: bytes, length_size: int) -> bool:
    """Return True if an H.264 packet holds an IDR picture, False for a recovery point.

    Args:
        packet: parts of a picture, each behind its length.
        length_size: bytes of such a length.
    """
    offset = 0
    kind = 0  # nal_unit_type: 1 to 5 are parts of a picture, 5 of an IDR picture
    while not 1 <= kind <= 5 and offset + length_size < len(packet):
        kind = packet[offset + length_size] & 31
        offset += length_size + int.from_bytes(packet[offset : offset + length_size], "big")
    return kind == 5


_READERS: dict[str, Callable[[bytes], Picture | None]] = {
    "mpeg4": _mpeg4,
    "mpeg1video": _mpeg2,
    "mpeg2video": _mpeg2,
    "vp8": _vp8,
}
