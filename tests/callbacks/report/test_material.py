"""Material of the report in addition to results.json."""

import json
from pathlib import Path

from callbacks.report.material import Chart, write_material


def test_charts_are_plain_and_unknown_values_null(tmp_path: Path) -> None:
    chart = Chart("Success", "threshold", "rate", {"success": ([0.0, 0.5], [1.0, float("nan")])}, span=None)
    write_material(tmp_path, ["walk"], ("J-Mean",), "masks", [chart], ("Queries",))
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["sequences"] == ["walk"]
    assert (written["ranked_by"], written["shows"], written["text_columns"]) == (["J-Mean"], "masks", ["Queries"])
    (plain,) = written["charts"]
    assert plain["curves"] == {"success": [[0.0, 0.5], [1.0, None]]}
    assert (plain["kind"], plain["span"]) == ("lines", None)
