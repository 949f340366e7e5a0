"""Times one step of feature visualisation here and in Lucent, side by side, on GoogLeNet.

    cargo build --release --workspace
    pip install torch onnx ipython tqdm decorator
    pip install --no-deps torch-lucent torchvision "kornia<0.5"
    python scripts/bench_icons.py googlenet.onnx [--rounds 5]

Six channels of inception_4d are drawn together. Lucent is timed as it comes, which brings every picture to
224 x 224 and runs the whole network; with pictures of their own size; and with the network cut off behind the
layer, which Lucent does not do by itself. Both sides without transforms see pictures of the same size; with
them, both have Lucid's. A step's time is the difference of a long run and a short one, over the difference of
their steps, so that opening the network does not count. The programs take turns.
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

import torch
from lucent.optvis import objectives, param, render, transform

from googlenet_torch import Network

ROOT = pathlib.Path(__file__).parent.parent
LAYER = "inception_4d/output"
CHANNELS = [0, 88, 176, 264, 352, 440]
MEAN = (104.0, 117.0, 123.0)
# Past the steps in which rectifiers are redirected here, which Lucent has not.
SHORT = 17


def prepared(picture):
    """Lucent's picture, red, green, blue from 0 to 1, as GoogLeNet of Caffe sees it."""
    return 255 * picture.flip(1) - torch.tensor(MEAN).reshape(1, 3, 1, 1)


def lucent(network, arguments, steps, transforms, size):
    """Seconds of a run. `size` is what pictures are brought to, None for 224."""
    goal = sum(objectives.channel("tap", channel, batch=i) for i, channel in enumerate(CHANNELS))
    begun = time.perf_counter()
    render.render_vis(
        network,
        goal,
        lambda: param.image(arguments.size, batch=len(CHANNELS)),
        transforms=[*(transform.standard_transforms if transforms else []), prepared],
        thresholds=(steps,),
        preprocess=False,
        progress=False,
        show_image=False,
        fixed_image_size=size,
    )
    return time.perf_counter() - begun


def elucid(arguments, steps, transforms):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(arguments.threads))
    with tempfile.TemporaryDirectory() as folder:
        command = [arguments.elucid, "visualize", "--quiet", "--device", "cpu", "--model", arguments.model]
        command += ["--layer", LAYER, "--channel", ",".join(map(str, CHANNELS)), "--size", str(arguments.size)]
        command += ["--steps", str(steps), "--batch-size", str(len(CHANNELS)), "--out", f"{folder}/out"]
        command += [] if transforms else ["--transforms", "none"]
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        report = json.loads((pathlib.Path(folder) / "out" / "report.json").read_text())
    return next(step["seconds"] for step in report["seconds"] if step["step"] == "optimise")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="GoogLeNet of Caffe, as ONNX")
    parser.add_argument("--elucid", default=str(ROOT / "target" / "release" / "elucid"), help="the program")
    parser.add_argument("--size", type=int, default=104, help="side of a picture")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each; one more goes before them")
    parser.add_argument("--steps", type=int, default=27, help=f"of the long run; the short one has {SHORT}")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(arguments.threads)

    whole, cut = Network(arguments.model, LAYER).eval(), Network(arguments.model, LAYER, cut=True).eval()
    size = arguments.size
    jobs = {
        ("Lucent as it comes", "224, whole network", True): lambda n: lucent(whole, arguments, n, True, None),
        ("Lucent, own size", f"{size}, whole network", True): lambda n: lucent(whole, arguments, n, True, size),
        ("Lucent, cut by hand", f"{size}, up to the layer", True): lambda n: lucent(cut, arguments, n, True, size),
        ("elucid", f"{size} and transforms, up to the layer", True): lambda n: elucid(arguments, n, True),
        ("Lucent, cut by hand", f"{size}, up to the layer", False): lambda n: lucent(cut, arguments, n, False, size),
        ("elucid", f"{size}, up to the layer", False): lambda n: elucid(arguments, n, False),
    }
    times = {job: [] for job in jobs}
    for round_ in range(arguments.rounds + 1):
        for job, work in jobs.items():
            seconds = (work(arguments.steps) - work(SHORT)) / (arguments.steps - SHORT)
            # The first round warms up.
            if round_ > 0:
                times[job].append(seconds)

    print(
        f"GoogLeNet, {len(CHANNELS)} channels of {LAYER} at {size} x {size}, {arguments.threads} threads, medians "
        f"of {arguments.rounds} rounds in turns; PyTorch {torch.__version__}, {platform.machine()}\n"
    )
    print("| program | runs at | transforms | ms per step |")
    print("| --- | --- | --- | ---: |")
    for (program, work, transforms), values in times.items():
        milliseconds = 1e3 * statistics.median(values)
        print(f"| {program} | {work} | {'Lucid' if transforms else 'none'} | {milliseconds:.0f} |")


if __name__ == "__main__":
    main()
