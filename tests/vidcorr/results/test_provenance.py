"""The provenance of a result: command and versions, also of a checkout."""

from importlib.metadata import PackageNotFoundError
from unittest.mock import Mock

from vidcorr.results.provenance import Provenance


def test_a_checkout_that_is_not_installed_keeps_its_results(monkeypatch):
    monkeypatch.setattr("vidcorr.results.provenance.version", Mock(side_effect=PackageNotFoundError))
    assert Provenance.now().versions["vidcorr"] == "not installed"


def test_its_command_is_the_words_without_the_programs_folder(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/opt/bin/vidcorr", "evaluate", "raw_colour"])
    assert Provenance.now().command == ("vidcorr", "evaluate", "raw_colour")
