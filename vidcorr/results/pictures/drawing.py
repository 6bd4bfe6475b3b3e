"""A drawing of texts, bars, lines and pictures: PNG, or PDF and SVG in which a text stays a text."""

import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path
from unicodedata import normalize

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .overlays import DARK, Colour, Picture

REPLACED = {"−": "-", "–": "-", "→": "to", "×": "x", "Δ": "d"}
"""Letters that the font lacks."""
BASE = 0.35
"""From the middle of a line of letters down to the line that they stand on, in sizes of the letters."""
LETTERS = range(32, 127)
"""Codes of the letters of a PDF's font."""


def in_font(text: str) -> str:
    """Return a text in letters of the font, which are ASCII; a question mark for a letter without a likeness."""
    for letter, other in REPLACED.items():
        text = text.replace(letter, other)
    shown = ""
    for letter in text:
        plain = normalize("NFKD", letter).encode("ascii", "ignore").decode()
        shown += plain if plain.isprintable() and plain else "?"
    return shown


def width_of(text: str, size: float) -> float:
    """Return the width of a text in the drawing's font, pixels."""
    return sum(map(ImageFont.load_default(size).getlength, in_font(text)))


@dataclass(frozen=True)
class _Text:
    left: float
    middle: float
    text: str
    size: int
    colour: Colour


@dataclass(frozen=True)
class _Bar:
    left: float
    top: float
    right: float
    bottom: float
    colour: Colour


@dataclass(frozen=True)
class _Image:
    left: int
    top: int
    picture: Picture

    def jpeg(self) -> bytes:
        """Return the picture as a JPEG of full colour resolution."""
        file = BytesIO()
        Image.fromarray(self.picture).save(file, "JPEG", quality=93, subsampling=0)
        return file.getvalue()


@dataclass
class Drawing:
    """A white sheet; what is drawn later lies above.

    Attributes:
        width: pixels.
        height: pixels.
        resolution: pixels per inch.
    """

    width: int
    height: int
    resolution: float = 150.0
    _items: list[_Text | _Bar | _Image] = field(default_factory=list)

    def text(self, x: float, middle: float, text: str, size: int, colour: Colour = DARK, align: str = "left") -> None:
        """Write a line of text.

        Args:
            x: its left end, middle or right end, as `align` says: left, middle, right.
            middle: the middle of its height.
            text: letters that the font lacks are replaced.
            size: height of the letters, pixels.
            colour: colour.
            align: what of the text stands at x.
        """
        share = {"left": 0.0, "middle": 0.5, "right": 1.0}[align]
        self._items.append(_Text(x - share * width_of(text, size), middle, in_font(text), size, colour))

    def bar(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle; a line is a narrow one."""
        self._items.append(_Bar(left, top, right, bottom, colour))

    def picture(self, left: int, top: int, picture: Picture) -> None:
        """Put a picture, uint8 `(H, W, 3)`."""
        self._items.append(_Image(left, top, picture))

    def save(self, path: Path) -> None:
        """Write the sheet in the format of the path's suffix: .pdf, .svg, or one of Pillow's.

        Raises:
            ValueError: for an unknown suffix.
            OSError: if the file cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".pdf":
            path.write_bytes(self.pdf())
        elif path.suffix == ".svg":
            path.write_text(self.svg(), "utf-8")
        else:
            Image.fromarray(self.pixels()).save(path, dpi=(self.resolution, self.resolution))

    def pixels(self) -> Picture:
        """Return the sheet as a picture, uint8 `(height, width, 3)`."""
        image = Image.new("RGB", (self.width, self.height), "white")
        draw = ImageDraw.Draw(image)
        for item in self._items:
            if isinstance(item, _Text):
                font = ImageFont.load_default(item.size)
                draw.text((item.left, item.middle), item.text, item.colour, font, anchor="lm")
            elif isinstance(item, _Bar):
                edges = (item.left, item.top, item.right - 1, item.bottom - 1)  # Pillow's last pixels are inside
                draw.rectangle([round(edge) for edge in edges], item.colour)
            else:
                image.paste(Image.fromarray(item.picture), (item.left, item.top))
        return np.asarray(image)

    def svg(self) -> str:
        """Return the sheet as SVG."""
        lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}">']
        lines.append('<rect width="100%" height="100%" fill="white"/>')
        for item in self._items:
            if isinstance(item, _Text):
                place = f'x="{item.left:.1f}" y="{item.middle + BASE * item.size:.1f}" font-size="{item.size}"'
                style = f'font-family="Aileron, Helvetica, Arial, sans-serif" fill="rgb{item.colour}"'
                length = f'textLength="{width_of(item.text, item.size):.1f}"'  # also in another font
                lines.append(f"<text {place} {style} {length}>{escape(item.text)}</text>")
            elif isinstance(item, _Bar):
                size = f'width="{item.right - item.left:.1f}" height="{item.bottom - item.top:.1f}"'
                lines.append(f'<rect x="{item.left:.1f}" y="{item.top:.1f}" {size} fill="rgb{item.colour}"/>')
            else:
                height, width, _ = item.picture.shape
                place = f'x="{item.left}" y="{item.top}" width="{width}" height="{height}"'
                lines.append(f'<image {place} href="data:image/jpeg;base64,{b64encode(item.jpeg()).decode()}"/>')
        return "\n".join([*lines, "</svg>", ""])

    def pdf(self) -> bytes:
        """Return the sheet as a PDF of one page with the font in it.

        Its operators: `cm` sets the unit, `rg` a colour, `Tf` the font, `Td` a place; `Tj` writes a text, `re` and `f`
        fill a rectangle, `Do` draws an image.
        """
        scale = 72 / self.resolution
        drawn = [f"{scale:.6f} 0 0 {scale:.6f} 0 0 cm"]  # pixels, upwards from the lower left corner
        images: list[bytes] = []
        for item in self._items:
            if isinstance(item, _Text):
                letters = "".join(f"\\{letter}" if letter in r"\()" else letter for letter in item.text)
                base = self.height - item.middle - BASE * item.size
                place = f"/F {item.size} Tf {item.left:.1f} {base:.1f} Td"
                drawn.append(f"BT {_fill(item.colour)} {place} ({letters}) Tj ET")
            elif isinstance(item, _Bar):
                size = f"{item.right - item.left:.1f} {item.bottom - item.top:.1f}"
                drawn.append(f"{_fill(item.colour)} {item.left:.1f} {self.height - item.bottom:.1f} {size} re f")
            else:
                height, width, _ = item.picture.shape
                below = self.height - item.top - height
                drawn.append(f"q {width} 0 0 {height} {item.left} {below} cm /I{len(images)} Do Q")
                about = f"/Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceRGB /BitsPerComponent 8"
                images.append(_stream(item.jpeg(), f"/Type /XObject {about} /Filter /DCTDecode"))
        names = " ".join(f"/I{number} {8 + number} 0 R" for number in range(len(images)))  # objects 1 to 7 come before
        box = f"[0 0 {self.width * scale:.2f} {self.height * scale:.2f}]"
        resources = f"<< /Font << /F 5 0 R >> /XObject << {names} >> >>"
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Resources {resources} /Contents 4 0 R >>"
        return _pdf_file(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                page.encode(),
                _compressed("\n".join(drawn).encode()),
                *_pdf_font(),
                *images,
            ]
        )


