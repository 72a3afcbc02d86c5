//! Convolutions, normalizations, activation functions and pools.

use tract_onnx::pb::AttributeProto;

use super::builder::{Builder, Map, optional_int, signed_axis};
use super::features::Feature;
use crate::common::onnx::{float, int, ints, string};

#[derive(Debug, Clone, Copy)]
pub enum Padding {
    /// Top, left, bottom, right.
    Explicit([usize; 4]),
    SameUpper,
    SameLower,
    Valid,
}

/// A window over a map.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    pub padding: Padding,
    pub ceil_mode: bool,
}

impl Window {
    pub fn square(kernel: usize, stride: usize) -> Self {
        let pad = (kernel - 1) / 2;
        Self {
            kernel: [kernel; 2],
            strides: [stride; 2],
            dilations: [1; 2],
            padding: Padding::Explicit([pad; 4]),
            ceil_mode: false,
        }
    }

    /// Rows and columns of the output; none if the window is larger than the padded map.
    pub fn output(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let extent = (self.kernel[axis] - 1) * self.dilations[axis] + 1;
            let pads = match self.padding {
                Padding::Explicit(pads) => [pads[axis], pads[axis + 2]],
                Padding::Valid => [0; 2],
                _ => return Some(size[axis].div_ceil(self.strides[axis])),
            };
            let span = (size[axis] + pads[0] + pads[1]).checked_sub(extent)?;
            if !self.ceil_mode {
                return Some(span / self.strides[axis] + 1);
            }
            let count = span.div_ceil(self.strides[axis]) + 1;
            // The last window starts inside the map or its leading padding.
            let outside = (count - 1) * self.strides[axis] >= size[axis] + pads[0];
            Some(count - usize::from(outside))
        };
        Some([along(0)?, along(1)?])
    }

    /// The padding that `auto_pad` and `ceil_mode` come to: top, left, bottom, right.
    fn explicit_pads(&self, size: [usize; 2]) -> Option<[usize; 4]> {
        let output = self.output(size)?;
        let mut all = [0; 4];
        for axis in 0..2 {
            let extent = (self.kernel[axis] - 1) * self.dilations[axis] + 1;
            let covered = (output[axis] - 1) * self.strides[axis] + extent;
            let total = covered.saturating_sub(size[axis]);
            let pads = match self.padding {
                Padding::Explicit(pads) => {
                    let after = covered.saturating_sub(size[axis] + pads[axis]);
                    [pads[axis], pads[axis + 2].max(after)]
                }
                Padding::Valid => [0, total],
                Padding::SameUpper => [total / 2, total - total / 2],
                Padding::SameLower => [total - total / 2, total / 2],
            };
            (all[axis], all[axis + 2]) = (pads[0], pads[1]);
        }
        Some(all)
    }
}

impl Builder {
    /// A window that fits `size`.
    fn window(&mut self, size: [usize; 2], pool: bool) -> Window {
        for _ in 0..20 {
            let window = self.any_window(pool);
            if window.output(size).is_some() {
                return window;
            }
        }
        Window { padding: Padding::Explicit([0; 4]), ..Window::square(1, 1) }
    }

    fn any_window(&mut self, pool: bool) -> Window {
        let dice = &mut self.dice;
        let side = |dice: &mut super::dice::Dice| dice.pick(&[1, 2, 2, 3, 3, 3, 4, 5, 7]);
        let mut kernel = [side(dice); 2];
        if dice.chance(25) {
            kernel[1] = side(dice);
        }
        let mut strides = [dice.pick(&[1, 1, 1, 2, 2, 3]); 2];
        if dice.chance(15) {
            strides[1] = dice.range(1, 3);
        }
        let mut dilations = [1; 2];
        if !pool && self.may(Feature::Dilations, 12) {
            dilations = [self.dice.range(1, 3), self.dice.range(1, 3)];
        }
        let padding = self.padding(kernel, pool);
        let ceil_mode = pool && self.opset >= 10 && self.dice.chance(20);
        Window { kernel, strides, dilations, padding, ceil_mode }
    }

