"""The plain script of a protocol gives the scores of `evaluate`; protocols that it does not implement are refused.

Also tests `protocols/plain_davis.py`.
"""

import ast
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.plain_davis import plain_davis
from tests.helpers.words import refusal
from vidcorr import DavisBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.cli import main
from vidcorr.datasets.generated import write_davis
from vidcorr.protocols import PropagationProtocol
from vidcorr.protocols.script import TEMPLATE, script_of

REFUSED = {
    "liir": "input_padding=4, feature_normalisation=raw, references=(0, 5, -5, -3, -1)",
    "liir-paper": "mixture_above=0.0, mixture_width=moments, mixture_weights=mass, label_encoding=strided",
    "liir-reference": "foreground_gain=1.05, border=zero, label_feedback=hard, label_encoding=strided",
    "hvc": "entering=own-context, label_encoding=bilinear-aligned, decoding_filter=bilinear-aligned",
    "vidcorr": "feature_normalisation=whitened, whitened_channels=96, radius_unit=side, decoding_guidance=0.025",
}
"""Protocol on DAVIS without a script → fields that the script does not implement."""
ON_DAVIS = [name for name, source in PropagationProtocol.sources().items() if "davis" in source.values]
OF_160 = ("catmae-8", "catmae-16", "cropmae", "rvm")
SLOWEST = dict.fromkeys(OF_160, 160) | {"dino": 192, "dift-sd": 192, "dift-adm": 192, "dinov3": 320, "loftup": 56}
"""Protocol on maps of 1,500 to 12,544 cells, in the exhaustive tier → size of images for the slow tier."""
CHANGED = ("vfs+context=0", "vfs+topk=none", "crw+radius=none", "vfs+input_filter=bilinear-antialias+input_size=80")
TWICE = ("vfs", "crw", *CHANGED)
"""Those that the slow tier runs at two sizes; the exhaustive tier runs all."""
SMALLER = [f"{name}+input_size={size}" for name, size in SLOWEST.items()]

FEW_FOUND = [(f"{name}+input_size=160", (150, 110)) for name in ("catmae-16", "cropmae", "rvm")]
"""Those whose maps of 10 × 14 cells lose most of the objects."""


def cases():
    """Protocol and size (H, W) of the frames; quick, slow, or exhaustive."""
    for size in ((96, 132), (150, 110)):
        for name in (*ON_DAVIS, *CHANGED, *SMALLER):
            quick = name in ("vfs", "crw") and size == (96, 132)
            marks = [] if quick else [pytest.mark.slow]
            is_second = size != (96, 132) and name not in TWICE
            if name in SLOWEST or is_second:
                marks.append(pytest.mark.exhaustive)
            if name not in REFUSED:
                yield pytest.param(name, size, marks=marks, id=f"{name}, {size[0]}")


@pytest.mark.parametrize(("name", "size"), list(cases()))
def test_scores_are_those_of_evaluate(name, size, tmp_path):
    """Features are compared in float64, so that rounding decides no pixel between two labels."""
    root = write_davis(tmp_path / "davis", 1, frames=4, size=size)
    plain = plain_davis(name)
    scores = plain.evaluate(root, lambda frame: plain.mean_colour(frame).double())
    region, contour = np.mean([means for objects in scores.values() for means in objects.values()], axis=0)
    benchmark = DavisBenchmark(root, protocol=name, changes={"precision": "float64"})
    ours = benchmark.evaluate(build_feature_extractor("raw_colour", stride=plain.PROTOCOL["feature_stride"])).scores
    assert (ours["J-Mean"], ours["F-Mean"]) == pytest.approx((region, contour), abs=1e-12)
    assert region > (0.03 if (name, size) in FEW_FOUND else 0.05)


def test_protocols_that_it_does_not_implement_are_refused_with_their_fields():
    for name, fields in REFUSED.items():
        assert fields in refusal("protocols", name, "--script")


def test_the_template_is_the_script_of_dino_and_imports_torch_numpy_and_pillow_alone():
    text = TEMPLATE.read_text("utf-8")
    assert text == script_of("dino")
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {(getattr(node, "module", None) or node.names[0].name).partition(".")[0] for node in imported}
    assert names - sys.stdlib_module_names == {"numpy", "torch", "PIL"}


@pytest.mark.slow
def test_what_is_printed_runs_alone_with_an_encoder_of_another_file(tmp_path, capsys):
    main(["protocols", "vfs+radius=3", "--script"])
    (tmp_path / "davis_vfs.py").write_text(capsys.readouterr().out)
    (tmp_path / "mine.py").write_text("import torch\n\ndef net(x):\n    return torch.nn.functional.avg_pool2d(x, 8)\n")
    write_davis(tmp_path / "davis", 1, frames=4, size=(64, 96))
    words = [sys.executable, "davis_vfs.py", "davis"]
    said = []
    for more in ([], ["--encoder", "mine:net"]):
        done = subprocess.run([*words, *more], cwd=tmp_path, capture_output=True, text=True, check=True)
        said.append(done.stdout.splitlines()[-1])
    assert said[0] == said[1]  # the default is the mean of 8 x 8 pixels too
    assert re.fullmatch(r"J&F-Mean 0\.\d{4}  J-Mean 0\.\d{4}  F-Mean 0\.\d{4}", said[0])
