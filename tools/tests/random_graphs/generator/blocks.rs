//! Residual blocks of every kind, and what else stands in the middle of a network.

use super::builder::{Builder, Map};
use super::features::Feature;
use super::layers::{Padding, Window};
use crate::common::onnx::{float, floats, int, ints, tensor};

impl Builder {
    /// One block or layer.
    pub fn block(&mut self, x: &Map) -> Map {
        let y = self.one_block(x);
        let fits = |map: &Map| map.size == y.size && map.channels == y.channels && *map != y;
        let earlier = self.maps.iter().rev().find(|map| fits(map)).cloned();
        let y = match earlier {
            Some(earlier) if self.may(Feature::FarAddition, 15) => self.add(&y, &earlier),
            _ => y,
        };
        self.maps.push(y.clone());
        y
    }

    fn one_block(&mut self, x: &Map) -> Map {
        match self.dice.range(0, 19) {
            0..=3 => self.basic(x),
            4..=5 => self.bottleneck(x),
            6 => self.pre_activation(x),
            7 => self.option_a(x),
            8 => self.inverted_residual(x),
            9 => self.odd_addition(x),
            10 => self.turned(x),
            11 => self.passing(x),
            12 => self.padded(x),
            13 => self.any_pool(x),
            _ => self.plain(x),
        }
    }

    fn plain(&mut self, x: &Map) -> Map {
        let x = self.any_conv(x);
        let x = self.norm(&x);
        self.activation(&x)
    }

    fn conv_norm(&mut self, x: &Map, channels: usize, kernel: usize, stride: usize) -> Map {
        let x = self.conv(x, channels, Window::square(kernel, stride), 1);
        self.norm(&x)
    }

    /// `a + b`, in one of its spellings.
    fn add(&mut self, a: &Map, b: &Map) -> Map {
        let (a, b) = if self.dice.chance(50) { (a, b) } else { (b, a) };
        let op = if self.opset >= 8 && self.may(Feature::Sum, 10) { "Sum" } else { "Add" };
        self.same(op, a, &[&b.name], Vec::new())
    }

    fn stride(&mut self, x: &Map) -> usize {
        if x.size[0].min(x.size[1]) >= 4 { self.dice.pick(&[1, 1, 2]) } else { 1 }
    }

    fn basic(&mut self, x: &Map) -> Map {
        self.note(Feature::BasicBlock);
        let stride = self.stride(x);
        let channels = match stride == 1 && self.dice.chance(60) {
            true => x.channels,
            false => self.dice.range(1, 36),
        };
        let kernel = self.dice.pick(&[3, 3, 3, 1, 5]);
        let branch = self.conv_norm(x, channels, kernel, stride);
        let branch = self.activation(&branch);
        let branch = self.conv_norm(&branch, channels, 3, 1);
        self.shortcut(x, &branch, stride)
    }

    fn bottleneck(&mut self, x: &Map) -> Map {
        self.note(Feature::Bottleneck);
        let stride = self.stride(x);
        let channels = match stride == 1 && self.dice.chance(60) {
            true => x.channels,
            false => self.dice.range(2, 40),
        };
        let inner = self.dice.range(1, 12);
        let branch = self.conv_norm(x, inner, 1, 1);
        let branch = self.activation(&branch);
        let branch = self.conv_norm(&branch, inner, 3, stride);
        let branch = self.activation(&branch);
        let branch = self.conv_norm(&branch, channels, 1, 1);
        self.shortcut(x, &branch, stride)
    }

    /// Adds the shortcut of a block, which changes as much as the branch does.
    fn shortcut(&mut self, x: &Map, branch: &Map, stride: usize) -> Map {
        let mut short = x.clone();
        if stride > 1 && self.may(Feature::PooledShortcut, 25) {
            short = self.pooled_shortcut(x, stride);
        }
        if short.size != branch.size || short.channels != branch.channels {
            self.note(Feature::Projection);
            let stride = if short.size == branch.size { 1 } else { stride };
            short = self.conv_norm(&short, branch.channels, 1, stride);
        }
        let sum = self.add(branch, &short);
        let sum = self.activation(&sum);
        if sum.size == x.size && sum.channels == x.channels && self.may(Feature::SharedShortcut, 8)
        {
            return self.add(&sum, x);
        }
        sum
    }