    fn padding(&mut self, kernel: [usize; 2], pool: bool) -> Padding {
        let half = kernel.map(|k| (k - 1) / 2);
        let [kh, kw] = kernel;
        if self.may(Feature::AutoPad, 12) {
            let all = [Padding::SameUpper, Padding::SameLower, Padding::Valid];
            return self.dice.pick(&all);
        }
        if !pool && self.may(Feature::PadsOfTheWholeKernel, 6) {
            return Padding::Explicit([kh, kw, kh, kw].map(|k| self.dice.range(0, k + 1)));
        }
        if self.may(Feature::AsymmetricPads, 20) {
            return Padding::Explicit([kh, kw, kh, kw].map(|k| self.dice.range(0, k - 1)));
        }
        match self.dice.range(0, 3) {
            0 => Padding::Explicit([0; 4]),
            _ => Padding::Explicit([half[0], half[1], half[0], half[1]]),
        }
    }

    fn window_attributes(&mut self, window: &Window, kernel_shape: bool) -> Vec<AttributeProto> {
        let signed = |values: &[usize]| values.iter().map(|&v| v as i64).collect::<Vec<_>>();
        let mut attributes = Vec::new();
        if kernel_shape {
            attributes.push(ints("kernel_shape", &signed(&window.kernel)));
        }
        if window.strides != [1, 1] || self.dice.chance(70) {
            attributes.push(ints("strides", &signed(&window.strides)));
        }
        if window.dilations != [1, 1] {
            attributes.push(ints("dilations", &signed(&window.dilations)));
        }
        match window.padding {
            Padding::Explicit(pads) => {
                if pads != [0; 4] || self.dice.chance(50) {
                    attributes.push(ints("pads", &signed(&pads)));
                }
                if self.dice.chance(10) {
                    attributes.push(string("auto_pad", "NOTSET"));
                }
            }
            Padding::SameUpper => attributes.push(string("auto_pad", "SAME_UPPER")),
            Padding::SameLower => attributes.push(string("auto_pad", "SAME_LOWER")),
            Padding::Valid => attributes.push(string("auto_pad", "VALID")),
        }
        if window.ceil_mode {
            attributes.push(int("ceil_mode", 1));
        }
        attributes
    }

    /// Keeps what a window's implicit padding comes to, for an oracle that reckons it wrongly.
    fn note_pads(&mut self, output: &str, window: &Window, size: [usize; 2]) {
        let same = matches!(window.padding, Padding::SameUpper | Padding::SameLower);
        if let Some(pads) = window.explicit_pads(size).filter(|_| same || window.ceil_mode) {
            self.implicit_pads.insert(output.to_string(), pads.map(|p| p as i64));
        }
    }

    /// A convolution of `groups` groups.
    pub fn conv(&mut self, x: &Map, channels: usize, window: Window, groups: usize) -> Map {
        let Some(size) = window.output(x.size) else { return x.clone() };
        let [kh, kw] = window.kernel;
        let fan_in = x.channels / groups * kh * kw;
        let dims = [channels, x.channels / groups, kh, kw];
        let deviation = (2.0 / fan_in as f32).sqrt();
        let weight = if self.may(Feature::ComputedWeights, 4) {
            self.computed_weights(&dims, deviation)
        } else if self.may(Feature::UnevenChannels, 5) {
            let values = self.uneven(channels, fan_in, deviation);
            self.floats(&dims, values)
        } else if self.may(Feature::CastWeights, 2) {
            let values = self.dice.normals(dims.iter().product(), deviation);
            self.cast_floats(&dims, values)
        } else {
            self.weights(&dims, deviation)
        };
        let mut inputs = vec![x.name.clone(), weight];
        if self.dice.chance(40) {
            let bias = self.dice.normals(channels, 0.2);
            inputs.push(self.floats(&[channels], bias));
        }
        let bare = window.strides == [1, 1] && self.may(Feature::NoKernelShape, 5);
        let mut attributes = self.window_attributes(&window, !bare);
        attributes.extend(optional_int(&mut self.dice, "group", groups as i64, 1));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let name = self.node("Conv", &inputs, attributes);
        self.note_pads(&name, &window, x.size);
        Map { name, channels, size }
    }

