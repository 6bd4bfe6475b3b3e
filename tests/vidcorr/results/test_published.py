"""Published rows: each has the protocol and the size that its source states, and says whose weights its numbers are."""

import re

from tests.helpers.benchmark_data import benchmark_classes
from vidcorr import DavisBenchmark, VosBenchmark, YoutubeVosBenchmark
from vidcorr.protocols.box_protocols import INSTANCE_SIZE
from vidcorr.results.published import published_rows

PUBLISHED = published_rows()
KINDS = {kind.name: kind for kind in benchmark_classes()}
KINDS |= {"davis_2016": DavisBenchmark, "mose": VosBenchmark}


def test_rows_have_the_protocol_and_the_size_that_their_sources_state(recorded):
    """The record: beginning of a source → the protocols of its rows."""
    for row in PUBLISHED:
        about = f"{row.name}, {row.benchmark}"
        (allowed,) = (names for source, names in recorded.items() if row.source.startswith(source))
        assert row.protocol.partition("+")[0] in allowed, about
        protocol = row.evaluation_protocol()
        if row.benchmark == "otb":
            assert f"crops of {INSTANCE_SIZE} px" in row.stated, about
        elif "not stated" in row.stated:
            assert row.doubt or protocol.sources()[row.protocol.partition("+")[0]].inferred, about
        elif "native size" in row.stated:
            assert protocol.input_size is None, about
        elif pair := re.search(r"(\d+) x (\d+)", row.stated):
            assert protocol.input_size == tuple(map(int, pair.groups())), about
        else:
            (side,) = re.findall(r"(\d+) px(?! with)(?=,|$)", row.stated)
            assert protocol.input_size == int(side), about
        for number in re.findall(r"radius (\d+); native", row.stated):
            assert protocol.radius == int(number), about


def test_rows_are_different_have_scores_that_their_benchmarks_give_and_doubts_where_protocols_are_inferred():
    assert len({(row.name, row.benchmark, row.protocol, row.source) for row in PUBLISHED}) == len(PUBLISHED)
    for row in PUBLISHED:
        kind = KINDS[row.benchmark]
        names = set(kind(root="nowhere").score_names)
        if kind is YoutubeVosBenchmark and row.doubt:  # a mean over videos that DINOv3's authors drew themselves
            names.add("J&F-Mean")
        assert set(row.scores) <= names, row.name
        assert all(0 < value < 1 for value in row.scores.values()), row.name
        assert row.weights, row.name
        assert row.doubt or not row.evaluation_protocol().origin().get("inferred"), row.name


def test_rows_with_public_weights_name_a_network_and_its_download():
    networks = {(row.short_name, row.model, row.download) for row in PUBLISHED if row.short_name}
    assert all(model and download for _, model, download in networks)
    assert len(networks) == len({name for name, *_ in networks}) > 30
    assert all(bool(row.short_name) == bool(row.model) for row in PUBLISHED)
    rows = [(row.short_name, row.benchmark) for row in PUBLISHED if row.short_name]
    assert len(set(rows)) == len(rows)  # so a short name has one protocol on a benchmark