    /// ResNet-D's average pool, or a pool of one pixel that only takes every other.
    fn pooled_shortcut(&mut self, x: &Map, stride: usize) -> Map {
        let one = Window { padding: Padding::Explicit([0; 4]), ..Window::square(1, stride) };
        match self.dice.range(0, 2) {
            0 => self.max_pool(x, one),
            1 => self.average_pool(x, one, false),
            // Only where its size is that of the branch.
            _ if x.size.iter().all(|s| s % 2 == 0) => {
                let two = Window { kernel: [2, 2], ..one };
                self.average_pool(x, two, false)
            }
            _ => x.clone(),
        }
    }

    fn pre_activation(&mut self, x: &Map) -> Map {
        self.note(Feature::PreActivation);
        let normed = self.batch_norm(x);
        let active = self.activation(&normed);
        let stride = self.stride(x);
        let channels = if stride == 1 { x.channels } else { self.dice.range(1, 32) };
        let branch = self.conv_norm(&active, channels, 3, stride);
        let branch = self.activation(&branch);
        let branch = self.conv(&branch, channels, Window::square(3, 1), 1);
        let short = match stride {
            1 => x.clone(),
            _ => self.conv(&active, channels, Window::square(1, stride), 1),
        };
        self.add(&branch, &short)
    }

    /// A shortcut without weights: every other pixel, and zero channels.
    fn option_a(&mut self, x: &Map) -> Map {
        let stride = if self.opset >= 10 { self.stride(x) } else { 1 };
        let (before, after) = match self.dice.range(0, 2) {
            0 if self.dice.chance(30) => (0, x.channels),
            0 => (0, self.dice.range(1, 9)),
            1 => (self.dice.range(1, 9), 0),
            _ => (self.dice.range(1, 6), self.dice.range(1, 6)),
        };
        let channels = before + x.channels + after;
        let mut short = x.clone();
        if stride > 1 {
            short = self.strided_slice(&short, stride);
        }
        short.name = if self.may(Feature::OptionAConcat, 50) {
            self.concat_zeros(&short, before, after)
        } else {
            self.note(Feature::OptionASlicePad);
            self.pad(&short.name, [0, before, 0, 0], [0, after, 0, 0])
        };
        short.channels = channels;
        let branch = self.conv_norm(x, channels, 3, stride);
        let branch = self.activation(&branch);
        let branch = self.conv_norm(&branch, channels, 3, 1);
        let sum = self.add(&branch, &short);
        self.activation(&sum)
    }

    fn concat_zeros(&mut self, x: &Map, before: usize, after: usize) -> String {
        if after == x.channels && before == 0 && self.may(Feature::OptionATimesZero, 100) {
            let zero = self.floats(&[], vec![0.0]);
            let zeros = self.same("Mul", x, &[&zero], Vec::new());
            return self.node("Concat", &[&x.name, &zeros.name], vec![int("axis", 1)]);
        }
        let mut inputs = Vec::new();
        for channels in [before, after] {
            if channels > 0 {
                let dims = [1, channels, x.size[0], x.size[1]];
                inputs.push(self.zeros(&dims));
            }
        }
        inputs.insert(usize::from(before > 0), x.name.clone());
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.node("Concat", &inputs, vec![int("axis", 1)])
    }

    fn zeros(&mut self, dims: &[usize; 4]) -> String {
        if self.opset >= 9 && self.may(Feature::ZerosOfShape, 40) {
            let shape = self.ints(&dims.map(|d| d as i64));
            let value = match self.may(Feature::ZerosOfShapeByDefault, 50) {
                true => Vec::new(),
                false => vec![tensor("value", floats("", &[1], vec![0.0]))],
            };
            return self.node("ConstantOfShape", &[&shape], value);
        }
        self.floats(dims, vec![0.0; dims.iter().product()])
    }

    fn inverted_residual(&mut self, x: &Map) -> Map {
        self.note(Feature::InvertedResidual);
        let stride = self.stride(x);
        let inner = x.channels * self.dice.range(1, 3);
        let wide = self.conv_norm(x, inner, 1, 1);
        let wide = self.clip(&wide);
        self.note(Feature::Depthwise);
        let deep = self.conv(&wide, inner, Window::square(3, stride), inner);
        let deep = self.norm(&deep);
        let deep = self.clip(&deep);
        let narrow = self.conv_norm(&deep, x.channels, 1, 1);
        if stride == 1 { self.add(&narrow, x) } else { narrow }
    }

