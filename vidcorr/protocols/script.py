"""A protocol as a plain script: the evaluation of DAVIS in one file that needs torch, numpy and Pillow alone."""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from .masks import PropagationProtocol
from .network_input import READ_BY_NETWORK

TEMPLATE = Path(__file__).with_name("plain_davis.py")
"""The script of `dino`."""
DICTIONARY = re.compile(r"^# Protocol .*?^}\n", re.DOTALL | re.MULTILINE)
"""The part of the script that holds the protocol: comments on its source, and the dictionary."""
LACKING = {
    "input_multiple": ("network",),
    "label_encoding": ("bilinear-aligned", "strided"),
    "decoding_filter": ("bilinear-aligned",),
}
"""Field of the dictionary → values that the script does not implement."""
UNSTATED = {"rgb_mean": (0.485, 0.456, 0.406), "rgb_std": (0.229, 0.224, 0.225)}
"""Field → ImageNet's value, where the protocol leaves it to the encoder."""
WIDTH = 120
"""Longest line of a comment, characters."""


def script_of(name: str) -> str:
    """Return the script of a protocol.

    Args:
        name: name of a protocol of masks with values for DAVIS, also with changed fields: `dino+topk=7`.

    Raises:
        ValueError: for an unknown name, or a protocol with values that the script does not implement; with the fields.
    """
    protocol = PropagationProtocol.named(name, "davis")
    template = TEMPLATE.read_text("utf-8")
    fields = re.findall(r'^    "(\w+)":', DICTIONARY.findall(template)[0], re.MULTILINE)
    beyond = _values_beyond(protocol, fields)
    of_encoder: list[str] = []
    lacking: list[str] = []
    for field in beyond:
        is_read_by_network = READ_BY_NETWORK in PropagationProtocol.model_fields[field].metadata
        texts = of_encoder if is_read_by_network and field not in fields else lacking
        texts.append(f"{field}={beyond[field]}")
    if lacking:
        raise ValueError(f"protocol {protocol.name!r}: the script does not implement {', '.join(lacking)}")
    dictionary = _comments(protocol, of_encoder) + _dictionary(protocol, fields)
    return DICTIONARY.sub(lambda _: dictionary, template)


def _values_beyond(protocol: PropagationProtocol, fields: Collection[str]) -> dict[str, Any]:
    """Return field → value, for the values that the script's code and its dictionary's fields do not express."""
    found: dict[str, Any] = {}
    for field, info in PropagationProtocol.model_fields.items():
        value = getattr(protocol, field)
        if field in fields:
            is_beyond = value in LACKING.get(field, ())
        else:
            counts = field in protocol.value_fields() and field not in protocol.idle()
            is_beyond = counts and value != info.default
        if is_beyond:
            found[field] = value
    return found


def _comments(protocol: PropagationProtocol, of_encoder: Sequence[str]) -> str:
    """Return the lines above the dictionary: name, digest and sources, and the values that the encoder sets."""
    sentences = [f"Protocol {protocol.name} of vidcorr, digest {protocol.digest()}."]
    for key, about in protocol.origin().items():
        sentences.append(f"{key}: {about}")
    if of_encoder:
        sentences.append(f"The encoder sets {', '.join(of_encoder)}.")
    text = ""
    for sentence in sentences:
        text += fill(sentence, WIDTH, initial_indent="# ", subsequent_indent="# ") + "\n"
    return text


def _dictionary(protocol: PropagationProtocol, fields: Iterable[str]) -> str:
    """Return the dictionary of a protocol's values as Python."""
    text = "PROTOCOL = {\n"
    for field in fields:
        value = getattr(protocol, field)
        about = ""
        if value is None and field in UNSTATED:
            value = UNSTATED[field]
            about = "  # the protocol leaves it to the encoder"
        text += f'    "{field}": {value!r},{about}\n'.replace("'", '"')
    return text + "}\n"
