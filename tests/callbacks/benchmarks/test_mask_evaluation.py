"""Masks in which objects start: an object that is not in its mask, and an id that no mask introduces."""

import shutil
from dataclasses import replace

from callbacks import DavisBenchmark
from callbacks.benchmarks.mask_evaluation import annotated_frames
from datamodules.datasets import Davis
from datamodules.reading.guards import DataError
from datamodules.reading.mask_files import davis_palette, read_mask, write_ids
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.refusal import refused
from tests.helpers.words import SMALL


def test_a_mask_without_the_object_that_it_introduces_is_refused(davis_root):
    sequence = Davis(davis_root)[0]
    entering = [mask is not None for _, mask in annotated_frames(sequence)]
    assert entering == [True] + [False] * (sequence.num_frames - 1)
    message = r"00000\.png: does not hold object 9, which is to start in this frame"
    refused(DataError, message, list, annotated_frames(replace(sequence, starts={9: 0})))


def test_an_id_that_no_mask_introduces_is_one_line(davis_root, tmp_path):
    root = shutil.copytree(davis_root, tmp_path / "davis")
    mask = sorted((root / "Annotations/480p/synthetic-000").iterdir())[2]
    ids = read_mask(mask)
    ids[:3, :3] = 9
    write_ids(mask, ids, davis_palette())
    extractor = build_feature_extractor("raw_colour")
    message = r"00002\.png: holds id 9, which no mask introduces"
    refused(DataError, message, DavisBenchmark(root, changes=SMALL).evaluate, extractor)
    merged = DavisBenchmark(root, year=2016, split=None, changes=SMALL).evaluate(extractor)
    assert 0 < merged["J-Mean"] < 1
