"""Times GoogLeNet's forward pass in ONNX Runtime, for comparison with `cargo bench`.

    pip install onnxruntime numpy
    python scripts/bench_onnxruntime.py googlenet.onnx

Run it between two runs of the benches on an otherwise idle machine, with as many threads as they use:
only ratios measured together mean anything.
"""

import statistics
import sys
import time

import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
random = np.random.default_rng(0)
for batch in (1, 8):
    images = random.uniform(-100, 100, (batch, 3, 224, 224)).astype(np.float32)
    session.run(None, {name: images})
    times = []
    for _ in range(20):
        start = time.perf_counter()
        session.run(None, {name: images})
        times.append(time.perf_counter() - start)
    print(f"batch {batch}: median {1e3 * statistics.median(times):.1f} ms (ONNX Runtime {ort.__version__})")
