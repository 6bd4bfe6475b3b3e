"""The scores of a result as the official codes print them: a flat dictionary."""

from vidcorr import Result


def flat_scores(result: Result) -> dict[str, float]:
    """Return the scores of the data set, and of sequences or objects (`J/bike/1`)."""
    scores = dict(result.scores)
    for row in result.rows:
        for key, value in row.values.items():
            if key == "Queries" or isinstance(value, str):  # numbers of points, and names: no scores
                continue
            place = (key.removesuffix("-Mean"), row.video, row.object)
            scores["/".join(filter(None, place))] = value
    return scores
