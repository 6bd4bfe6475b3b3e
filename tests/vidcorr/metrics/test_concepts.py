"""Points of a name and of a concept, by hand; the scripts' numbers are in vidcorr/benchmarks/test_soco.py."""

import numpy as np

from vidcorr.metrics.concepts import candidate_cells, point_errors


def test_the_most_similar_cell_that_holds_a_point_of_the_concept_is_chosen():
    similarities = np.zeros((3, 2, 3))
    similarities[0, 0] = [9, 9, 5]  # cells 0 and 1 hold no point
    targets = np.array([[0.5, 0.5], [1.0, 0.2], [0.1, 1.0]], np.float32)
    concept = np.array([[0, 0], [0, 1], [2, 2]])
    assert candidate_cells(similarities, targets, concept).tolist() == [2, -1, 3]
    assert point_errors(np.array([[0, 0], [3, 4]]), np.array([[3, 4]]), 10.0).tolist() == [[0.5], [0.0]]
