"""Times perturbation methods here, in TorchRay and in Captum, side by side, on GoogLeNet.

    cargo build --release --workspace
    pip install torch onnx pillow captum matplotlib importlib-resources packaging
    pip install --no-deps torchray
    python scripts/bench_perturbation.py googlenet.onnx chelsea.png [--rounds 5]

The photograph should be 224 x 224, so that neither side resizes it. The network is the ONNX file on both
sides: its operators are looked up in PyTorch one by one, and the best guesses of both sides are compared
before anything is timed. The programs take turns, so that a busy machine slows both. Times are those of the
method alone, without opening the network or drawing: here as the report of `elucid attribute` has them. Both
sides propagate as many images together and use as many threads; a class's logit is explained, except by RISE,
which here takes the probability and in TorchRay a sigmoid.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time
import warnings

import captum
import numpy as np
import torch
from captum.attr import KernelShap, Occlusion
from PIL import Image
from torchray.attribution.extremal_perturbation import extremal_perturbation
from torchray.attribution.rise import rise

from googlenet_torch import Network

ROOT = pathlib.Path(__file__).parent.parent
MEAN = (104.0, 117.0, 123.0)
CLASS = 285
SIDE = 224


def prepared(path):
    """The photograph as GoogLeNet of Caffe sees it: blue, green, red, less the mean colour."""
    picture = Image.open(path).convert("RGB")
    if picture.size != (SIDE, SIDE):
        raise SystemExit(f"{path} is {picture.size[0]} x {picture.size[1]}, expected {SIDE} x {SIDE}")
    pixels = np.asarray(picture, dtype=np.float32)[:, :, ::-1] - np.array(MEAN, dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))


def ours(arguments, method, options):
    """Seconds that the method takes, and the report."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(arguments.threads))
    with tempfile.TemporaryDirectory() as folder:
        command = [arguments.elucid, "attribute", "--quiet", "--device", "cpu", "--model", arguments.model]
        command += ["--resize", "squash", "--image", arguments.photograph, "--method", method, "--target", str(CLASS)]
        command += ["--batch-size", str(arguments.batch_size), "--out", folder, *options]
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        report = json.loads((pathlib.Path(folder) / "report.json").read_text())
    step = next(step for step in report["seconds"] if step["step"].startswith(f"{method} at "))
    return step["seconds"], report


def theirs(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def jobs(arguments, network, x):
    """For each method: its work in words, how many units it is measured in, the other program, and both sides."""
    together = arguments.batch_size
    cells = torch.arange(SIDE) * 7 // SIDE
    grid = (7 * cells[:, None] + cells[None, :])[None, None]
    occlusion, kernel_shap = Occlusion(network), KernelShap(network)
    windows = ((SIDE - 32) // 16 + 1) ** 2
    masks, samples, iterations = arguments.masks, arguments.samples, arguments.iterations
    return {
        "rise": (
            f"per mask, of {masks}",
            masks,
            "TorchRay",
            lambda: rise(network, x, num_masks=masks, batch_size=together),
            ["--preset", "torchray", "--masks", str(masks)],
        ),
        "occlusion": (
            f"per image: window 32, stride 16, {windows} places",
            1,
            "Captum",
            lambda: occlusion.attribute(
                x, (3, 32, 32), (3, 16, 16), target=CLASS, perturbations_per_eval=together
            ),
            ["--window", "32", "--stride", "16"],
        ),
        "kernel-shap": (
            f"per image: grid of 7 x 7, {samples} samples",
            1,
            "Captum",
            lambda: kernel_shap.attribute(
                x, target=CLASS, feature_mask=grid, n_samples=samples, perturbations_per_eval=together
            ),
            ["--segments", "grid:7", "--samples", str(samples)],
        ),
        "extremal-perturbation": (
            f"per iteration, of {iterations}",
            iterations,
            "TorchRay",
            lambda: extremal_perturbation(network, x, CLASS, areas=[0.1], max_iter=iterations),
            ["--areas", "0.1", "--iterations", str(iterations), "--settled", "0"],
        ),
    }


def check(network, x, report):
    with torch.no_grad():
        logits = network(x)[0]
    for guess in report["images"][0]["predictions"]:
        difference = abs(logits[guess["index"]].item() - guess["logit"])
        if difference > 1e-3 * logits.abs().max().item():
            raise SystemExit(f"the networks differ: {difference:.4f} at the logit of {guess['label']}")


def milliseconds(seconds):
    return f"{1e3 * seconds:,.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="GoogLeNet of Caffe, as ONNX")
    parser.add_argument("photograph", help="224 x 224 pixels")
    parser.add_argument("--elucid", default=str(ROOT / "target" / "release" / "elucid"), help="the program")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each; one more goes before them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8, help="images propagated together")
    parser.add_argument("--masks", type=int, default=200, help="of RISE")
    parser.add_argument("--samples", type=int, default=200, help="of KernelSHAP")
    parser.add_argument("--iterations", type=int, default=20, help="of extremal perturbation")
    parser.add_argument("--methods", help="some of them, joined by commas; all by default")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(arguments.threads)

    network, x = Network(arguments.model).eval(), prepared(arguments.photograph)
    work = jobs(arguments, network, x)
    names = arguments.methods.split(",") if arguments.methods else list(work)
    here, there = {name: [] for name in names}, {name: [] for name in names}
    for round_ in range(arguments.rounds + 1):
        for name in names:
            _, units, _, call, options = work[name]
            seconds, report = ours(arguments, name, options)
            if round_ == 0:
                check(network, x, report)
            with torch.set_grad_enabled(name == "extremal-perturbation"):
                other = theirs(call)
            # The first round warms up.
            if round_ > 0:
                here[name].append(seconds / units)
                there[name].append(other / units)

    print(
        f"GoogLeNet, {SIDE} x {SIDE}, batches of {arguments.batch_size}, {arguments.threads} threads, medians of "
        f"{arguments.rounds} rounds in turns; PyTorch {torch.__version__}, Captum {captum.__version__}, "
        f"{platform.machine()}\n"
    )
    print("| method | what | program | its ms | elucid ms | ratio |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for name in names:
        what, _, program, _, _ = work[name]
        mine, other = statistics.median(here[name]), statistics.median(there[name])
        print(
            f"| {name} | {what} | {program} | {milliseconds(other)} | {milliseconds(mine)} | {mine / other:.2f} |"
        )


if __name__ == "__main__":
    main()
