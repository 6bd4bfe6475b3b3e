"""The rules of DAVIS by its year; from the extractor to the files: test_numbers.py."""

from vidcorr import DavisBenchmark
from vidcorr.metrics.rules import RULES


def test_the_year_decides_the_rules():
    """A year of a config, not the masks: DAVIS-2016 is the benchmark `davis_2016`."""
    for protocol, year in (("vfs", 2016), ("vfs", 2017), ("naf", 2016)):
        benchmark = DavisBenchmark("anywhere", year, protocol=protocol)
        rules = RULES["naf" if protocol == "naf" else f"davis-{year}"].stated()
        assert benchmark.facts([], None) == {"year": year, "split": "val", "resolution": "480p", "rules": rules}
