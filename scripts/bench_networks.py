"""Elucid beside ONNX Runtime and PyTorch, network by network, in turns on one machine.

    pip install numpy onnx onnxruntime torch torchvision timm onnxscript
    python scripts/bench_networks.py make NETWORKS          # exports with weights from a seed
    python scripts/bench_networks.py run NETWORKS --elucid target/release/elucid

`make` needs PyTorch, torchvision and timm; `run` ONNX Runtime, and PyTorch where it is to be compared with.
Each round measures every program once on each network, each in a process of its own, and takes the median
of its passes; the table has the medians of the rounds. Only what was measured in turns on an otherwise idle
machine says much: `run` prints the load of the machine beside its name. Any folder of .onnx files will do;
PyTorch is left out for those that `make` does not know.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

# Name, library, height and width.
NETWORKS = {
    "googlenet": ("torchvision", 224),
    "squeezenet1_1": ("torchvision", 224),
    "inception_v3": ("torchvision", 299),
    "resnext50_32x4d": ("torchvision", 224),
    "resnet26d": ("timm", 224),
    "densenet121": ("torchvision", 224),
    "regnet_y_400mf": ("torchvision", 224),
    "mobilenet_v3_small": ("torchvision", 224),
    "efficientnet_v2_s": ("torchvision", 224),
    "nfnet_l0": ("timm", 224),
    "convmixer_768_32": ("timm", 224),
    "eva02_tiny_patch14_224": ("timm", 224),
}


def network(name):
    """The PyTorch module, with weights from a seed, ready to run."""
    import torch

    library, _ = NETWORKS[name]
    torch.manual_seed(0)
    if library == "timm":
        import timm
        from timm.layers import set_fused_attn

        # What the exporter can write.
        set_fused_attn(False)
        module = timm.create_model(name, pretrained=False)
    else:
        import torchvision

        options = {}
        if name in ("googlenet", "inception_v3"):
            options = {"aux_logits": False, "init_weights": False}
        module = torchvision.models.get_model(name, weights=None, **options)
    # Statistics that are not those of nothing, so that numbers stay in range.
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_var.uniform_(0.5, 1.5)
            part.running_mean.uniform_(-0.1, 0.1)
    return module.eval()


def make(folder, names):
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / f"{name}.onnx"
        if path.exists():
            continue
        side = NETWORKS[name][1]
        images = torch.randn(1, 3, side, side)
        torch.onnx.export(
            network(name),
            (images,),
            path,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
            dynamo=False,
        )
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def passes(run, repeats):
    run()
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def side_of(path):
    return NETWORKS.get(path.stem, (None, 224))[1]


def onnxruntime(path, batch, threads, repeats):
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    side = side_of(path)
    shape = [batch, 3, side, side]
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    return {"forward": passes(lambda: session.run(None, {source.name: images}), repeats)}


def pytorch(path, batch, threads, repeats):
    import torch

    torch.set_num_threads(threads)
    module = network(path.stem)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    side = side_of(path)
    images = torch.rand(batch, 3, side, side) * 2 - 1

    def forward():
        with torch.inference_mode():
            module(images)

    def gradient():
        leaf = images.clone().requires_grad_(True)
        torch.autograd.grad(module(leaf).sum(), leaf)

    return {"forward": passes(forward, repeats), "gradient": passes(gradient, repeats)}


PROGRAMS = {"onnxruntime": onnxruntime, "pytorch": pytorch}


def elucid(program, path, batch, threads, repeats):
    side = side_of(path)
    command = [program, "profile", "--model", path, "--json", "--quiet", "--device", "cpu", "--backward"]
    # Whatever a batch takes: what others need is not limited, either.
    command += ["--batch", batch, "--size", side, "--repeat", repeats, "--memory-limit", "1TB"]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr.strip().splitlines()[-1])
    report = json.loads(ran.stdout)
    return {"forward": report["forward"]["milliseconds"], "gradient": report["gradient_milliseconds"]}


def child(program, path, batch, threads, repeats):
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "one", program, path, batch, threads, repeats]
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError((ran.stderr.strip() or "it ended").splitlines()[-1])
    return json.loads(ran.stdout.strip().splitlines()[-1])


def processor():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def number(times, program, way):
    found = [t[way] for t in times.get(program, []) if way in t]
    return statistics.median(found) if found else None


def ratio(a, b):
    return f"{a / b:.2f}" if a and b else ""


def cell(value):
    return f"{value:.1f}" if value else ""


def run(arguments):
    paths = sorted(arguments.folder.glob("*.onnx"))
    order = {name: i for i, name in enumerate(NETWORKS)}
    paths.sort(key=lambda path: order.get(path.stem, len(order)))
    if arguments.networks:
        paths = [path for path in paths if path.stem in arguments.networks]
    load = os.getloadavg()[0]
    print(f"{processor()}, {os.cpu_count()} cores, {arguments.threads} threads, load {load:.1f} before; ")
    print(f"medians of {arguments.rounds} rounds of {arguments.repeats} passes, milliseconds, batch {arguments.batch}\n")
    print("| network | elucid | ONNX Runtime | ratio | gradient: elucid | to forward | PyTorch forward | gradient | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for path in paths:
        times = {}
        failures = {}
        programs = {
            "elucid": lambda *a: elucid(arguments.elucid, *a),
            "onnxruntime": lambda *a: child("onnxruntime", *a),
        }
        if path.stem in NETWORKS and not arguments.no_pytorch:
            programs["pytorch"] = lambda *a: child("pytorch", *a)
        for _ in range(arguments.rounds):
            for name, measure in programs.items():
                try:
                    found = measure(path, arguments.batch, arguments.threads, arguments.repeats)
                    times.setdefault(name, []).append(found)
                except (RuntimeError, OSError) as error:
                    failures[name] = str(error)
        ours, gradient = number(times, "elucid", "forward"), number(times, "elucid", "gradient")
        theirs = number(times, "onnxruntime", "forward")
        torch_forward, torch_gradient = (number(times, "pytorch", way) for way in ("forward", "gradient"))
        cells = [
            path.stem,
            cell(ours),
            cell(theirs),
            ratio(ours, theirs),
            cell(gradient),
            ratio(gradient, ours),
            cell(torch_forward),
            cell(torch_gradient),
            ratio(gradient, torch_gradient),
        ]
        print("| " + " | ".join(cells) + " |", flush=True)
        for name, reason in failures.items():
            print(f"{path.stem}: {name}: {reason}", file=sys.stderr)
    print(f"\nload {os.getloadavg()[0]:.1f} after")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="export the networks")
    making.add_argument("folder", type=pathlib.Path)
    making.add_argument("networks", nargs="*", help="all of them without")
    running = commands.add_parser("run", help="measure and print the table")
    running.add_argument("folder", type=pathlib.Path)
    running.add_argument("networks", nargs="*", help="all of the folder without")
    running.add_argument("--elucid", default="target/release/elucid", help="the program")
    running.add_argument("--batch", type=int, default=1)
    running.add_argument("--threads", type=int, default=os.cpu_count())
    running.add_argument("--rounds", type=int, default=3)
    running.add_argument("--repeats", type=int, default=10)
    running.add_argument("--no-pytorch", action="store_true")
    one = commands.add_parser("one")
    one.add_argument("program", choices=PROGRAMS)
    one.add_argument("path", type=pathlib.Path)
    for name in ("batch", "threads", "repeats"):
        one.add_argument(name, type=int)
    arguments = parser.parse_args()
    if arguments.command == "make":
        make(arguments.folder, arguments.networks or NETWORKS)
    elif arguments.command == "run":
        run(arguments)
    else:
        measure = PROGRAMS[arguments.program]
        print(json.dumps(measure(arguments.path, arguments.batch, arguments.threads, arguments.repeats)))


if __name__ == "__main__":
    main()
