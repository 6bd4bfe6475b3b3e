"""Copy the eight sequences of DAVIS-2016 that docs/results.md scores, and print digests of what was copied."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ["blackswan", "camel", "car-shadow", "cows", "dance-twirl", "dog", "horsejump-high", "soapbox"]
SOURCE, OURS = Path("data/DAVIS-2016"), Path("data/DAVIS-8")
pictures, masks = hashlib.blake2b(digest_size=8), hashlib.blake2b(digest_size=8)
for name in NAMES:
    (OURS / "Annotations/480p" / name).mkdir(parents=True, exist_ok=True)
    shutil.copytree(SOURCE / "JPEGImages/480p" / name, OURS / "JPEGImages/480p" / name, dirs_exist_ok=True)
    for file in sorted((OURS / "JPEGImages/480p" / name).glob("*.jpg")):
        pictures.update(file.read_bytes())
    for file in sorted((SOURCE / "Annotations/480p" / name).glob("*.png")):
        mask = np.asarray(Image.open(file).convert("L")) > 0
        masks.update(mask.tobytes())
        image = Image.fromarray(mask.astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 128, 0, 0])
        image.save(OURS / "Annotations/480p" / name / file.name)
(OURS / "ImageSets/2017").mkdir(parents=True, exist_ok=True)
(OURS / "ImageSets/2017/val.txt").write_text("\n".join(NAMES) + "\n")
print(f"masks {masks.hexdigest()}, JPEG files {pictures.hexdigest()}")