    /// Additions that are no block's.
    fn odd_addition(&mut self, x: &Map) -> Map {
        let sum = match self.dice.range(0, 3) {
            0 => {
                self.note(Feature::AddOfItself);
                self.add(x, x)
            }
            1 => {
                self.note(Feature::TwoConvolutionsAdded);
                let channels = self.dice.range(1, 30);
                let a = self.conv_norm(x, channels, 3, 1);
                let b = self.conv_norm(x, channels, 1, 1);
                self.add(&a, &b)
            }
            2 => {
                let a = self.relu(x);
                self.add(&a, x)
            }
            _ => {
                let pooled = self.max_pool(x, Window::square(3, 1));
                self.add(&pooled, x)
            }
        };
        self.activation(&sum)
    }

    /// NCHW to NHWC, something there, and back.
    fn turned(&mut self, x: &Map) -> Map {
        self.note(Feature::Transposed);
        let c = x.channels;
        let mut name = self.node("Transpose", &[&x.name], vec![ints("perm", &[0, 2, 3, 1])]);
        if self.dice.chance(50) {
            let scale = self.dice.uniforms(c, 0.5, 1.5);
            let scale = self.floats(&[c], scale);
            name = self.node("Mul", &[&name, &scale], Vec::new());
        }
        if self.dice.chance(50) {
            name = self.node("Relu", &[&name], Vec::new());
        }
        let name = self.node("Transpose", &[&name], vec![ints("perm", &[0, 3, 1, 2])]);
        let back = Map { name, ..x.clone() };
        self.plain(&back)
    }

    /// Nodes that do nothing in inference.
    fn passing(&mut self, x: &Map) -> Map {
        match self.dice.range(0, 4) {
            3 if self.opset >= 15 && self.may(Feature::CastLike, 100) => {
                let like = self.floats(&[], vec![1.0]);
                self.same("CastLike", x, &[&like], Vec::new())
            }
            4 if self.may(Feature::ZeroConstant, 100) => {
                let zero = self.per_channel(x, |_, n| vec![0.0; n]);
                self.same("Add", x, &[&zero], Vec::new())
            }
            0 if self.may(Feature::Dropout, 100) => {
                if self.opset < 12 {
                    return self.same("Dropout", x, &[], vec![float("ratio", 0.3)]);
                }
                let ratio = self.floats(&[], vec![0.3]);
                self.same("Dropout", x, &[&ratio], Vec::new())
            }
            1 if self.may(Feature::Cast, 100) => self.same("Cast", x, &[], vec![int("to", 1)]),
            _ => {
                self.note(Feature::Identity);
                self.same("Identity", x, &[], Vec::new())
            }
        }
    }

    /// Zero padding by a node of its own.
    fn padded(&mut self, x: &Map) -> Map {
        let pads = [0; 4].map(|_: usize| self.dice.range(0, 2));
        match self.dice.range(0, 2) {
            0 if self.may(Feature::PadBeforePool, 100) => {
                let active = self.relu(x);
                let padded = self.pad_map(&active, pads.map(|p| p.min(1)));
                let window = Window { padding: Padding::Explicit([0; 4]), ..Window::square(2, 1) };
                match self.dice.chance(50) {
                    true => self.max_pool(&padded, window),
                    false => self.average_pool(&padded, window, false),
                }
            }
            1 if self.may(Feature::PadAlone, 100) => {
                let padded = self.pad_map(x, pads);
                self.relu(&padded)
            }
            _ => {
                self.note(Feature::PadBeforeConv);
                let padded = self.pad_map(x, pads);
                let channels = self.dice.range(1, 32);
                let mut window = Window::square(3, 1);
                // Together with the node's they may be as large as the kernel.
                if !self.may(Feature::PadsOfTheWholeKernel, 50) {
                    window.padding = Padding::Explicit([0; 4]);
                }
                if window.output(padded.size).is_none() {
                    return x.clone();
                }
                let conv = self.conv(&padded, channels, window, 1);
                self.norm(&conv)
            }
        }
    }
}
