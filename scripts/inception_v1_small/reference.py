"""Prints the logits of ONNX Runtime for some of models/photographs: what crates/vision/tests/vision/embedded.rs expects.

    python reference.py

The numbers there were made with ONNX Runtime 1.32.0 and Pillow 13.0.0.
"""

from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

MODELS = Path(__file__).resolve().parents[2] / "models"
SHORT, SIDE = 183, 160
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def prepared(picture):
    scale = SHORT / min(picture.size)
    picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BILINEAR)
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    pixels = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)), np.float32) / 255
    return ((pixels - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[None]


def main():
    session = onnxruntime.InferenceSession(MODELS / "inception_v1_small.onnx")
    for file in ("chelsea.png", "dog.webp", "dog_and_cat.png", "panda.webp"):
        picture = Image.open(MODELS / "photographs" / file).convert("RGB")
        logits = session.run(["loss3/classifier"], {"data": prepared(picture)})[0][0]
        print(file, [round(float(value), 4) for value in logits])


if __name__ == "__main__":
    main()
