"""VFS's official checkpoints: the names of mm-style ConvModules."""

from ..foreign_file import State
from ..mapping import DAVIS, Converted, Family, frozen, rename, resnet_name

BACKBONE = {
    r"backbone\.conv1\.conv\.(\w+)": r"conv1.\1",
    r"backbone\.conv1\.bn\.(\w+)": r"bn1.\1",
    r"backbone\.(layer\d\.\d+)\.conv(\d)\.conv\.(\w+)": r"\1.conv\2.\3",
    r"backbone\.(layer\d\.\d+)\.conv(\d)\.bn\.(\w+)": r"\1.bn\2.\3",
    r"backbone\.(layer\d\.\d+)\.downsample\.conv\.(\w+)": r"\1.downsample.0.\2",
    r"backbone\.(layer\d\.\d+)\.downsample\.bn\.(\w+)": r"\1.downsample.1.\2",
}
HEADS = {
    r"img_head\.projection_fcs\.(\d+\.\w+)": r"projector.\1",
    r"img_head\.predictor_fcs\.(\d+\.\w+)": r"predictor.\1",
}
WEIGHTS = {
    *(f"projector.{layer}.{name}" for layer in (0, 1, 3, 4, 6, 7) for name in ("weight", "bias")),
    *(f"predictor.{layer}.{name}" for layer in (0, 1, 3) for name in ("weight", "bias")),
}
"""Parameters of the heads of VFSSimSiam."""

R50 = "--config configs/benchmarks/davis_vfs_r50.yaml"
"""The released evaluation of R50 has a wider neighbourhood than that of R18."""


def _convert(state: State, architecture: str | None) -> Converted:
    left = {r"img_head\..+": "head of another form than VFSSimSiam's"}
    backbone, of_head = rename(state, BACKBONE, left)
    spec = architecture or f"torchvision:{resnet_name(backbone)}"
    heads, _ = rename({key: state[key] for key in of_head}, HEADS | {r"(.+)": r"\1"}, {})
    measured_by = R50 if spec.endswith("resnet50") else DAVIS
    if {name for name in heads if name.endswith(("weight", "bias"))} != WEIGHTS:
        return frozen(spec, state, BACKBONE, left, measured_by=measured_by)
    arguments = {
        "backbone": spec,
        "projector_dim": len(heads["projector.0.weight"]),
        "predictor_dim": len(heads["predictor.0.weight"]),
    }
    weights = {f"backbone.{name}": tensor for name, tensor in backbone.items()} | heads
    return Converted("lightning_modules.vfs_simsiam.VFSSimSiam", arguments, weights, measured_by=measured_by)


VFS = Family("vfs", lambda state: "backbone.conv1.conv.weight" in state, _convert)
