"""Writes models/photographs: a dog, horses and a panda as they are, and a dog and a cat side by side.

    python photographs.py --gcompris DIR --chelsea chelsea.png --out models/photographs

DIR holds what the Qt resource files explore_farm_animals.rcc and explore_world_animals.rcc of the Debian package
gcompris-qt-data 3.1-2 carry (dog.webp, horse.webp, panda.webp); see models/photographs/LICENCES.md. A resource
file is unpacked with `python photographs.py --unpack FILE.rcc --out DIR`. chelsea.png is scikit-image's.

The two crops are those, of two dozen tried, between which the network is most evenly torn at any input size from
160 to 256 pixels. Made with Pillow 13.0.0.
"""

import argparse
import struct
import zlib
from pathlib import Path

from PIL import Image

SIDE = 320
HALVES = (  # picture, and the crop's left, top and height; it is half as wide as it is high
    ("dog.webp", 720, 10, 400),
    ("chelsea.png", 150, 0, 300),
)
WHOLE = ("dog.webp", "horse.webp", "panda.webp")


def unpacked(content):
    """(path, bytes) of each file of a Qt resource file."""
    assert content[:4] == b"qres"
    version, tree, data, names = struct.unpack(">4I", content[4:20])
    entry = 22 if version >= 2 else 14

    def walk(index, folder):
        at = tree + index * entry
        name, flags = struct.unpack(">IH", content[at : at + 6])
        path = folder
        if index:
            length = struct.unpack(">H", content[names + name : names + name + 2])[0]
            start = names + name + 6
            path = folder / content[start : start + 2 * length].decode("utf-16-be")
        if flags & 2:
            count, first = struct.unpack(">2I", content[at + 6 : at + 14])
            for child in range(first, first + count):
                yield from walk(child, path)
        else:
            start = data + struct.unpack(">I", content[at + 10 : at + 14])[0]
            size = struct.unpack(">I", content[start : start + 4])[0]
            found = content[start + 4 : start + 4 + size]
            yield path, zlib.decompress(found[4:]) if flags & 1 else found

    return walk(0, Path())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unpack", type=Path)
    parser.add_argument("--gcompris", type=Path)
    parser.add_argument("--chelsea", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.unpack:
        for path, content in unpacked(options.unpack.read_bytes()):
            if path.suffix == ".webp" or path.name == "README":
                (options.out / path.name).write_bytes(content)
        return
    for file in WHOLE:
        (options.out / file).write_bytes((options.gcompris / file).read_bytes())
    pair = Image.new("RGB", (SIDE, SIDE))
    for index, (file, left, top, height) in enumerate(HALVES):
        source = options.chelsea if file == options.chelsea.name else options.gcompris / file
        half = Image.open(source).convert("RGB").crop((left, top, left + height // 2, top + height))
        pair.paste(half.resize((SIDE // 2, SIDE), Image.Resampling.LANCZOS), (index * SIDE // 2, 0))
    pair.save(options.out / "dog_and_cat.png", optimize=True)


if __name__ == "__main__":
    main()
