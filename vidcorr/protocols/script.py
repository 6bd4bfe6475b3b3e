"""A protocol as a plain script: the evaluation of DAVIS in one file that needs torch, numpy and Pillow alone."""

import re
from pathlib import Path
from textwrap import fill

from .base import READ_BY_NETWORK
from .label_protocols import PropagationProtocol

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
"""Field → ImageNet's value, written if the protocol leaves the field to the encoder; a user should write the
encoder's value."""
WIDTH = 120
"""Longest line of a comment, characters."""


def script_of(name: str) -> str:
    """Return the text of a Python script that evaluates DAVIS by a protocol, such as `dino+topk=7`.

    Raises:
        ValueError: for an unknown name, or values that the script does not implement; the message names the fields.
    """
    protocol = PropagationProtocol.named(name, "davis")
    template = TEMPLATE.read_text("utf-8")
    # the fields in the script's dictionary, in its order; fields without a default are all among them
    fields = re.findall(r'^    "(\w+)":', DICTIONARY.findall(template)[0], re.MULTILINE)
    sentences = [f"Protocol {protocol.name} of vidcorr, digest {protocol.digest()}."]
    sentences += [f"{key}: {about}" for key, about in protocol.origin().items()]
    lacking = []
    for field, value in protocol.values().items():
        info = PropagationProtocol.model_fields[field]
        # without the field, the script computes as with its default: another value matters, unless the field is idle
        counts = field not in protocol.idle() and value != info.default
        is_left_out = field not in fields and counts
        if is_left_out and READ_BY_NETWORK in info.metadata:
            # the user's, which the script calls
            sentences.append(f"The encoder sets {field}={value}.")
        elif is_left_out or value in LACKING.get(field, ()):
            lacking.append(f"{field}={value}")
    if lacking:
        raise ValueError(f"protocol {protocol.name!r}: the script does not implement {', '.join(lacking)}")
    comments = [fill(sentence, WIDTH, initial_indent="# ", subsequent_indent="# ") for sentence in sentences]
    # `UNSTATED`: values of ImageNet, where the protocol leaves the mean and std of RGB to the encoder
    values = protocol.values() | {field: value for field, value in UNSTATED.items() if protocol.values()[field] is None}
    lines = [f'    "{field}": {values[field]!r},'.replace("'", '"') for field in fields]
    dictionary = "\n".join([*comments, "PROTOCOL = {", *lines, "}", ""])
    return DICTIONARY.sub(lambda _: dictionary, template)
