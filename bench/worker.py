"""A runtime in a process of its own, asked for timed inferences line by line.

    worker.py RUNTIME MODEL THREADS [--int8 u8s8|s8s8] [--shape N,C,H,W] [--image FILE]

The worker's first line is a JSON object: what runs, or {"error": ...}. For each line N on standard input
it runs N inferences and answers with a JSON array of their nanoseconds; it ends with its input.
What may not be broken: nothing else goes to standard output, and what is timed is one call on a
prepared input, without reading files or making tensors.

`fixnet bench --against onnxruntime` carries this file with it; compare.py starts it by name.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

SHAPE = [1, 3, 224, 224]


class Unusable(Exception):
    """One line that says what to do."""


def need(module: str, packages: str):
    """A module, or the command that installs it."""
    try:
        return __import__(module, fromlist=["_"])
    except ImportError as error:
        python = sys.executable
        reason = f"{python} cannot import {module} ({error})"
        raise Unusable(f"{reason}; install it with: {python} -m pip install {packages}") from error


def image(numpy, args):
    """The input: a file of little-endian floats, or standardised pixels of a fixed seed."""
    if args.image:
        return numpy.fromfile(args.image, dtype="<f4").reshape(args.shape)
    return numpy.random.default_rng(0).standard_normal(args.shape, dtype=numpy.float32)


def with_mirrored(numpy, pixels) -> list:
    return [pixels, numpy.flip(pixels, -1).copy()]


def quantize_onnx(source: str, out: Path, activations: str, images) -> None:
    """Static quantization as ONNX Runtime documents it: QDQ, int8 weights for each channel."""
    need("onnx", "onnx")
    quantization = need("onnxruntime.quantization", "onnxruntime onnx")
    prepare = need("onnxruntime.quantization.shape_inference", "onnxruntime onnx").quant_pre_process
    runtime = need("onnxruntime", "onnxruntime")
    name = runtime.InferenceSession(source, providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Images(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter([{name: image} for image in images])

        def get_next(self):
            return next(self.left, None)

    prepared = out.with_suffix(".prepared.onnx")
    prepare(source, str(prepared), skip_symbolic_shape=True)
    types = {"u8s8": quantization.QuantType.QUInt8, "s8s8": quantization.QuantType.QInt8}
    quantization.quantize_static(
        str(prepared),
        str(out),
        Images(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=types[activations],
        weight_type=quantization.QuantType.QInt8,
    )
    prepared.unlink()


def onnxruntime(args):
    runtime = need("onnxruntime", "onnxruntime onnx")
    numpy = need("numpy", "numpy")
    runtime.set_default_logger_severity(3)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    # Threads spin within a run, and let the next contestant have the cores after it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    pixels = image(numpy, args)
    with tempfile.TemporaryDirectory() as folder:
        model = args.model
        if args.int8:
            model = str(Path(folder) / "int8.onnx")
            quantize_onnx(args.model, Path(model), args.int8, with_mirrored(numpy, pixels))
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: pixels}
    return {"version": runtime.__version__}, lambda: session.run(None, feed)


def openvino(args):
    runtime = need("openvino", "openvino")
    numpy = need("numpy", "numpy")
    config = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
    config["INFERENCE_NUM_THREADS"] = args.threads
    compiled = runtime.Core().compile_model(args.model, "CPU", config)
    request = compiled.create_infer_request()
    request.set_input_tensor(runtime.Tensor(image(numpy, args)))
    kernels = {}
    for op in compiled.get_runtime_model().get_ops():
        facts = op.get_rt_info()
        if facts["layerType"].astype(str) == "Convolution":
            kernel = facts["primitiveType"].astype(str)
            kernels[kernel] = kernels.get(kernel, 0) + 1
    return {"version": runtime.__version__, "kernels": kernels}, request.infer


def tflite(args):
    numpy = need("numpy", "numpy")
    runtime = need("ai_edge_litert.interpreter", "ai-edge-litert")
    package = need("importlib.metadata", "").version("ai-edge-litert")
    interpreter = runtime.Interpreter(args.model, num_threads=args.threads)
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    pixels = numpy.moveaxis(image(numpy, args), 1, -1)
    scale, zero = detail["quantization"]
    if scale:
        pixels = numpy.clip(numpy.round(pixels / scale + zero), -128, 127)
    interpreter.set_tensor(detail["index"], pixels.astype(detail["dtype"]))
    return {"version": package}, interpreter.invoke


def tract(args):
    runtime = need("tract", "tract")
    numpy = need("numpy", "numpy")
    version = need("importlib.metadata", "").version("tract")
    model = runtime.onnx().load(args.model)
    model.set_input_fact(0, ",".join(str(side) for side in args.shape) + ",f32")
    runnable = model.into_model().into_runnable()
    pixels = image(numpy, args)
    return {"version": version, "threads": 1}, lambda: runnable.run([pixels])


RUNTIMES = {"onnxruntime": onnxruntime, "openvino": openvino, "tflite": tflite, "tract": tract}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("model")
    parser.add_argument("threads", type=int)
    parser.add_argument("--int8", choices=["u8s8", "s8s8"])
    parser.add_argument("--shape", type=lambda s: [int(n) for n in s.split(",")], default=SHAPE)
    parser.add_argument("--image")
    return parser.parse_args()


def main() -> None:
    args = parse()
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        facts, run = RUNTIMES[args.runtime](args)
        run()
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(json.dumps({"error": reason}), file=answers, flush=True)
        return
    facts = {"runtime": args.runtime, "threads": args.threads} | facts
    print(json.dumps(facts), file=answers, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - start)
        print(json.dumps(times), file=answers, flush=True)


if __name__ == "__main__":
    main()
