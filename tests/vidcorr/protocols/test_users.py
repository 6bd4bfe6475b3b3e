"""A user's class of protocols, or a protocol of it, by its name: doors × names."""

import pytest
import torch
import yaml
from pydantic import Field

from tests.helpers.refusal import refused
from tests.helpers.words import chosen
from vidcorr import DavisBenchmark, MaskPrompt
from vidcorr.backbones import load
from vidcorr.experiments.reports.protocol_texts import tables_of_protocol
from vidcorr.protocols import PropagationProtocol
from vidcorr.protocols.base import Source
from vidcorr.tracking.follow import protocol_of_prompt

HERE = "tests.vidcorr.protocols.test_users"


class EveryNth(PropagationProtocol):
    """The first frame, and every n-th of the others."""

    n: int = 5
    topk: int | None = 3

    def reference_frames(self, frame, start=0):
        return [start, *range(start + self.n, frame, self.n)]

    def kept_frames(self):
        return (0,), 1000


class Made(PropagationProtocol):
    """A field whose default a function makes."""

    weights: tuple[float, ...] = Field(default_factory=lambda: (0.5, 0.25))


class OfAnotherPaper(PropagationProtocol):
    """A class with sources of its own."""

    @classmethod
    def sources(cls):
        return {"mine": Source(code="mine", values={"davis": {}})}


SHORT = PropagationProtocol.named("vfs", changes={"context": 3})

NAMES = {
    f"{HERE}:EveryNth": f"vfs+class={HERE}.EveryNth+topk=3",
    f"{HERE}:EveryNth+n=2": f"vfs+class={HERE}.EveryNth+n=2+topk=3",
    f"dino+class={HERE}.EveryNth+n=2+topk=9": f"dino+class={HERE}.EveryNth+n=2+topk=9",
    f"{HERE}:SHORT": "vfs+context=3",
    f"{HERE}:Made": f"vfs+class={HERE}.Made",
}
"""What is written → the protocol's name, which is written too."""


def of_a_benchmark(name, tmp_path):
    return DavisBenchmark(tmp_path, protocol=name).protocol


def of_flags(name, tmp_path):
    (choice,) = chosen("--on", f"davis={tmp_path}", "--protocol", name)
    return choice.build().protocol


def of_a_prompt(name, tmp_path):
    return protocol_of_prompt(load("raw_colour"), MaskPrompt.of(torch.ones(8, 8).long()), name)


@pytest.mark.parametrize("door", [of_a_benchmark, of_flags, of_a_prompt])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.sampled(4)
def test_each_door_takes_a_users_protocol_and_the_name_that_it_prints(name, door, tmp_path):
    found = door(name, tmp_path)
    assert found.name == NAMES[name]
    assert found == door(found.name, tmp_path)
    assert found.digest() == PropagationProtocol.named(name).digest()
    assert found.name in tables_of_protocol(name)


def test_fields_of_the_class_count_and_change():
    first, second = (PropagationProtocol.named(f"{HERE}:EveryNth", changes={"n": n}) for n in (2, 3))
    assert first.digest() != second.digest()
    assert (first.reference_frames(5), second.reference_frames(5)) == ([0, 2, 4], [0, 3])
    refused(ValueError, "n must be .*, got 'x'", PropagationProtocol.named, f"{HERE}:EveryNth+n=x")
    refused(ValueError, "defines no values for 'unknown'", PropagationProtocol.named, f"{HERE}:Mine", "unknown")
    line = "unknown protocol 'vfs': expected your module:NAME or one of mine"  # its rule would be called VFS's
    refused(ValueError, line, PropagationProtocol.named, f"{HERE}:OfAnotherPaper")
    for name, line in ((f"{HERE}:Nothing", "no attribute 'Nothing'"), ("nowhere:X", "No module named 'nowhere'")):
        refused(ValueError, f"protocol {name}: .*{line}", PropagationProtocol.named, name)
    for name in ("chosen", "test_fields_of_the_class_count_and_change"):
        refused(ValueError, "is not a class below PropagationProtocol", PropagationProtocol.named, f"{HERE}:{name}")


def test_a_config_names_a_class_and_its_fields(tmp_path):
    content = {"class_path": "DavisBenchmark", "init_args": {"protocol": f"{HERE}:EveryNth", "changes": {"n": 2}}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    (choice,) = chosen("--on", f"{tmp_path / 'own.yaml'}={tmp_path}", "--change", "radius=3")
    found = choice.build().protocol
    assert (type(found), found.n, found.radius) == (EveryNth, 2, 3)
