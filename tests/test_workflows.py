"""Workflows run targets of the Makefile, which run here too."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_each_step_runs_targets_of_the_makefile():
    commands = []
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            commands += [step["run"].split() for step in job["steps"] if "run" in step]
    assert {"test", "test-slow", "test-floor", "docs", "wheels"} <= {word for words in commands for word in words}
    for make, *targets in commands:
        assert make == "make"
        assert set(targets) <= TARGETS


def test_the_fast_tests_run_on_every_python_that_the_package_names():
    text = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", text)
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["fast"]["strategy"]["matrix"]
    assert matrix["python"] == named


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_a_form_of_an_issue_asks_for_something_that_is_required(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    assert any(field["validations"]["required"] for field in form["body"] if "validations" in field)
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names)
