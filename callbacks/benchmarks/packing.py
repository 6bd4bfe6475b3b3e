"""Predictions packed as the servers of benchmarks want them."""

import zipfile
from pathlib import Path


def zip_predictions(folder: Path, inside: str = "") -> Path:
    """Put `folder/predictions` into `folder/predictions.zip`.

    Args:
        folder: of the run.
        inside: folder of the archive that holds the sequences; "" is its top (DAVIS), "Annotations" is YouTube-VOS's.

    Returns:
        The archive.
    """
    path = folder / "predictions.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted((folder / "predictions").rglob("*.png")):
            archive.write(file, Path(inside) / file.relative_to(folder / "predictions"))
    return path
