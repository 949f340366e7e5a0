#!/usr/bin/env python3
"""Writes models/photographs/: chelsea.png, coffee.png and cat_and_coffee.png.

The first two are copied unchanged from the PyPI package scikit-image 0.26.0 (both CC0). The
third puts a crop of each side by side, so that a network sees two classes in one picture;
the crops are those, of some thousands tried, on which SqueezeNet 1.1, GoogLeNet and
EfficientNet-Lite0 all put a cat and a coffee class among their first five. The committed
file was made with Pillow 13.0.0.

    pip install pillow
    python scripts/make_photographs.py                      # downloads the package
    python scripts/make_photographs.py --source WHEEL.whl   # or takes it from here
"""

import argparse
import hashlib
import io
import pathlib
import subprocess
import sys
import tempfile
import zipfile

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHA256 = {
    "chelsea": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
}
SIZE = 320
CAT_WIDTH = 168
CAT_CROP = (109, 0, 290)  # left, top, height; the width follows from the panel's shape
COFFEE_CROP = (225, 49, 320)


def fetch(folder):
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
         "--only-binary", ":all:", "--dest", str(folder), "scikit-image==0.26.0"],
        check=True,
    )
    return next(pathlib.Path(folder).glob("scikit_image-*.whl"))


def panel(photograph, crop, width):
    left, top, height = crop
    box = (left, top, round(left + height * width / SIZE), top + height)
    return photograph.crop(box).resize((width, SIZE), Image.LANCZOS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", help="a scikit-image wheel; downloaded when left out")
    parser.add_argument("--out", default=ROOT / "models" / "photographs", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = zipfile.ZipFile(args.source or fetch(folder))
        files = {name: wheel.read(f"skimage/data/{name}.png") for name in SHA256}
        wheel.close()
    for name, expected in SHA256.items():
        got = hashlib.sha256(files[name]).hexdigest()
        if got != expected:
            sys.exit(f"{name}.png: sha256 is {got}, expected {expected}")

    args.out.mkdir(parents=True, exist_ok=True)
    photographs = {}
    for name, data in files.items():
        (args.out / f"{name}.png").write_bytes(data)
        photographs[name] = Image.open(io.BytesIO(data)).convert("RGB")
    both = Image.new("RGB", (SIZE, SIZE))
    both.paste(panel(photographs["chelsea"], CAT_CROP, CAT_WIDTH), (0, 0))
    both.paste(panel(photographs["coffee"], COFFEE_CROP, SIZE - CAT_WIDTH), (CAT_WIDTH, 0))
    both.save(args.out / "cat_and_coffee.png", optimize=True)


if __name__ == "__main__":
    main()
