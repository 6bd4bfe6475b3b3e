"""`vidcorr reproduce`: whole, with weights that the test makes; and the shipped rows against published.csv."""

import json

import pytest

from cli import main
from tests.helpers.encoders import saved_resnet
from tests.helpers.words import refusal
from vidcorr import DavisBenchmark
from vidcorr.experiments.reproduce import protocol_of
from vidcorr.experiments.study import read_study
from vidcorr.functional import PropagationProtocol
from vidcorr.results.published import published_row

SHIPPED = "studies/published.yaml"


def test_the_shipped_rows_have_the_printed_numbers_under_their_protocols():
    study = read_study(SHIPPED)
    for row in study.rows:
        assert row.download
        assert row.model[0]
        for benchmark, value in row.published.items():
            assert published_row(benchmark, protocol_of(row, benchmark), value), f"{row.name}, {benchmark}"


def test_without_data_the_rows_and_their_weights_are_listed(capsys, tmp_path):
    main(["reproduce", "dino-s8", "crw-r18"])
    dino, crw = capsys.readouterr().out.splitlines()
    assert dino.startswith("dino-s8: davis 69.9 printed; protocol dino; weights: huggingface.co/timm/")
    assert crw.startswith("crw-r18: davis 67.606 printed; protocol crw; weights/crw-r18.ckpt is missing; ")
    main(["reproduce"])
    _, _, others = capsys.readouterr().out.partition("\nother published rows:\n")
    (spair,) = (line for line in others.splitlines() if line.startswith("GeoAware, trained post-processor, spair"))
    assert "PCK@0.1 85.6: protocol geoaware; weights: Stable Diffusion 1.5 and DINOv2" in spair
    assert "; doubt: a post-processor trained on SPair-71k" in spair
    message = "--on otb: no row has a printed score; rows have davis, jhmdb, vip"
    assert message in refusal("reproduce", "--on", f"otb={tmp_path}")


@pytest.mark.slow
def test_equal_or_by_how_much_not_and_what_moves_it(davis_root, tmp_path, capsys, monkeypatch):
    """The scores that two rows are to have are known from the benchmark alone, the second one by another radius."""
    model = saved_resnet(tmp_path / "tiny.ckpt")
    protocols = [PropagationProtocol.named(name) for name in ("vfs+context=3+radius=4", "vfs+context=3+radius=6")]
    here, other = (
        100 * DavisBenchmark(davis_root, protocol=each).evaluate(model).scores["J&F-Mean"] for each in protocols
    )
    assert abs(here - other) > 0.1
    row = {"model": str(tmp_path / "tiny.ckpt")}
    row["evaluate"] = {"davis": f"--protocol {protocols[0].name}"}
    missing = {"name": "missing", "model": str(tmp_path / "missing.ckpt"), "download": "a page"}
    printed = {"equal": round(here, 1), "other": round(other, 2)}
    rows = [row | {"name": name, "published": {"davis": score}} for name, score in printed.items()]
    rows.append(missing | {"published": {"davis": 50.0}})
    study = {"title": "two rows", "seeds": [0], "evaluate": {"davis": "--on davis"}, "rows": rows}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    monkeypatch.setattr("vidcorr.experiments.grid.named_grid", lambda *_: protocols)
    words = ["--study", str(tmp_path / "study.yaml"), "--output", str(tmp_path), "--on", f"davis={davis_root}"]
    main(["reproduce", *words])
    said = capsys.readouterr().out
    assert f"missing: davis 50.0 printed; {tmp_path / 'missing.ckpt'} is missing; weights: a page" in said
    assert f"\nequal on davis: {here:.1f}, as printed; not the whole test set" in said
    missed = f"{here - printed['other']:+.2f} of {printed['other']} printed"
    assert f"\nother on davis: {here:.2f}, {missed}; not the whole test set" in said
    assert f"  {protocols[1].name}: {other - here:+.1f}\n" in said
    assert f"  nearest to the printed score: {protocols[1].name}, {other:.1f}" in said
    assert "then: vidcorr convert FILE " in refusal("reproduce", "missing", *words)
