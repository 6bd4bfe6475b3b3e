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


def test_rows_of_points_agree_with_themselves_and_call_all_points_visible():
    """OmniProbe's page: 25 networks; δ_avg is the mean of its five parts, OA a number of the annotation alone."""
    rows = [row for row in PUBLISHED if row.source.startswith("OmniProbe's page")]
    assert len(rows) == 25
    for row in rows:
        parts = [value for key, value in row.scores.items() if key.startswith("pts_within")]
        assert len(parts) == 5
        assert sum(parts) / 5 == pytest.approx(row.scores["average_pts_within_thresh"], abs=1.1e-4)
        assert row.scores["occlusion_accuracy"] == 0.7513
    certain = {row.name: row.scores["average_jaccard"] for row in rows if not row.doubt}
    assert certain["DINOv2 ViT-B/14"] == 0.2286
    assert "CLIP ViT-B/16" not in certain  # another table prints another number


@pytest.mark.parametrize(
    ("source", "count", "certain"), [("SOCO", 27, 0), ("Co-Settle", 66, 0), ("CleanDIFT", 15, 0), ("OmniProbe", 25, 8)]
)
def test_contradicted_and_unstated_rows_have_a_doubt(source, count, certain):
    rows = [row for row in PUBLISHED if row.source.startswith(source)]
    assert (len(rows), sum(not row.doubt for row in rows)) == (count, certain)
