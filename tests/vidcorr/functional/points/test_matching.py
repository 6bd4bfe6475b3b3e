"""Similarity and decoding against the peers' numbers."""

import numpy as np
import pytest
import torch

from vidcorr.functional.points import matching

DECODINGS = {"tapir_temperature20_radius5_cells": ("soft_argmax", 1 / 20, 5), "fomo_zero_shot_cells": ("argmax",)}
DECODINGS["fomo_softmax1_radius16_cells"] = ("soft_argmax", 1.0, 16)


@pytest.mark.parametrize("name", DECODINGS)
def test_places_are_those_of_the_peers(peers, name):
    positions = matching.decode_positions(torch.from_numpy(peers["cosine"]), *DECODINGS[name])
    np.testing.assert_allclose(positions.numpy(), peers[name], atol=2e-5)


def test_cosines_and_sampling_are_fomos(peers):
    tokens = torch.from_numpy(peers["fomo_cost_tokens"])[0]
    queries = torch.from_numpy(peers["fomo_cost_queries"])[0]
    for t, features in enumerate(tokens):
        found = matching.similarity_maps(queries, features)
        np.testing.assert_allclose(found, peers["fomo_cost_volume"][0, t], atol=1e-6)
    height, width = peers["fomo_sample_input_hw"]
    for (t, x, y), expected in zip(peers["fomo_sample_queries_txy"][0], peers["fomo_sample_features"][0], strict=True):
        features = tokens[int(t)]
        positions = torch.tensor([[x / width * features.shape[2], y / height * features.shape[1]]])
        np.testing.assert_allclose(matching.sample_features(features, positions)[0], expected, atol=1e-6)


def test_an_expectation_less_the_own_centre_is_gmrws_flow(peers):
    affinity = torch.from_numpy(peers["gmrw_affinity"])[0]
    height, width = affinity.shape[:2]
    logits = affinity.flatten(0, 1).log()
    assert matching.cell_centres(height, width, torch.device("meta")).is_meta
    own = matching.cell_centres(height, width)
    for decoding, name in (("expectation", "weighted_sum"), ("argmax", "argmax")):
        flow = (matching.decode_positions(logits, decoding, 1.0) - own).view(height, width, 2)
        np.testing.assert_allclose(flow.numpy(), peers[f"gmrw_flow_{name}"][0], atol=1e-4)
