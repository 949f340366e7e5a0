"""Times non-negative matrix factorisation here and in scikit-learn, side by side.

    pip install scikit-learn
    python scripts/bench_nmf.py [--repeats 40] [inception_4d.npy]

The two jobs are one photograph's activations (196 x 528, the file if one is given, else random numbers of
low rank with noise), and 20,000 x 528 made from them. Six components, `f32`, everything else the defaults
of scikit-learn. The programs take turns, so that a busy machine slows both; times are what the
factorisation itself takes, without starting the program or reading the file.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time
import warnings

import numpy as np
import sklearn
from sklearn.decomposition import NMF

warnings.filterwarnings("ignore", category=sklearn.exceptions.ConvergenceWarning)
ROOT = pathlib.Path(__file__).parent.parent
ROUNDS = 4


def ours(path, start, repeats):
    command = ["cargo", "run", "--quiet", "--release", "--package", "elucid-factor", "--example", "nmf_time", "--"]
    command += [str(path), "6", start, str(repeats)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def theirs(x, start, repeats):
    runs = []
    for _ in range(repeats):
        model = NMF(6, init=start, random_state=0)
        begun = time.perf_counter()
        model.fit_transform(x)
        seconds = time.perf_counter() - begun
        error = float(model.reconstruction_err_ / np.linalg.norm(x))
        runs.append({"seconds": seconds, "iterations": model.n_iter_, "relative_error": error})
    return runs


def show(name, runs):
    times = [1e3 * run["seconds"] for run in runs]
    last = runs[-1]
    print(
        f"  {name:<13} median {statistics.median(times):8.2f} ms   best {min(times):8.2f} ms   "
        f"{last['iterations']:3} iterations   relative error {last['relative_error']:.6f}"
    )
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("activations", nargs="?", help="inception_4d of a photograph, [528, 14, 14]")
    parser.add_argument("--repeats", type=int, default=40, help="of the small job; the large one has a tenth")
    arguments = parser.parse_args()

    random = np.random.default_rng(0)
    if arguments.activations:
        small = np.load(arguments.activations).reshape(528, -1).T
    else:
        low = random.exponential(1, (196, 12)) @ random.exponential(1, (12, 528))
        small = np.maximum(low + random.normal(0, low.std(), low.shape) - low.mean(), 0)
    small = np.ascontiguousarray(small, dtype=np.float32)
    copies = -(-20_000 // len(small))
    large = np.vstack([small] * copies)[:20_000]
    large = np.ascontiguousarray(large * random.uniform(0.5, 1.5, large.shape), dtype=np.float32)

    print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        for matrix, repeats in [(small, arguments.repeats), (large, max(arguments.repeats // 10, ROUNDS))]:
            path = pathlib.Path(folder) / "matrix.npy"
            np.save(path, matrix)
            for start in ["nndsvda", "nndsvd", "random"]:
                print(f"{matrix.shape[0]} x {matrix.shape[1]}, start {start}")
                here, there = [], []
                share = -(-repeats // ROUNDS)
                ours(path, start, 1)
                for _ in range(ROUNDS):
                    there += theirs(matrix, start, share)
                    here += ours(path, start, share)
                ratio = show("scikit-learn", there) / show("elucid-factor", here)
                print(f"  {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
