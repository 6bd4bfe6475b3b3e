"""The shapes of the files that the report reads beside results.json, see `stored_results`."""

from ..stored_results import Json

NUMBERS = [None, float]
CURVES = {str: (NUMBERS, NUMBERS)}
FILM: Json = {"sequence": str, "kind": str, "columns": int, "frames": [int], "size": (int, int), "curves": CURVES}
CHART: Json = {"title": str, "x": str, "y": str, "kind": str, "curves": CURVES, "labels": [str]}
MATERIAL: Json = {"sequences": [str], "ranked_by": [str], "shows": str, "charts": [CHART]}
