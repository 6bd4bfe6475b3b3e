"""`vidcorr reproduce`: whole, with weights that the test makes; and the shipped rows against published.csv."""

import json

import pytest

from cli import main
from tests.helpers.encoders import saved_resnet
from tests.helpers.words import refusal
from vidcorr import DavisBenchmark
from vidcorr.experiments.reproduce import published_of
from vidcorr.experiments.study import read_study
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.published import published_rows

PUBLISHED = published_rows()
SHIPPED = "studies/published.yaml"


def test_the_shipped_rows_have_the_printed_numbers_under_their_protocols():
    study = read_study(SHIPPED)
    for row in study.rows:
        assert row.download
        assert row.model[0]
        for evaluation in row.published:
            for score in study.printed(row, evaluation):
                assert published_of(study, row, evaluation, score), f"{row.name}, {evaluation}"


def test_without_data_the_rows_and_their_weights_are_a_table(capsys, tmp_path):
    main(["reproduce", "dino-s8", "crw-r18", "vfs-r18"])
    head, dino, crw, vfs, _, _, note = capsys.readouterr().out.splitlines()
    assert head.split() == ["row", "benchmark", "score", "printed", "protocol", "weights"]
    assert dino.split()[:5] == ["dino-s8", "davis", "J&F-Mean", "69.9", "dino"]
    assert dino.split()[5].startswith("huggingface.co/timm/")
    assert crw.split()[:5] == ["crw-r18", "davis", "J&F-Mean", "67.606", "crw"]
    assert "weights/crw-r18.ckpt is missing: github.com/ajabri" in crw
    assert note == "? vfs-r18 jhmdb, vfs-r18 vip: the input's size is inferred from the code family"
    assert {line.index("davis") for line in (dino, crw, vfs)} == {head.index("benchmark")}
    assert "no row has a printed score on otb" in refusal("reproduce", "--on", f"otb={tmp_path}")


def test_a_study_of_ones_own_may_have_any_published_row(tmp_path, capsys):
    """Boxes, and several scores of a row, some with a doubt."""
    known = {row.benchmark: row for row in PUBLISHED if row.benchmark in ("otb", "tap_vid", "vip")}
    rows = []
    for benchmark, row in known.items():
        numbers = {key: round(100 * value, 6) for key, value in row.scores.items()}
        shown = {"name": f"my-{benchmark}", "model": "raw_colour", "published": {benchmark: numbers}, "download": "no"}
        rows.append(shown | {"evaluate": {benchmark: f"--protocol {row.protocol}"}})
    study = {"title": "my rows", "seeds": [0], "evaluate": {name: f"--on {name}" for name in known}, "rows": rows}
    study["scores"] = {name: list(row.scores) for name, row in known.items()}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    main(["reproduce", "--study", str(tmp_path / "study.yaml")])
    said = capsys.readouterr().out
    listed = [tuple(line.split()[:3]) for line in said.splitlines()[1:] if line.startswith("my-")]
    assert listed == [(f"my-{name}", name, score) for name, row in known.items() for score in row.scores]
    for name, row in known.items():
        assert not row.doubt or f"my-{name} {name}" in said.partition("\n? ")[2]


@pytest.mark.slow
def test_equal_or_by_how_much_not(davis_root, tmp_path, capsys):
    """The score of a row is known from the benchmark alone."""
    model = saved_resnet(tmp_path / "tiny.ckpt")
    protocol = PropagationProtocol.named("vfs+context=3+radius=4")
    here = 100 * DavisBenchmark(davis_root, protocol=protocol).evaluate(model).scores["J&F-Mean"]
    row = {"model": str(tmp_path / "tiny.ckpt"), "evaluate": {"davis": f"--protocol {protocol.name}"}}
    printed = {"equal": round(here, 1), "other": round(here + 1, 2)}
    rows = [row | {"name": name, "published": {"davis": score}} for name, score in printed.items()]
    missing = {"name": "missing", "model": str(tmp_path / "missing.ckpt"), "download": "a page"}
    rows.append(missing | {"published": {"davis": 50.0}})
    study = {"title": "two rows", "seeds": [0], "evaluate": {"davis": "--on davis"}, "rows": rows}
    study["scores"] = {"davis": "J&F-Mean"}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    words = ["--study", str(tmp_path / "study.yaml"), "--output", str(tmp_path), "--on", f"davis={davis_root}"]
    main(["reproduce", *words])
    said = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in said.splitlines() if " davis " in line}
    assert lines["missing"][1:4] == ["davis", "J&F-Mean", "50.0"]
    assert f"{tmp_path / 'missing.ckpt'} is missing: a page" in said
    assert lines["equal"][3:6] == [f"{printed['equal']}", f"{here:.1f}", f"{here - printed['equal']:+.1f}"]
    assert "as printed; not the whole test set" in said
    assert lines["other"][3:6] == [str(printed["other"]), f"{here:.2f}", f"{here - printed['other']:+.2f}"]
    assert "no row has a printed score on davis" in refusal("reproduce", "missing", *words)
