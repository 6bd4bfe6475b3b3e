"""`vidcorr reproduce`: whole, with weights that the test makes."""

from dataclasses import replace

import pytest

from cli import main
from tests.helpers.encoders import saved_resnet
from tests.helpers.words import refusal
from vidcorr import DavisBenchmark
from vidcorr.protocols import PropagationProtocol
from vidcorr.results import published
from vidcorr.results.published import published_rows


def test_without_data_the_rows_and_their_weights_are_a_table(capsys, tmp_path):
    main(["reproduce", "dino-s8", "crw-r18", "vfs-r18"])
    head, _, *doubtful, crw, dino = capsys.readouterr().out.splitlines()
    assert head.split() == ["row", "benchmark", "score", "printed", "protocol", "weights", "doubt"]
    assert dino.split()[:5] == ["dino-s8", "davis", "J&F-Mean", "69.9", "dino"]
    assert dino.split()[5].startswith("huggingface.co/timm/")
    assert crw.split()[:5] == ["crw-r18", "davis", "J&F-Mean", "67.606", "crw"]
    assert "weights/crw-r18.ckpt is missing: github.com/ajabri" in crw
    assert [line.endswith("the input's size is inferred from the code family") for line in doubtful] == [True, True]
    assert "no row has a printed score on otb" in refusal("reproduce", "--on", f"otb={tmp_path}")
    assert "'dino-s8'" in refusal("reproduce", "vit")


@pytest.mark.slow
def test_equal_or_by_how_much_not(davis_root, tmp_path, capsys, monkeypatch):
    """The score of a row is known from the benchmark alone."""
    model = saved_resnet(tmp_path / "tiny.ckpt")
    protocol = PropagationProtocol.named("vfs+context=3+radius=4")
    here = DavisBenchmark(davis_root, protocol=protocol).evaluate(model).scores["J&F-Mean"]
    known = next(row for row in published_rows() if row.short_name == "vfs-r18" and row.benchmark == "davis")
    known = replace(known, protocol=protocol.name, model=str(tmp_path / "tiny.ckpt"))
    equal = replace(known, short_name="equal", scores={"J&F-Mean": round(here, 3)})
    other = replace(known, short_name="other", scores={"J&F-Mean": round(here + 0.01, 4)})
    missing = replace(known, short_name="missing", scores={"J&F-Mean": 0.5}, model="missing.ckpt", download="a page")
    monkeypatch.setattr(published, "published_rows", lambda: (equal, other, missing))
    words = ["--output", str(tmp_path), "--on", f"davis={davis_root}"]
    main(["reproduce", *words])
    said = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in said.splitlines() if " davis " in line}
    assert lines["missing"][1:4] == ["davis", "J&F-Mean", "50.0"]
    assert "missing.ckpt is missing: a page" in said
    assert lines["equal"][3:5] == [f"{100 * here:.1f}"] * 2
    assert "as printed; not the whole test set" in said
    difference = 100 * (here - round(here + 0.01, 4))
    assert lines["other"][4:6] == [f"{100 * here:.2f}", f"{difference:+.2f}"]
    assert "no row has a printed score on davis" in refusal("reproduce", "missing", *words)
