"""A protocol as a plain script: the evaluation of DAVIS in one file that needs torch, numpy and Pillow alone."""

import re
from pathlib import Path
from textwrap import fill

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
    lacking: list[str] = []
    of_encoder: list[str] = []
    for field, info in PropagationProtocol.model_fields.items():
        value = getattr(protocol, field)
        stated = f"{field}={value}"
        if field in fields:
            if value in LACKING.get(field, ()):
                lacking.append(stated)
        elif field in protocol.value_fields() and value != info.default and field not in protocol.idle():
            is_of_encoder = READ_BY_NETWORK in info.metadata
            (of_encoder if is_of_encoder else lacking).append(stated)
    if lacking:
        raise ValueError(f"protocol {protocol.name!r}: the script does not implement {', '.join(lacking)}")
    comments = [f"Protocol {protocol.name} of vidcorr, digest {protocol.digest()}."]
    comments += [f"{key}: {about}" for key, about in protocol.origin().items()]
    if of_encoder:
        comments.append(f"The encoder sets {', '.join(of_encoder)}.")
    lines = [fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ") for text in comments]
    lines.append("PROTOCOL = {")
    for field in fields:
        value = getattr(protocol, field)
        about = ""
        if value is None and field in UNSTATED:
            value = UNSTATED[field]
            about = "  # the protocol leaves it to the encoder"
        lines.append(f'    "{field}": {value!r},{about}'.replace("'", '"'))
    dictionary = "\n".join([*lines, "}", ""])
    return DICTIONARY.sub(lambda _: dictionary, template)
