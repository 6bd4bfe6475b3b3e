"""The compactness prior of MAST and Liir: stored frames of the public codes, moments by hand, its loss and gradient."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.helpers import stored_affinity as of_stored
from vidcorr import functional
from vidcorr.functional import device
from vidcorr.functional.propagation import attention
from vidcorr.protocols import PropagationProtocol


@pytest.mark.parametrize("key", ["test_out_R12", "compact_off_R6", "compact_out_R6", "compact_out_R14"])
def test_labels_equal_those_of_mast_and_liir(golden, key):
    """The stored test frames through the engine's average."""
    case, liir = golden("liir_mast"), PropagationProtocol.named("liir")
    keys = torch.from_numpy(case["test_k"][:, 0]).permute(2, 3, 0, 1).contiguous()
    masks = [functional.encode_masks(mask[0, 0], range(1, 7), (24, 24), liir) for mask in case["test_labels"]]
    query = torch.from_numpy(case["test_q"][0]).permute(1, 2, 0)
    components, gain = (2, 1.05) if key.startswith("compact_out") else (None, 1)
    fields = {"radius": int(key.partition("_R")[2]), "border": "zero", "mixture_components": components}
    of = liir.with_changes(normalise_labels=False, **fields)
    average = attention.average_all(query, keys, torch.stack(masks).permute(2, 3, 0, 1), range(3), of)
    labels = average.permute(2, 0, 1)
    labels[1:] *= gain
    np.testing.assert_allclose(labels, case[key][0], atol=1e-4)


@pytest.mark.parametrize("name", ["liir", "liir-paper", "liir+normalise_by=weights", "liir-reference"])
def test_liir_frame_by_frame(name, monkeypatch):
    """The whole protocol against the stored affinity of each frame; of labels that sum to anything."""
    of = PropagationProtocol.named(name).with_changes(radius=3)
    features = torch.randn(12, 1, 1) + torch.randn(9, 12, 10, 11)
    first = torch.rand(3, 10, 11) ** 8
    fed, expected = [first], [first]
    for frame in range(1, len(features)):
        chosen = of.reference_frames(frame)
        affinity = of_stored.local_affinity(features[frame, None], features[None, chosen], 3, of.border)
        rest = ("moments", "mass") if name == "liir-paper" else ("fixed", "softmax")
        compact = of_stored.compact_affinity(affinity, 3, 2, 0.0 if name == "liir-paper" else 0.1, *rest)
        values = torch.stack([fed[f] for f in chosen])[None]
        labels = of_stored.reconstruct(compact, values, 3)[0]
        mass = of_stored.reconstruct(compact, torch.ones_like(values), 3)[0]  # sum of the weights on the map
        if name == "liir-reference":
            labels[1:] *= 1.05
            winner = F.interpolate(labels[None], scale_factor=4, mode="bilinear")[0].argmax(0)[::4, ::4]
            fed.append(F.one_hot(winner, 3).permute(2, 0, 1).float())
        else:
            labels = labels / (mass if of.normalise_by == "weights" else labels.sum(0))
            fed.append(labels)
        expected.append(labels)
    for workspace in (device.WORKSPACE, 1):  # all tiles together, and row by row
        monkeypatch.setattr(device, "WORKSPACE", workspace)
        found = torch.stack(list(functional.propagate_labels(features, first, of)))
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)
