"""`vidcorr score` gives the numbers of each data set's official code, and names the file that stops or shifts it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callbacks.tools.score import command, score
from datamodules.reading.errors import DataError
from tests.helpers.refusal import refused

FOLDER = Path(__file__).parents[4] / "shared" / "golden" / "score_rules"
RULES = {"lvos": "lvos", "lvos-2023": "lvos", "vost": "vost", "sa-v": "sav", "mose-v2": "mose"}
"""Rules → file of their golden numbers."""
SHIFTED = {("mose-v2", "missing_file"), ("mose-v2", "missing_first")}
"""Cases in which the official code takes the following frames for the missing one; here they are refused."""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no golden numbers at {FOLDER}")


def cases() -> list[tuple[str, str]]:
    """Return the rules and name of each case."""
    found = []
    for rules, file in RULES.items() if FOLDER.is_dir() else ():
        block = "cases_2023" if rules == "lvos-2023" else "cases"
        found += [(rules, case) for case in json.loads((FOLDER / f"{file}.json").read_text())[block]]
    return found


def write_tree(arrays, tree, root):
    for key in arrays.files:
        if key.startswith(f"tree_{tree}__"):
            folder = root / key.removeprefix(f"tree_{tree}__")
            folder.mkdir(parents=True)
            for name, mask in zip(arrays[key.replace("tree_", "names_", 1)], arrays[key], strict=True):
                Image.fromarray(mask).save(folder / f"{name}.png")


def lay_out(rules, case, root):
    """Write truth, predictions and metadata of a case; return the arguments of `score`."""
    arrays = np.load(FOLDER / f"{RULES[rules]}.npz")
    wanted = json.loads(str(arrays[f"case_{case}"]))
    write_tree(arrays, wanted["gt"], root / "truth")
    write_tree(arrays, wanted["pred"], root / "mine")
    for path in wanted.get("remove", ()):
        victim = root / "mine" / path
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    for path, key in wanted.get("put", {}).items():
        (root / "mine" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(arrays[key]).save(root / "mine" / path)
    arguments = {"truth": root / "truth", "predictions": root / "mine", "rules": rules, "workers": 1}
    meta = "meta" if rules == "mose-v2" else f"meta_{wanted.get('meta')}"
    if meta in arrays.files:
        (root / "meta.json").write_text(str(arrays[meta]))
        arguments["meta"] = root / "meta.json"
    if "unseen" in wanted:
        arguments["unseen"] = set(arrays[f"unseen_{wanted['unseen']}"].tolist())
    return arguments | {"keep_ends": not wanted.get("skip", True)}


@pytest.mark.parametrize(("rules", "case"), cases())
def test_each_case_scores_as_the_official_code_or_is_refused(rules, case, tmp_path):
    block = "cases_2023" if rules == "lvos-2023" else "cases"
    official = json.loads((FOLDER / f"{RULES[rules]}.json").read_text())[block][case]
    arguments = lay_out(rules, case, tmp_path)
    if "error" in official or (rules, case) in SHIFTED:
        with pytest.raises(DataError):
            score(**arguments, allow_missing="strict" not in case)
        return
    if case == "missing_video":
        refused(DataError, "--allow-missing", score, **arguments)
    found = score(**arguments, allow_missing=True).flat()
    scale = 0.01 if rules == "sa-v" else 1.0
    compared = {key: value for key, value in official.items() if "frames/" not in key and "rounded" not in key}
    assert compared
    for key, value in compared.items():
        expected = np.nan if value is None else value * scale
        assert found[key] == pytest.approx(expected, abs=1e-9, nan_ok=True), key


def test_a_missing_file_is_named(tmp_path):
    arguments = lay_out("mose-v2", "missing_file", tmp_path)
    refused(DataError, r"0a1b2c3d/00005\.png: 1 predicted masks are missing", score, **arguments)


def test_the_command_writes_one_flat_object(tmp_path, capsys):
    arguments = lay_out("lvos", "all_seen", tmp_path)
    (tmp_path / "unseen.txt").write_text("nobody\n")
    command(
        [str(arguments["truth"]), str(arguments["predictions"]), "--rules", "lvos", "--meta", str(arguments["meta"]),
         "--unseen", str(tmp_path / "unseen.txt"), "--json", str(tmp_path / "out" / "scores.json")]
    )  # fmt: skip
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert written["J-unseen-Mean"] is None
    assert written["J/4u66zU73/4"] == pytest.approx(0.5521757777688178, abs=1e-9)
    assert "J-seen-Mean" in capsys.readouterr().out