    /// Filters of very different sizes, some of nothing but zeros.
    fn uneven(&mut self, channels: usize, fan_in: usize, deviation: f32) -> Vec<f32> {
        let mut values = Vec::with_capacity(channels * fan_in);
        for _ in 0..channels {
            let size = match self.may(Feature::ZeroFilter, 15) {
                true => 0.0,
                false => self.dice.pick(&[1.0, 0.1, 0.01, 1e-4, 2.0]),
            };
            values.extend(self.dice.normals(fan_in, deviation * size));
        }
        values
    }

    /// Weights that a node makes of others.
    fn computed_weights(&mut self, dims: &[usize; 4], deviation: f32) -> String {
        let [o, i, h, w] = *dims;
        match self.dice.range(0, 3) {
            0 => {
                let plain = self.weights(&[o, i * h * w], deviation);
                let shape = self.ints(&dims.map(|d| d as i64));
                self.node("Reshape", &[&plain, &shape], Vec::new())
            }
            1 => {
                let turned = self.weights(&[h, w, i, o], deviation);
                self.node("Transpose", &[&turned], vec![ints("perm", &[3, 2, 0, 1])])
            }
            2 => {
                let plain = self.weights(dims, deviation);
                let gain = self.dice.uniforms(o, 0.5, 1.5);
                let gain = self.floats(&[o, 1, 1, 1], gain);
                self.node("Mul", &[&plain, &gain], Vec::new())
            }
            _ => {
                let plain = self.weights(dims, deviation);
                let mean = self.dice.normals(i, deviation * 0.1);
                let mean = self.floats(&[1, i, 1, 1], mean);
                self.node("Sub", &[&plain, &mean], Vec::new())
            }
        }
    }

    /// A convolution of any kind.
    pub fn any_conv(&mut self, x: &Map) -> Map {
        let window = self.window(x.size, false);
        let mut groups = 1;
        let mut channels = self.dice.range(1, 40);
        if self.may(Feature::Depthwise, 15) {
            groups = x.channels;
            channels = groups * self.dice.pick(&[1, 1, 1, 2]);
        } else if self.may(Feature::Groups, 15) {
            let divisors: Vec<usize> =
                (1..=x.channels).filter(|g| x.channels.is_multiple_of(*g)).collect();
            groups = self.dice.pick(&divisors);
            channels = groups * self.dice.range(1, (40 / groups).max(1));
        }
        self.conv(x, channels, window, groups)
    }

    /// A batch norm in one of its spellings.
    pub fn norm(&mut self, x: &Map) -> Map {
        match self.dice.range(0, 9) {
            0 if self.may(Feature::BatchNormOfParts, 30) => self.norm_of_parts(x),
            0 if self.may(Feature::MulAdd, 100) => self.mul_add(x),
            1 if self.may(Feature::SubDiv, 100) => self.sub_div(x),
            2 => x.clone(),
            _ => self.batch_norm(x),
        }
    }

    pub fn batch_norm(&mut self, x: &Map) -> Map {
        self.note(Feature::BatchNorm);
        let c = x.channels;
        let mut gamma = self.dice.uniforms(c, 0.5, 1.5);
        if self.dice.chance(20) {
            gamma.iter_mut().for_each(|g| *g = if self.dice.chance(50) { -*g } else { *g });
        }
        if self.may(Feature::BatchNormZeroGamma, 3) {
            gamma.fill(0.0);
        }
        let beta = self.dice.normals(c, 0.3);
        let mean = self.dice.normals(c, 0.3);
        let variance = self.dice.uniforms(c, 0.4, 2.0);
        let parameters = [gamma, beta, mean, variance].map(|values| self.floats(&[c], values));
        let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
        let mut attributes = Vec::new();
        if self.dice.chance(60) {
            let epsilon = self.dice.pick(&[1e-5, 1e-3, 1e-4, 2e-5]);
            attributes.push(float("epsilon", epsilon));
        }
        if self.dice.chance(40) {
            attributes.push(float("momentum", 0.9));
        }
        if self.opset < 9 && self.dice.chance(40) {
            let spatial = i64::from(!self.may(Feature::BatchNormSpatial0, 50));
            attributes.push(int("spatial", spatial));
        }
        let map = self.same("BatchNormalization", x, &parameters, attributes);
        if self.opset < 9 && self.may(Feature::BatchNormFiveOutputs, 4) {
            let more: Vec<String> =
                ["mean", "var", "saved_mean", "saved_var"].map(|stem| self.fresh(stem)).to_vec();
            self.last_node().output.extend(more);
        }
        map
    }

