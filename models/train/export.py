"""Write a trained ResNet-20 as ONNX, with its values stored as float16, and measure it.

Batch norm is left unfolded. Every float initializer is FLOAT16 and goes through a
Cast node to float32; the arithmetic is float32 throughout. The shortcuts that change
the shape are Slice + Pad (option A).
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from model import MEAN, STD, ResNet20
from train import load_records, normalise, recalibrate


def build(state: dict, name: str) -> onnx.ModelProto:
    casts, nodes, initializers = [], [], []

    def param(key: str) -> str:
        """Adds a float16 initializer and its Cast; returns the float32 tensor's name."""
        v = state[key].numpy().astype(np.float16)
        if not np.isfinite(v).all():
            raise SystemExit(f"{key} does not fit in float16")
        initializers.append(numpy_helper.from_array(v, key))
        out = key + ".f32"
        casts.append(helper.make_node("Cast", [key], [out], key + ".cast", to=TensorProto.FLOAT))
        return out

    def ints(key: str, values) -> str:
        initializers.append(numpy_helper.from_array(np.array(values, np.int64), key))
        return key

    def node(op: str, name: str, inputs: list, output: str = "", **attributes) -> str:
        output = output or name
        nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output

    def conv_bn(conv: str, bn: str, x: str, stride: int) -> str:
        x = node("Conv", conv, [x, param(conv + ".weight")],
                 kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride, stride])
        keys = ("weight", "bias", "running_mean", "running_var")
        return node("BatchNormalization", bn, [x] + [param(f"{bn}.{k}") for k in keys], epsilon=1e-5)

    starts, ends = ints("shortcut.starts", [0, 0]), ints("shortcut.ends", [2**31 - 1] * 2)
    axes, steps = ints("shortcut.axes", [2, 3]), ints("shortcut.steps", [2, 2])

    x = node("Relu", "relu1", [conv_bn("conv1", "bn1", "input", 1)])
    channels = 16
    for layer, width in ((1, 16), (2, 32), (3, 64)):
        for k in range(3):
            b = f"layer{layer}.{k}"
            stride = 2 if width != channels else 1
            y = node("Relu", f"{b}.relu1", [conv_bn(f"{b}.conv1", f"{b}.bn1", x, stride)])
            y = conv_bn(f"{b}.conv2", f"{b}.bn2", y, 1)
            if stride == 2:
                pad = (width - channels) // 2
                x = node("Slice", f"{b}.shortcut.slice", [x, starts, ends, axes, steps])
                pads = ints(f"{b}.shortcut.pads", [0, pad, 0, 0, 0, pad, 0, 0])
                x = node("Pad", f"{b}.shortcut.pad", [x, pads], mode="constant")
            x = node("Relu", f"{b}.relu2", [node("Add", f"{b}.add", [y, x])])
            channels = width
    x = node("Flatten", "flatten", [node("GlobalAveragePool", "pool", [x])], axis=1)
    node("Gemm", "linear", [x, param("linear.weight"), param("linear.bias")], "logits", transB=1)

    graph = helper.make_graph(
        casts + nodes, name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        initializers)
    model = helper.make_model(graph, producer_name="fixnet models/train/export.py",
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {
        "mean": ",".join(map(str, MEAN)), "std": ",".join(map(str, STD)),
        "classes": "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck",
        "license": "MIT OR Apache-2.0"})
    onnx.checker.check_model(model, full_check=True)
    return model


def logits(path: Path, images: np.ndarray) -> np.ndarray:
    """Logits by onnxruntime, one image at a time (the model's batch is fixed at 1)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = normalise(torch.from_numpy(images)).numpy()
    return np.concatenate([session.run(None, {"input": i[None]})[0] for i in x])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("state", type=Path, help="final.pt, or a checkpoint.pt (give --recalibrate then)")
    p.add_argument("onnx", type=Path, help="file to write")
    p.add_argument("--recalibrate", type=Path, help="lossless training records, to measure batch norm again")
    p.add_argument("--test", type=Path, help="CIFAR binary records to measure the accuracy on")
    a = p.parse_args()

    torch.set_num_threads(1)
    state = torch.load(a.state, map_location="cpu")
    model = ResNet20().eval()
    model.load_state_dict(state.get("ema", state))
    if a.recalibrate:
        recalibrate(model, torch.from_numpy(load_records(a.recalibrate)[0]))
    state = {k: v.half().float() for k, v in model.state_dict().items()}
    data = build(state, "resnet20-cifar10").SerializeToString(deterministic=True)
    a.onnx.write_bytes(data)
    print(f"{a.onnx.name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")

    if a.test:
        images, labels = load_records(a.test)
        onnx_logits = logits(a.onnx, images)
        model.load_state_dict(state)  # the values that went into the file, rounded to float16
        with torch.no_grad():
            torch_logits = model(normalise(torch.from_numpy(images))).numpy()
        hits = int((onnx_logits.argmax(1) == labels).sum())
        print(f"top-1 {100 * hits / len(labels):.2f} % ({hits} of {len(labels)}), onnxruntime; "
              f"largest difference from PyTorch {np.abs(onnx_logits - torch_logits).max():.2g}")


if __name__ == "__main__":
    main()
