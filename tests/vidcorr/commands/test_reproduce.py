"""`vidcorr reproduce`: whole, with weights that the test makes.

Also tests `experiments/reproduce.py`.
"""

import re
from dataclasses import replace

import pytest

from cli import main
from tests.helpers.encoders import saved_resnet
from tests.helpers.runs import davis_result
from tests.helpers.words import refusal
from vidcorr import DavisBenchmark
from vidcorr.experiments.reproduce import beside, listed
from vidcorr.protocols import PropagationProtocol
from vidcorr.results import published
from vidcorr.results.published import published_rows


def test_without_data_the_rows_are_listed_below_their_weights(capsys, tmp_path):
    main(["reproduce", "dino-s8", "crw-r18", "vfs-r18"])
    said = capsys.readouterr().out
    of_dino = "dino-s8: huggingface.co/timm/vit_small_patch8_224.dino, about 87 MB\n    davis J&F-Mean 69.9 by dino\n"
    assert of_dino in said
    assert "crw-r18: weights/crw-r18.ckpt is missing: github.com/ajabri" in said
    assert "    davis J&F-Mean 67.606 by crw\n" in said
    assert said.count("doubt: the input's size is inferred from the code family") == 2
    assert "no row has a printed score on otb" in refusal("reproduce", "--on", f"otb={tmp_path}")
    assert "'dino-s8'" in refusal("reproduce", "vit")


def test_a_line_of_the_list_fits_a_terminal_unless_a_protocols_name_is_longer():
    """No line has more than 100 characters, but for an unbroken name."""
    for line in listed([row for row in published_rows() if row.short_name]).splitlines():
        assert len(line) <= 100 or " " not in line.strip(), line


def test_ours_stands_before_the_printed_score_with_its_difference_in_the_printed_digits():
    row = next(row for row in published_rows() if row.short_name == "dino-s8" and row.benchmark == "davis")
    table = beside([(row, davis_result({score: value + 0.0123 for score, value in row.scores.items()}))])
    ours, printed, *_ = table.rows["dino-s8"].values()
    assert (ours.mean, printed.published) == (pytest.approx(0.699 + 0.0123), 0.699)
    assert (ours.difference.mean, ours.digits, printed.digits) == (pytest.approx(0.0123), 1, 1)
    assert [column.published for column in table.columns.values()] == [False, True] * len(row.scores)
    assert table.notes == ("The difference is from the printed score", "Not the whole test set: dino-s8 on davis")


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
    assert "missing: missing.ckpt is missing: a page\n    davis J&F-Mean 50.0 by vfs" in said
    cells = {
        row[1]: row[2:] for row in re.findall(r"^(\| (\w+) \| \**([\d.]+)\**; (\S+) \| \**([\d.]+)\** \|)$", said, re.M)
    }
    assert cells["equal"][0] == cells["equal"][2] == f"{100 * here:.1f}"
    difference = 100 * (here - round(here + 0.01, 4))
    assert cells["other"][:2] == (f"{100 * here:.2f}", f"{difference:+.2f}".replace("-", "−"))
    assert "As printed: equal J&F-Mean. Not the whole test set: equal on davis, other on davis." in said
    assert "no row has a printed score on davis" in refusal("reproduce", "missing", *words)