    /// One number a channel, or one for all, as an operand of `rank` 4.
    pub fn per_channel(
        &mut self,
        x: &Map,
        values: impl Fn(&mut super::dice::Dice, usize) -> Vec<f32>,
    ) -> String {
        let c = x.channels;
        let dims: &[usize] = match self.dice.range(0, 4) {
            0 => &[],
            1 => &[1],
            2 => &[1, c, 1, 1],
            _ => &[c, 1, 1],
        };
        let values = values(&mut self.dice, dims.iter().product());
        self.floats(dims, values)
    }

    /// `node op x` or `x op constant`.
    fn binary(&mut self, op: &str, x: &Map, constant: &str, either: bool) -> Map {
        if either && self.dice.chance(30) {
            let name = self.node(op, &[constant, &x.name], Vec::new());
            return Map { name, ..x.clone() };
        }
        self.same(op, x, &[constant], Vec::new())
    }

    fn mul_add(&mut self, x: &Map) -> Map {
        let scale = self.per_channel(x, |dice, n| dice.uniforms(n, 0.4, 1.6));
        let shift = self.per_channel(x, |dice, n| dice.normals(n, 0.3));
        let x = self.binary("Mul", x, &scale, true);
        self.binary("Add", &x, &shift, true)
    }

    /// A batch norm as arithmetic on its constants: `x * (gamma / sqrt(variance + epsilon)) + ...`.
    fn norm_of_parts(&mut self, x: &Map) -> Map {
        let dims = [x.channels, 1, 1];
        let gamma = self.dice.uniforms(x.channels, 0.5, 1.5);
        let variance = self.dice.uniforms(x.channels, 0.4, 2.0);
        let shift = self.dice.normals(x.channels, 0.3);
        let [gamma, variance, shift] = [gamma, variance, shift].map(|v| self.floats(&dims, v));
        let epsilon = self.floats(&[], vec![1e-3]);
        let spread = self.node("Add", &[&variance, &epsilon], Vec::new());
        let deviation = self.node("Sqrt", &[&spread], Vec::new());
        let scale = match self.dice.chance(50) {
            true => self.node("Div", &[&gamma, &deviation], Vec::new()),
            false => {
                let inverse = self.node("Reciprocal", &[&deviation], Vec::new());
                self.node("Mul", &[&inverse, &gamma], Vec::new())
            }
        };
        let shift = match self.dice.chance(50) {
            true => self.node("Neg", &[&shift], Vec::new()),
            false => shift,
        };
        let scaled = self.same("Mul", x, &[&scale], Vec::new());
        self.same("Add", &scaled, &[&shift], Vec::new())
    }

    fn sub_div(&mut self, x: &Map) -> Map {
        let mean = self.per_channel(x, |dice, n| dice.normals(n, 0.3));
        let deviation = self.per_channel(x, |dice, n| dice.uniforms(n, 0.6, 1.8));
        let x = match self.may(Feature::ConstantMinusMap, 30) {
            true => {
                let name = self.node("Sub", &[&mean, &x.name], Vec::new());
                Map { name, ..x.clone() }
            }
            false => self.same("Sub", x, &[&mean], Vec::new()),
        };
        self.binary("Div", &x, &deviation, false)
    }

    /// An activation function, or none.
    pub fn activation(&mut self, x: &Map) -> Map {
        match self.dice.range(0, 11) {
            0 => x.clone(),
            1..=2 => self.clip(x),
            3 if self.opset >= 8 && self.may(Feature::MinMax, 100) => self.min_max(x),
            _ => self.relu(x),
        }
    }

    pub fn relu(&mut self, x: &Map) -> Map {
        self.same("Relu", x, &[], Vec::new())
    }

