"""Digests of texts and files."""

import hashlib

import pytest

from vidcorr.videos.digests import file_digest, text_digest
from vidcorr.videos.files import DecodingError


def test_digests_are_those_of_the_standard_library(tmp_path):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")  # a name that is not UTF-8
    assert text_digest(name, 64) == hashlib.sha256(b"caf\xe9.jpg").hexdigest()
    assert len(text_digest("a")) == 12
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a", 8) == "ba7816bf"
    with pytest.raises(DecodingError, match="nowhere: cannot be read"):
        file_digest(tmp_path / "nowhere")
