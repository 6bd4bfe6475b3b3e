"""`vidcorr generate`: its layouts and the command that it names; readers read them in datasets/generated.

Also tests `generated/layouts.py`.
"""

from tests.helpers.refusal import refused
from vidcorr.commands.generate import LAYOUTS, command
from vidcorr.datasets import generated


def test_a_layout_is_written_with_its_numbers_and_its_benchmarks_are_named(tmp_path, monkeypatch, capsys, recorded):
    written = {}

    def write(folder, videos, *, frames, size="its own"):
        written[folder.name] = f"{videos} x {frames}, {size}"
        return folder

    for name in LAYOUTS:
        monkeypatch.setattr(generated, f"write_{name}", write)
    command([str(tmp_path)])
    assert written == recorded
    said = capsys.readouterr().out
    assert said.startswith(f"8 data sets in {tmp_path}; vidcorr evaluate raw_colour --on davis={tmp_path}/davis jhmdb=")
    assert f" otb_all={tmp_path}/otb " in said
    command([str(tmp_path), "videos", "videos"])
    assert capsys.readouterr().out == f"1 data sets in {tmp_path}\n"
    refused(ValueError, "layout must be one of .*'davis'", command, [str(tmp_path), "nothing"])
