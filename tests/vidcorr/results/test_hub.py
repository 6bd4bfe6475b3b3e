"""Entries of `.eval_results/` are as the hub's own reader wants them; a score can be found again by its digests."""

import math

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from tests.helpers.runs import davis_result
from vidcorr.results.hub import hub_text
from vidcorr.results.provenance import Provenance
from vidcorr.results.result import Network, ProtocolFacts, Setup


def test_an_entry_has_the_fields_of_the_hubs_form():
    """Those that its own class writes, and no others."""
    about = {"date": "2026-11-27T18:00:00+00:00", "versions": {"vidcorr": "0.1.0"}}
    result = davis_result(
        {"J-Mean": 0.56789, "F-Mean": math.nan},
        network=Network(name="A", digest="w"),
        stage=Setup(protocol=ProtocolFacts(name="vfs", digest="d")),
        conditions=["2017", "val"],
        provenance=Provenance(**about),
    )
    (found,) = yaml.safe_load(hub_text((result, score) for score in result.scores))
    notes = "protocol vfs (d), 2017, val, weights w"
    source = {"source_url": "https://huggingface.co/OWNER/NAME", "source_name": "vidcorr 0.1.0"}
    entry = EvalResultEntry("OWNER/davis", "J-Mean", 56.79, date=about["date"], notes=notes, **source)
    assert [found] == eval_result_entries_to_yaml([entry])
