"""A newcomer's mistakes of the first hour are answered in one line that says what to type instead.

Also tests `vidcorr/near_names.py`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.parsed import Parsed
from tests.helpers.refusal import refused
from tests.helpers.words import TINY, refusal
from vidcorr.cli import main

TABLES = json.loads(Path(__file__).with_suffix(".json").read_text())
"""Words → what answers them; a config of another form → what answers it."""


@pytest.mark.parametrize("line", TABLES["mistakes"])
@pytest.mark.sampled(3)
def test_a_mistake_is_answered_by_what_was_meant(line, here, capsys):
    said = refused(SystemExit, "^(2$|vidcorr: )", main, line.split())
    answer = said if said.startswith("vidcorr: ") else capsys.readouterr().err.splitlines()[-1]
    assert answer.startswith("vidcorr: ")
    assert TABLES["mistakes"][line] in answer


SCRIPT = """
import yaml, jsonargparse
before = jsonargparse.get_loader("yaml"), dict(yaml.SafeDumper.yaml_multi_representers)
import vidcorr.cli
print((jsonargparse.get_loader("yaml"), dict(yaml.SafeDumper.yaml_multi_representers)) == before)
"""


@pytest.mark.slow
def test_an_import_changes_nothing_in_other_packages():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("text", TABLES["other forms"])
def test_a_config_of_another_form_is_answered_by_the_form_to_write(text, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(text)
    refused(SystemExit, "^2$", main, ["fit", *TINY, f"--config={tmp_path}/mine.yaml"])
    assert TABLES["other forms"][text] in capsys.readouterr().err


@pytest.mark.parametrize("name", ["1e3", "007", "nan"])
def test_a_folder_whose_name_reads_as_a_number_keeps_it(name):
    for words in (["--data.source", name], [f"--data.source={name}"]):
        assert Parsed(["fit", *TINY, *words]).config["fit"].data.init_args.source == name


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".jpg"])
def test_pictures_are_named_where_a_video_is_read(suffix, tmp_path):
    first, *others = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 90, 180)]
    more = {"save_all": True, "append_images": others} if suffix != ".jpg" else {}
    first.save(tmp_path / f"a{suffix}", **more)
    words = ["predict", tmp_path / f"a{suffix}", "--box=1,1,9,9", "--model=raw_colour", f"--output={tmp_path}/out"]
    assert "is a picture, or holds pictures: give a video file, or a folder" in refusal(*words)
