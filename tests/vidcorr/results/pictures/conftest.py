"""Texts of pictures as a list; their letters differ between releases of the fonts' library."""

import json

import pytest
from PIL import ImageDraw, ImageFont


@pytest.fixture
def texts(monkeypatch):
    """Note texts, not draw them: words, x, y, colour, size, anchor and outline. A letter is half as wide as high."""
    found = []

    def note(draw, place, text, fill=None, font=None, anchor=None, **outline):
        x, y = (round(float(each), 1) for each in place)
        found.append(json.loads(json.dumps([text, x, y, fill, round(font.size, 1), anchor, outline])))

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    monkeypatch.setattr(ImageFont.FreeTypeFont, "getlength", lambda font, text: len(text) * font.size / 2)
    return found
