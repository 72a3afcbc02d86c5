//! From the last feature map to scores.

use super::builder::{Builder, Map, signed_axis};
use super::features::Feature;
use super::layers::{Padding, Window};
use crate::common::onnx::{float, int, ints};

/// A vector, `[1, len]`.
pub struct Vector {
    pub name: String,
    pub len: usize,
}

/// More inputs than a small network's classifier has.
const MAX_INPUTS: usize = 1200;

impl Builder {
    /// Scores, before a final Softmax.
    pub fn scores(&mut self, x: &Map) -> Vector {
        let classes = self.dice.range(2, 20);
        let small = x.elements() <= MAX_INPUTS;
        match self.dice.range(0, 11) {
            0 if small && self.may(Feature::FlattenedMap, 100) => {
                let flat = self.flatten(x);
                self.dense(&flat, classes)
            }
            1 if small && self.may(Feature::HwcFlatten, 100) => {
                let flat = self.flatten_hwc(x);
                self.dense(&flat, classes)
            }
            2 if small && self.may(Feature::HiddenLayer, 100) => {
                let flat = self.flatten(x);
                let hidden = self.hidden(&flat);
                self.dense(&hidden, classes)
            }
            3 | 4 => self.conv_classifier(x, classes),
            5 if self.may(Feature::PooledWithoutClassifier, 100) => {
                let pooled = self.pooled(x);
                self.flatten(&pooled)
            }
            6 => {
                let pooled = self.mean_of_hwc(x);
                self.dense(&pooled, classes)
            }
            7 => {
                let keep = self.dice.chance(50);
                let axes = if self.dice.chance(50) { [2, 3] } else { [3, 2] };
                let name = self.reduce_mean(&x.name, axes, keep);
                let pooled = match keep {
                    true => self.flatten(&Map { name, size: [1, 1], ..x.clone() }),
                    false => Vector { name, len: x.channels },
                };
                self.dense(&pooled, classes)
            }
            8 if self.may(Feature::MeanOfPixels, 50) => {
                // [1, C, H * W], then a mean over the last axis.
                let target = match self.dice.chance(50) {
                    true => [0, 0, -1],
                    false => [1, x.channels as i64, -1],
                };
                let target = self.ints(&target);
                let pixels = self.node("Reshape", &[&x.name, &target], Vec::new());
                let (mut inputs, mut attributes) = (vec![pixels], vec![int("keepdims", 0)]);
                let axis = if self.opset >= 11 { -1 } else { 2 };
                self.list(18, "axes", &[axis], &mut inputs, &mut attributes);
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                let name = self.node("ReduceMean", &inputs, attributes);
                self.dense(&Vector { name, len: x.channels }, classes)
            }
            8 => {
                let pooled = self.global_average_pool(x);
                let flat = self.flatten(&pooled);
                let hidden = self.hidden(&flat);
                self.dense(&hidden, classes)
            }
            _ => {
                let pooled = self.pooled(x);
                let flat = self.flatten(&pooled);
                self.dense(&flat, classes)
            }
        }
    }

    /// An average over the whole map.
    fn pooled(&mut self, x: &Map) -> Map {
        if self.dice.chance(70) {
            return self.global_average_pool(x);
        }
        let window =
            Window { kernel: x.size, padding: Padding::Explicit([0; 4]), ..Window::square(1, 1) };
        self.average_pool(x, window, false)
    }

    fn conv_classifier(&mut self, x: &Map, classes: usize) -> Vector {
        self.note(Feature::ConvClassifier);
        let point = Window::square(1, 1);
        if self.dice.chance(50) {
            let pooled = self.pooled(x);
            let scores = self.conv(&pooled, classes, point, 1);
            return self.flatten(&scores);
        }
        let maps = self.conv(x, classes, point, 1);
        let maps = if self.dice.chance(40) { self.relu(&maps) } else { maps };
        let pooled = self.pooled(&maps);
        self.flatten(&pooled)
    }

    /// A map as a vector, in the order of its own layout.
    fn flatten(&mut self, x: &Map) -> Vector {
        let len = x.elements();
        if x.size == [1, 1] && self.may(Feature::Squeeze, 15) {
            let axes = match self.opset >= 11 {
                true => [2, 3].map(|axis| signed_axis(&mut self.dice, axis, 4)),
                false => [2, 3],
            };
            let (mut inputs, mut attributes) = (vec![x.name.clone()], Vec::new());
            self.list(13, "axes", &axes, &mut inputs, &mut attributes);
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let name = self.node("Squeeze", &inputs, attributes);
            return Vector { name, len };
        }
        // With more than one channel, and batch 1 kept by a following Unsqueeze.
        if x.size == [1, 1] && len > 1 && self.may(Feature::SqueezeAll, 3) {
            let all = self.node("Squeeze", &[&x.name], Vec::new());
            let (mut inputs, mut attributes) = (vec![all], Vec::new());
            self.list(13, "axes", &[0], &mut inputs, &mut attributes);
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let name = self.node("Unsqueeze", &inputs, attributes);
            return Vector { name, len };
        }
        let name = self.reshaped(&x.name, len);
        Vector { name, len }
    }

