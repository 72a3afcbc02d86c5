#!/usr/bin/env python3
"""ONNX Runtime as the oracle of tests/random_graphs: answers its requests, one line each.

    python3 -m venv VENV && VENV/bin/pip install onnxruntime numpy
    FIXNET_ORACLE="VENV/bin/python tools/tests/onnx_runtime_oracle.py" \
        cargo test -p tools --test random_graphs

The test starts this program and speaks to it as tests/oracle/src/main.rs says: an ONNX file, a file of
little-endian f32 with the inputs of one or more images, the shape of one input, and names of tensors,
between tabs. Optimizations are off: what counts is what each operator means.
"""

import sys

import numpy as np
import onnxruntime


def answer(model, inputs, shape, *outputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    shape = [int(size) for size in shape.split(",")]
    name = session.get_inputs()[0].name
    tensors = []
    for image in np.fromfile(inputs, "<f4").reshape([-1, *shape]):
        tensors += session.run(list(outputs), {name: image})
    # Nine digits tell all floats apart.
    return "ok" + "".join("\t" + " ".join(f"{v:.9g}" for v in t.ravel()) for t in tensors)


def main():
    for line in sys.stdin:
        try:
            text = answer(*line.rstrip("\n").split("\t"))
        except Exception as error:  # whatever it is, it is the answer
            text = "error\t" + " ".join(str(error).split())
        print(text, flush=True)


if __name__ == "__main__":
    main()
