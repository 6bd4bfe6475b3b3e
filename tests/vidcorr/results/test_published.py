"""Published rows: each has the protocol and the size that its source states, and says whose weights its numbers are."""

import re

import pytest

from vidcorr import (
    DavisBenchmark,
    JhmdbBenchmark,
    MatchBenchmark,
    OtbBenchmark,
    TapVidBenchmark,
    VipBenchmark,
    VosBenchmark,
    YoutubeVosBenchmark,
)
from vidcorr.benchmarks.match import PfPascalBenchmark, PfWillowBenchmark
from vidcorr.results.published import published_rows

PUBLISHED = published_rows()
PROTOCOLS = {
    "VFS (": ("vfs", "vfs-r50", "crw"), "xvjiarui/VFS": ("vfs", "vfs-r50"), "CRW (": ("crw",), "ajabri": ("crw",),
    "Liir (": ("liir",), "LIIR_pytorch": ("liir-reference",), "DINO (": ("dino",), "DINOv3 (": ("dinov3",),
    "facebookresearch/dinov3": ("dinov3", "probe3d"), "OmniProbe": ("omniprobe",), "SOCO (": ("omniprobe", "probe3d"),
    "Co-Settle (": ("cropmae",), "CleanDIFT (": ("dift", "sd-dino", "geoaware"),
    "alexandre-eymael": ("cropmae",), "minhoooo1": ("catmae-16", "catmae-8"),
    "qianduoduolr": ("spa-then-temp",), "NUST": ("hvc",), "yafeng19": ("cropmae",), "ToBo (": ("cropmae",),
    "Perception Encoder (": ("dino",), "LoftUp (": ("loftup",), "visinf/INSID3": ("insid3",),
    "Junyi42/GeoAware-SC": ("geoaware",), "juhongm999/hpf": ("dift", "sd-dino", "vidcorr"),
}  # fmt: skip
"""Beginning of a source → the protocols of its rows."""


@pytest.mark.sampled(10)
@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.name}, {row.benchmark}")
def test_a_row_has_the_protocol_and_the_size_that_its_source_states(row):
    (allowed,) = (names for source, names in PROTOCOLS.items() if row.source.startswith(source))
    assert row.protocol.partition("+")[0] in allowed
    assert row.weights
    protocol = row.evaluated_by()
    if row.benchmark == "otb":
        assert f"crops of {protocol.instance_size} px" in row.stated
    elif "not stated" in row.stated:
        assert row.doubt or protocol.sources()[row.protocol.partition("+")[0]].inferred
    elif "native size" in row.stated:
        assert protocol.input_size is None
    elif pair := re.search(r"(\d+) x (\d+)", row.stated):
        assert protocol.input_size == tuple(map(int, pair.groups()))
    else:
        (side,) = re.findall(r"(\d+) px(?! with)(?=,|$)", row.stated)
        assert protocol.input_size == int(side)
    for number in re.findall(r"radius (\d+); native", row.stated):
        assert protocol.radius == int(number)


KINDS = {
    "davis": DavisBenchmark, "davis_2016": DavisBenchmark, "jhmdb": JhmdbBenchmark, "vip": VipBenchmark,
    "otb": OtbBenchmark, "youtube_vos": YoutubeVosBenchmark, "mose": VosBenchmark, "tap_vid": TapVidBenchmark,
    "spair": MatchBenchmark, "pf_pascal": PfPascalBenchmark, "pf_willow": PfWillowBenchmark,
}  # fmt: skip


@pytest.mark.sampled(10)
@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.name}, {row.benchmark}")
def test_a_row_has_scores_that_its_benchmark_gives(row):
    kind = KINDS[row.benchmark]
    of_protocol = {"protocol": row.protocol} if issubclass(kind, MatchBenchmark) else {}
    names = set(kind(root="nowhere", **of_protocol).score_names)
    if kind is YoutubeVosBenchmark and row.doubt:  # a mean over videos that DINOv3's authors drew themselves
        names.add("J&F-Mean")
    assert set(row.scores) <= names
    assert all(0 < value < 1 for value in row.scores.values())