    /// `[1, len]`, in one of its spellings.
    fn reshaped(&mut self, x: &str, len: usize) -> String {
        match self.dice.range(0, 3) {
            0 => {
                let target = match self.dice.range(0, 3) {
                    0 => [1, -1],
                    1 => [0, -1],
                    2 => [-1, len as i64],
                    _ => [1, len as i64],
                };
                let target = self.ints(&target);
                self.node("Reshape", &[x, &target], Vec::new())
            }
            1 if self.may(Feature::ShapeArithmetic, 100) => {
                // view(x.size(0), -1)
                let shape = self.node("Shape", &[x], Vec::new());
                let first = self.int(0);
                let batch = self.node("Gather", &[&shape, &first], vec![int("axis", 0)]);
                let (mut inputs, mut attributes) = (vec![batch], Vec::new());
                self.list(13, "axes", &[0], &mut inputs, &mut attributes);
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                let batch = self.node("Unsqueeze", &inputs, attributes);
                let rest = self.ints(&[-1]);
                let target = self.node("Concat", &[&batch, &rest], vec![int("axis", 0)]);
                self.node("Reshape", &[x, &target], Vec::new())
            }
            _ => {
                let axis = if self.opset >= 11 && self.dice.chance(20) { -3 } else { 1 };
                let written = axis != 1 || self.dice.chance(60);
                self.node("Flatten", &[x], written.then(|| int("axis", axis)).into_iter().collect())
            }
        }
    }

    fn flatten_hwc(&mut self, x: &Map) -> Vector {
        let turned = self.node("Transpose", &[&x.name], vec![ints("perm", &[0, 2, 3, 1])]);
        Vector { name: self.reshaped(&turned, x.elements()), len: x.elements() }
    }

    fn mean_of_hwc(&mut self, x: &Map) -> Vector {
        self.note(Feature::Transposed);
        let turned = self.node("Transpose", &[&x.name], vec![ints("perm", &[0, 2, 3, 1])]);
        let name = self.reduce_mean(&turned, [1, 2], false);
        Vector { name, len: x.channels }
    }

    fn hidden(&mut self, x: &Vector) -> Vector {
        self.note(Feature::HiddenLayer);
        let outputs = self.dice.range(2, 24);
        let hidden = self.dense(x, outputs);
        let as_map = Map { name: hidden.name, channels: hidden.len, size: [1, 1] };
        let normed = match self.may(Feature::VectorBatchNorm, 40) {
            true => self.batch_norm(&as_map),
            false => as_map,
        };
        Vector { name: self.relu(&normed).name, len: outputs }
    }

    /// A fully connected layer.
    pub fn dense(&mut self, x: &Vector, outputs: usize) -> Vector {
        let deviation = (1.0 / x.len as f32).sqrt();
        let bias = self.dice.normals(outputs, 0.2);
        if self.may(Feature::MatMul, 30) {
            let weight = self.weights(&[x.len, outputs], deviation);
            let product = self.node("MatMul", &[&x.name, &weight], Vec::new());
            if self.dice.chance(20) {
                return Vector { name: product, len: outputs };
            }
            let dims: &[usize] = if self.dice.chance(50) { &[outputs] } else { &[1, outputs] };
            let bias = self.floats(dims, bias);
            let name = self.node("Add", &[&product, &bias], Vec::new());
            return Vector { name, len: outputs };
        }
        let transposed = self.dice.chance(70);
        let dims = if transposed { [outputs, x.len] } else { [x.len, outputs] };
        let weight = self.weights(&dims, deviation);
        let mut attributes = Vec::new();
        if transposed {
            attributes.push(int("transB", 1));
        }
        if self.may(Feature::GemmFactors, 15) {
            attributes.push(float("alpha", 0.5));
            attributes.push(float("beta", 2.0));
        } else if self.dice.chance(50) {
            attributes.extend([float("alpha", 1.0), float("beta", 1.0)]);
        }
        let mut inputs = vec![x.name.clone(), weight];
        // The bias may be left out from operator set 11 on.
        if self.opset < 11 || self.dice.chance(80) {
            let dims: &[usize] = match self.dice.range(0, 4) {
                0 => &[1, outputs],
                1 => &[1],
                2 => &[],
                _ => &[outputs],
            };
            let bias = bias[..dims.iter().product()].to_vec();
            inputs.push(self.floats(dims, bias));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let name = self.node("Gemm", &inputs, attributes);
        Vector { name, len: outputs }
    }
}