    pub fn clip(&mut self, x: &Map) -> Map {
        self.note(Feature::Clip);
        let once = self.one_clip(x);
        if self.may(Feature::ClipAfterClip, 10) { self.one_clip(&once) } else { once }
    }

    fn one_clip(&mut self, x: &Map) -> Map {
        let (min, max) = match self.dice.range(0, 5) {
            4 if self.may(Feature::OddClip, 30) => {
                // Bounds that leave little, or have 0 outside.
                let (low, high) =
                    self.dice.pick(&[(0.2, 1.5), (-1.5, -0.2), (0.0, 0.3), (-0.1, 2.0)]);
                (Some(low), Some(high))
            }
            0 => (Some(0.0), None),
            1 => (None, Some(self.dice.uniform(1.0, 3.0))),
            2 => (Some(self.dice.uniform(-2.0, -0.5)), Some(self.dice.uniform(0.5, 2.0))),
            _ => (Some(0.0), Some(6.0)),
        };
        if self.opset < 11 {
            let bounds = [min.map(|v| float("min", v)), max.map(|v| float("max", v))];
            return self.same("Clip", x, &[], bounds.into_iter().flatten().collect());
        }
        let min = min.map_or_else(String::new, |v| self.floats(&[], vec![v]));
        let mut bounds = vec![min];
        if let Some(max) = max {
            bounds.push(self.floats(&[], vec![max]));
        } else if self.dice.chance(50) {
            bounds.push(String::new());
        }
        let bounds: Vec<&str> = bounds.iter().map(String::as_str).collect();
        self.same("Clip", x, &bounds, Vec::new())
    }

    fn min_max(&mut self, x: &Map) -> Map {
        let dims: &[usize] = if self.dice.chance(50) { &[] } else { &[1] };
        let low = self.floats(dims, vec![0.0]);
        let x = self.binary("Max", x, &low, true);
        if self.dice.chance(40) {
            return x;
        }
        let high = self.dice.pick(&[6.0, 1.5, 3.0]);
        let high = self.floats(dims, vec![high]);
        self.binary("Min", &x, &high, true)
    }

    /// A pool of any kind.
    pub fn any_pool(&mut self, x: &Map) -> Map {
        if self.dice.chance(55) { self.any_max_pool(x) } else { self.any_average_pool(x) }
    }

    fn any_max_pool(&mut self, x: &Map) -> Map {
        let mut window = self.window(x.size, true);
        if self.opset >= 10 && self.may(Feature::CeilModeOnMaxPoolValid, 5) {
            (window.padding, window.ceil_mode) = (Padding::Valid, true);
            if window.output(x.size).is_none() {
                window.kernel = [1, 1];
            }
        }
        self.max_pool(x, window)
    }

    pub fn max_pool(&mut self, x: &Map, window: Window) -> Map {
        let Some(size) = window.output(x.size) else { return x.clone() };
        self.note(Feature::MaxPool);
        if window.ceil_mode {
            self.note(Feature::CeilMode);
        }
        let mut attributes = self.window_attributes(&window, true);
        if self.opset >= 8 && self.dice.chance(10) {
            attributes.push(int("storage_order", 0));
        }
        let name = self.node("MaxPool", &[&x.name], attributes);
        self.note_pads(&name, &window, x.size);
        Map { name, size, ..x.clone() }
    }

    fn any_average_pool(&mut self, x: &Map) -> Map {
        let mut window = self.window(x.size, true);
        let no_pads = |window: &Window| match window.padding {
            Padding::Explicit(pads) => pads == [0; 4],
            Padding::Valid => true,
            _ => false,
        };
        let mut count_include_pad = false;
        if !no_pads(&window) || window.ceil_mode {
            if self.may(Feature::AveragePoolCountingPads, 50) {
                count_include_pad = true;
            } else if !self.may(Feature::AveragePoolPadded, 100) {
                (window.padding, window.ceil_mode) = (Padding::Explicit([0; 4]), false);
                if window.output(x.size).is_none() {
                    window.kernel = [1, 1];
                }
            }
        }
        self.average_pool(x, window, count_include_pad)
    }

