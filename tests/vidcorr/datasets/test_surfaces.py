"""NAVI and ScanNet-1500 as the codes of OmniProbe and Probe3D read them, by golden/pairs3d.

Also tests `datasets/navi.py`, `datasets/scannet.py`.
"""

import shutil

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.references import GOLDEN, golden
from tests.helpers.refusal import refused
from vidcorr.datasets.navi import drawn_partners, navi_view, read_depth, read_navi, rotations_of
from vidcorr.datasets.scannet import read_scannet, scannet_view
from vidcorr.protocols import SurfaceProtocol
from vidcorr.videos.files import DataError

FOLDER = GOLDEN / "pairs3d"
NAVI = FOLDER / "reader_navi" / "navi_v1"
SCANNET = FOLDER / "reader_scannet" / "scannet_test_1500"
OF_NAVI = SurfaceProtocol.named("omniprobe", "navi")
OF_SCANNET = SurfaceProtocol.named("omniprobe", "scannet")


def check_image(view, case, key, first, step):
    """Compare a normalised input with its sampled pixels, moments and weighted means."""
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    x = ((view.image.float() / 255 - mean) / std).double()
    row, column = torch.arange(x.shape[1]).double()[:, None], torch.arange(x.shape[2]).double()
    waves = [(0.37 * row + 0.11 * column).cos(), (0.05 * row - 0.23 * column).sin()]
    sums = torch.stack([(x * wave).mean((1, 2)) for wave in waves], dim=1)
    moments = torch.stack([x.mean((1, 2)), x.std((1, 2), correction=0)])
    sampled = case[next(name for name in case if name.startswith(f"{key}_s"))]
    np.testing.assert_allclose(x[:, first::step, first::step], sampled, atol=1e-5)
    np.testing.assert_allclose(sums, case[f"{key}_wsums"], atol=1e-5)
    np.testing.assert_allclose(moments, case[f"{key}_mean_std"], atol=1e-5)


@pytest.mark.parametrize("k", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2, 3))])
@pytest.mark.parametrize("kind", ["navi", "scannet"])
def test_pairs_pictures_and_surfaces(kind, k):
    case = golden(f"pairs3d/{kind}")
    if kind == "navi":
        pairs = read_navi(NAVI, OF_NAVI)
        assert [[pair.category, *pair.name.split("-")] for pair in pairs] == case["rd_pairs"].tolist()
    else:
        pairs = read_scannet(SCANNET)
        names = [f"{pair.category} {pair.name}" for pair in pairs]
        assert names == [f"scene{a:04d}_{b:02d} {i}-{j}" for a, b, i, j in case["rd_names"]]
    np.testing.assert_allclose(pairs[k].pose, case[f"rd_p{k}_Rt01"], atol=1e-6)
    assert pairs[k].angle == pytest.approx(case["c0_angle"][k], abs=1e-3)
    for v in (0, 1):
        key = f"rd_p{k}_v{v}"
        if kind == "navi":
            view = navi_view(pairs[k], v, OF_NAVI)
            check_image(view, case, f"{key}_image", 8, 16)
            np.testing.assert_allclose(view.points, case[f"{key}_xyz128"], atol=1e-6)
            np.testing.assert_allclose(view.intrinsics, case[f"{key}_K"], atol=1e-3)
        else:
            view = scannet_view(pairs[k], v, OF_SCANNET)
            check_image(view, case, f"{key}_rgb", 10, 20)
            np.testing.assert_allclose(view.intrinsics, case[f"rd_p{k}_K"])
            np.testing.assert_allclose(1000 * view.points[2], case[f"{key}_depth4_mm"], atol=1e-3)


def test_partners_of_navi():
    """Pictures whose draw depends on the rounding of their angle to themselves are left out."""
    case = golden("pairs3d/navi")
    random = np.random.RandomState(8)
    for number in range(3):
        rotations = rotations_of(torch.tensor(case[f"pt{number}_q"], dtype=torch.float32))
        found = np.array(drawn_partners(rotations, random, OF_NAVI))
        known = ~case[f"pt{number}_sensitive"] & (found != np.arange(len(found)))
        np.testing.assert_array_equal(found[known], case[f"pt{number}_pair"][known])
    for name in case["rd_object_names"]:
        pairs = read_navi(NAVI, OF_NAVI)
        partner = {pair.name.split("-")[0]: pair.name.split("-")[1] for pair in pairs if pair.category == name}
        assert all(case[f"rd_all_pairs_{name}"][int(one)] == int(other) for one, other in partner.items())


def test_faulty_data_are_refused_by_name(tmp_path):
    refused(DataError, "nowhere: holds no object", read_navi, tmp_path / "nowhere", OF_NAVI)
    refused(DataError, "nowhere/test.npz: cannot be read", read_scannet, tmp_path / "nowhere")
    shutil.copytree(SCANNET, tmp_path / "scannet")
    np.savez(tmp_path / "scannet/intrinsics.npz", scene=np.eye(3))
    refused(DataError, r"intrinsics\.npz: has no 'scene", read_scannet, tmp_path / "scannet")
    near = OF_NAVI.with_changes(max_angle=3)
    refused(DataError, r"picture \d has no partner within 3 degrees", read_navi, NAVI, near)
    shutil.copytree(NAVI, tmp_path / "navi")
    pair = read_navi(tmp_path / "navi", OF_NAVI)[0]
    cv2.imwrite(str(pair.depths[0]), np.zeros_like(read_depth(pair.depths[0])))
    refused(DataError, "shows no surface in its middle square", navi_view, pair, 0, OF_NAVI)
    (tmp_path / "navi/bear_toy/wild_set/images/downsampled_000.jpg").unlink()
    refused(DataError, "downsampled_000.jpg: no such file", read_navi, tmp_path / "navi", OF_NAVI)
