"""The int8 form of a float ONNX file for each runtime, as each runtime's own documents tell it.

    convert.py openvino|onnxruntime-u8s8|onnxruntime-s8s8|tflite MODEL.onnx OUT

Calibration is on noise: it decides scales, which change no time. Runs apart from what is measured, so
that a converter's memory is not counted as its runtime's.
"""

import sys
import tempfile
from pathlib import Path

import numpy

import worker

IMAGES = 16


def noise(shape: list[int]):
    random = numpy.random.default_rng(1)
    for _ in range(IMAGES):
        yield random.standard_normal(shape, dtype=numpy.float32)


def openvino(source: str, out: Path) -> None:
    """NNCF's post-training quantization with its defaults."""
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    shape = model.input(0).partial_shape
    shape[0] = 1
    model.reshape(shape)
    images = list(noise([int(side) for side in model.input(0).shape]))
    quantized = nncf.quantize(model, nncf.Dataset(images), subset_size=IMAGES)
    openvino.save_model(quantized, str(out))


def input_shape(source: str) -> list[int]:
    import onnx

    sides = onnx.load(source).graph.input[0].type.tensor_type.shape.dim
    return [side.dim_value or 1 for side in sides]


def onnxruntime(activations: str):
    def convert(source: str, out: Path) -> None:
        pixels = next(noise(input_shape(source)))
        worker.quantize_onnx(source, out, activations, worker.with_mirrored(numpy, pixels))

    return convert


class Nhwc:
    """An ONNX graph with folded batch norms, run by TensorFlow on NHWC tensors."""

    def __init__(self, source: str):
        import onnx
        import tensorflow

        self.tf = tensorflow
        self.graph = onnx.load(source).graph
        self.helper, arrays = onnx.helper, onnx.numpy_helper
        self.constants = {t.name: arrays.to_array(t) for t in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = arrays.to_array(node.attribute[0].t)

    def __call__(self, image):
        values = {self.graph.input[0].name: image}
        for node in self.graph.node:
            if node.op_type == "Constant":
                continue
            run = getattr(self, node.op_type.lower())
            attributes = {a.name: self.helper.get_attribute_value(a) for a in node.attribute}
            inputs = [self.constants.get(name, values.get(name)) for name in node.input]
            values[node.output[0]] = run(attributes, *inputs)
        return values[self.graph.output[0].name]

    def conv(self, attributes, x, w, b=None):
        top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
        strides = attributes.get("strides", [1, 1])
        if any([top, left, bottom, right]):
            x = self.tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]])
        y = self.tf.nn.conv2d(x, numpy.transpose(w, [2, 3, 1, 0]), strides, "VALID")
        return y if b is None else y + b

    def relu(self, _, x):
        return self.tf.nn.relu(x)

    def add(self, _, a, b):
        return a + b

    def maxpool(self, attributes, x):
        # Behind a ReLU zero padding is no maximum of its own.
        top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
        x = self.tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]])
        return self.tf.nn.max_pool2d(x, attributes["kernel_shape"], attributes["strides"], "VALID")

    def globalaveragepool(self, _, x):
        return self.tf.reduce_mean(x, [1, 2], keepdims=True)

    def flatten(self, _, x):
        return self.tf.reshape(x, [1, -1])

    def gemm(self, attributes, x, w, b):
        return self.tf.linalg.matmul(x, w.T if attributes.get("transB") else w) + b

    def slice(self, _, x, starts, ends, axes, steps):
        to_nhwc = {0: 0, 1: 3, 2: 1, 3: 2}
        cut = [slice(None)] * 4
        for start, end, axis, step in zip(starts, ends, axes, steps):
            end = None if end > 2**31 else int(end)
            cut[to_nhwc[int(axis)]] = slice(int(start), end, int(step))
        return x[tuple(cut)]

    def pad(self, _, x, pads, *_rest):
        before, after = pads[: len(pads) // 2], pads[len(pads) // 2 :]
        pairs = [[int(a), int(b)] for a, b in zip(before, after)]
        return self.tf.pad(x, [pairs[0], pairs[2], pairs[3], pairs[1]])


def tflite(source: str, out: Path) -> None:
    """TensorFlow's converter, all int8, on the graph that ONNX Runtime prepares."""
    import tensorflow
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batch, channels, height, width = input_shape(source)
    with tempfile.TemporaryDirectory() as folder:
        prepared = str(Path(folder) / "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        network = Nhwc(prepared)
    shape = [batch, height, width, channels]
    function = tensorflow.function(network)
    concrete = function.get_concrete_function(tensorflow.TensorSpec(shape, tensorflow.float32))
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in noise(shape))
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.int8
    out.write_bytes(converter.convert())


CONVERTERS = {
    "openvino": openvino,
    "onnxruntime-u8s8": onnxruntime("u8s8"),
    "onnxruntime-s8s8": onnxruntime("s8s8"),
    "tflite": tflite,
}

if __name__ == "__main__":
    runtime, source, out = sys.argv[1:]
    CONVERTERS[runtime](source, Path(out))