    pub fn average_pool(&mut self, x: &Map, window: Window, count_include_pad: bool) -> Map {
        let Some(size) = window.output(x.size) else { return x.clone() };
        self.note(Feature::AveragePool);
        if window.ceil_mode {
            self.note(Feature::CeilMode);
        }
        let mut attributes = self.window_attributes(&window, true);
        let count = i64::from(count_include_pad);
        attributes.extend(optional_int(&mut self.dice, "count_include_pad", count, 0));
        let name = self.node("AveragePool", &[&x.name], attributes);
        self.note_pads(&name, &window, x.size);
        Map { name, size, ..x.clone() }
    }

    pub fn global_average_pool(&mut self, x: &Map) -> Map {
        self.note(Feature::GlobalAveragePool);
        let name = self.node("GlobalAveragePool", &[&x.name], Vec::new());
        Map { name, size: [1, 1], ..x.clone() }
    }

    /// A mean over `axes` of a tensor of rank 4; the name of the result.
    pub fn reduce_mean(&mut self, x: &str, axes: [usize; 2], keep: bool) -> String {
        self.note(Feature::ReduceMean);
        let axes = match self.opset >= 11 {
            true => axes.map(|axis| signed_axis(&mut self.dice, axis, 4)),
            false => axes.map(|axis| axis as i64),
        };
        let mut inputs = vec![x.to_string()];
        let mut attributes = optional_int(&mut self.dice, "keepdims", i64::from(keep), 1);
        self.list(18, "axes", &axes, &mut inputs, &mut attributes);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.node("ReduceMean", &inputs, attributes)
    }

    /// Zero padding before and after each of four axes.
    pub fn pad(&mut self, x: &str, before: [usize; 4], after: [usize; 4]) -> String {
        let pads: Vec<i64> = before.iter().chain(&after).map(|&p| p as i64).collect();
        let (mut inputs, mut attributes) = (vec![x.to_string()], Vec::new());
        if self.dice.chance(50) {
            attributes.push(string("mode", "constant"));
        }
        if self.opset >= 18 && self.dice.chance(30) {
            // Only the axes that are padded.
            let axes: Vec<usize> = (0..4).filter(|&a| before[a] + after[a] > 0).collect();
            let pads: Vec<i64> = axes
                .iter()
                .map(|&a| before[a])
                .chain(axes.iter().map(|&a| after[a]))
                .map(|p| p as i64)
                .collect();
            let axes: Vec<i64> =
                axes.iter().map(|&axis| signed_axis(&mut self.dice, axis, 4)).collect();
            inputs.extend([self.ints(&pads), String::new(), self.ints(&axes)]);
        } else {
            self.list(11, "pads", &pads, &mut inputs, &mut attributes);
            if self.opset < 11 && self.dice.chance(50) {
                attributes.push(float("value", 0.0));
            } else if self.opset >= 11 && self.dice.chance(50) {
                inputs.push(self.floats(&[], vec![0.0]));
            }
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.node("Pad", &inputs, attributes)
    }

    /// Zero rows and columns around a map.
    pub fn pad_map(&mut self, x: &Map, [top, left, bottom, right]: [usize; 4]) -> Map {
        let name = self.pad(&x.name, [0, 0, top, left], [0, 0, bottom, right]);
        let size = [x.size[0] + top + bottom, x.size[1] + left + right];
        Map { name, size, ..x.clone() }
    }

    /// Every `stride`-th row and column.
    pub fn strided_slice(&mut self, x: &Map, stride: usize) -> Map {
        self.note(Feature::StridedSlice);
        let far = self.dice.pick(&[i64::MAX, i64::from(i32::MAX), 1 << 20]);
        let (starts, step) = (self.ints(&[0, 0]), stride as i64);
        let ends = match self.dice.chance(30) {
            true => self.ints(&x.size.map(|s| s as i64)),
            false => self.ints(&[far, far]),
        };
        let axes = [2, 3].map(|axis| signed_axis(&mut self.dice, axis, 4));
        let (axes, steps) = (self.ints(&axes), self.ints(&[step, step]));
        let name = self.node("Slice", &[&x.name, &starts, &ends, &axes, &steps], Vec::new());
        Map { name, size: x.size.map(|s| s.div_ceil(stride)), ..x.clone() }
    }
}