def _fill(colour: Colour) -> str:
    """Return the PDF command that sets the colour of texts and rectangles."""
    return " ".join(f"{value / 255:.3f}" for value in colour) + " rg"


def _stream(content: bytes, about: str) -> bytes:
    """Return a PDF's stream of bytes with its dictionary."""
    return f"<< {about} /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def _compressed(content: bytes, about: str = "") -> bytes:
    return _stream(zlib.compress(content), f"{about} /Filter /FlateDecode")


def _pdf_font() -> list[bytes]:
    """Return objects 5 to 7 of a PDF: the font, its description (flag 32: Latin letters alone) and its file."""
    font = ImageFont.load_default(1000)
    assert isinstance(font, ImageFont.FreeTypeFont)
    name, _ = font.getname()
    widths = " ".join(f"{font.getlength(chr(code)):.0f}" for code in LETTERS)
    ascent, descent = font.getmetrics()
    about = f"/Type /Font /Subtype /TrueType /BaseFont /{name} /Encoding /WinAnsiEncoding"
    span = f"/FirstChar {LETTERS[0]} /LastChar {LETTERS[-1]} /Widths [{widths}]"
    box = f"/FontBBox [0 {-descent} 1000 {ascent}] /Ascent {ascent} /Descent {-descent} /CapHeight 700"
    described = f"/Type /FontDescriptor /FontName /{name} /Flags 32 {box} /ItalicAngle 0 /StemV 80 /FontFile2 7 0 R"
    file = font.font_bytes
    return [
        f"<< {about} {span} /FontDescriptor 6 0 R >>".encode(),
        f"<< {described} >>".encode(),
        _compressed(file, f"/Length1 {len(file)}"),
    ]


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    """Return a PDF of objects, numbered from 1, the catalogue first."""
    content = b"%PDF-1.4\n"
    places = []
    for number, each in enumerate(objects, start=1):
        places.append(len(content))
        content += f"{number} 0 obj\n".encode() + each + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    count = len(objects) + 1
    end = f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer\n<< /Size {count} /Root 1 0 R >>\n"
    return content + f"{end}startxref\n{len(content)}\n%%EOF\n".encode()
