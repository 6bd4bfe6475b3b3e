"""`vidcorr compare`: several backbones in one table, with the baselines, by flags and by a config."""

import json

import pytest

from callbacks import DavisBenchmark, TapVidBenchmark
from callbacks.tools.comparison import compare, contestants
from cli import main
from datamodules.reading.errors import DataError
from datamodules.synthetic import write_tap_vid
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.refusal import refused
from tests.helpers.words import SMALL

BLOCKY = "tests.helpers.encoders:Blocky"

TINY = "tests.helpers.encoders:TinyResNet"


def test_by_the_command_line_with_the_baselines(davis_root, tmp_path, capsys):
    config = tmp_path / "small.yaml"
    config.write_text(
        f"trainer:\n  callbacks+:\n    - class_path: DavisBenchmark\n      init_args:\n        root: nowhere\n"
        f"        stage: res4\n        changes: {json.dumps(SMALL)}\n    - class_path: BestCheckpoint\n"
    )
    flags = ["--config", str(config), "--root", str(davis_root), "--limit", "1", "--output", str(tmp_path / "out")]
    main(["compare", BLOCKY, *flags, "--seeds", "3"])
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert list(content) == [BLOCKY, "untrained resnet18, seed 3", "raw colour"]
    assert all("davis/J&F-Mean" in row["scores"] for row in content.values())
    assert any(line.startswith(" raw colour ") for line in capsys.readouterr().out.splitlines())


@pytest.mark.slow
def test_points_in_one_table_by_the_released_config(tmp_path, capsys):
    root, output = write_tap_vid(tmp_path / "set", 2, frames=5, size=(48, 64)), tmp_path / "out"
    flags = ["--config", "benchmarks/tap_vid.yaml", "--root", str(root), "--output", str(output), "--no-baselines"]
    main(["compare", "raw_colour", f"{BLOCKY}", *flags])
    content = json.loads((output / "compare.json").read_text())
    for row, stride in (("raw_colour", 8), (BLOCKY, 4)):
        scores = content[row]["scores"]
        alone = TapVidBenchmark(root).evaluate(build_feature_extractor(row))
        assert scores == {f"tap_vid/{key}": value for key, value in alone.items()}
        assert content[row]["features"]["tap_vid"].endswith(f"at stride {stride}")
    assert content[BLOCKY]["scores"]["tap_vid/grid_limit"] > content["raw_colour"]["scores"]["tap_vid/grid_limit"]
    assert "average_jaccard" in capsys.readouterr().out


def test_mistakes_are_told_before_any_work(davis_root, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        compare(contestants([BLOCKY]), [DavisBenchmark(tmp_path / "nowhere")], tmp_path / "out")
    with pytest.raises(ValueError, match="every backbone failed"):
        compare(contestants(["nonsense"], baselines=False), [DavisBenchmark(davis_root)], tmp_path / "out")
    with pytest.raises(SystemExit, match="name at least one backbone"):
        main(["compare", "--root", str(davis_root), "--no-baselines"])
    with pytest.raises(SystemExit, match="--davis ROOT is now --root ROOT"):
        main(["compare", "raw_colour", "--davis", str(davis_root)])
    (tmp_path / "file").write_text("")
    refused(OSError, "file", compare, contestants([BLOCKY]), [DavisBenchmark(davis_root)], tmp_path / "file" / "out")
