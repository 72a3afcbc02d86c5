//! Operators other than those of plain residual networks: gates and functions by table, and such as have no int8
//! form, which `--partition` leaves in float at the network's ends.

use super::builder::{Builder, Map};
use super::ends::Vector;
use super::features::Feature;
use crate::common::onnx::{float, int, string};

impl Builder {
    /// Before the network: on the image.
    pub fn foreign_head(&mut self, x: &Map) -> Map {
        self.note(Feature::ForeignHead);
        let x = self.foreign(x);
        if self.dice.chance(50) {
            let conv = self.conv(&x, 6, super::layers::Window::square(3, 1), 1);
            return self.foreign(&conv);
        }
        x
    }

    /// Between blocks, where nothing can be left in float, or where it can: what is refused must be
    /// refused by `check`, too.
    pub fn foreign_middle(&mut self, x: &Map) -> Map {
        self.note(Feature::ForeignMiddle);
        match self.dice.range(0, 4) {
            0 => {
                // A window cut out.
                let (starts, ends) = (self.ints(&[1, 0]), self.ints(&[i64::MAX, i64::MAX]));
                let axes = self.ints(&[2, 3]);
                if self.opset < 10 || x.size[0] < 2 {
                    return self.foreign(x);
                }
                let name = self.node("Slice", &[&x.name, &starts, &ends, &axes], Vec::new());
                Map { name, size: [x.size[0] - 1, x.size[1]], ..x.clone() }
            }
            1 => {
                let other = self.relu(x);
                let name = self.node("Concat", &[&x.name, &other.name], vec![int("axis", 1)]);
                Map { name, channels: 2 * x.channels, ..x.clone() }
            }
            2 => {
                // Squeeze and excitation.
                let pooled = self.global_average_pool(x);
                let gate = self.same("Sigmoid", &pooled, &[], Vec::new());
                self.same("Mul", x, &[&gate.name], Vec::new())
            }
            3 if self.opset >= 8 => {
                let other = self.relu(x);
                self.same("Sum", x, &[&other.name, &x.name], Vec::new())
            }
            _ => self.foreign(x),
        }
    }

    /// Behind the network's blocks: on a map.
    pub fn foreign_tail(&mut self, x: &Map) -> Map {
        self.note(Feature::ForeignTail);
        self.foreign(x)
    }

    /// Behind the network: on the scores.
    pub fn foreign_scores(&mut self, x: &Vector) -> Vector {
        self.note(Feature::ForeignTail);
        let map = Map { name: x.name.clone(), channels: x.len, size: [1, 1] };
        let map = self.smooth(&map);
        Vector { name: map.name, len: x.len }
    }

    /// A map of the same shape.
    fn foreign(&mut self, x: &Map) -> Map {
        match self.dice.range(0, 4) {
            0 => {
                let c = x.channels;
                let scale = self.dice.uniforms(c, 0.5, 1.5);
                let scale = self.floats(&[c], scale);
                let shift = self.dice.normals(c, 0.3);
                let shift = self.floats(&[c], shift);
                self.same(
                    "InstanceNormalization",
                    x,
                    &[&scale, &shift],
                    vec![float("epsilon", 1e-3)],
                )
            }
            1 => {
                // Swish.
                let gate = self.same("Sigmoid", x, &[], Vec::new());
                self.same("Mul", x, &[&gate.name], Vec::new())
            }
            2 => {
                let slope = self.dice.uniforms(x.channels, 0.05, 0.4);
                let slope = self.floats(&[x.channels, 1, 1], slope);
                self.same("PRelu", x, &[&slope], Vec::new())
            }
            3 if self.opset >= 11 && x.size.iter().all(|&s| s > 1) => {
                let pads = self.ints(&[0, 0, 1, 1, 0, 0, 1, 1]);
                let padded = self.node("Pad", &[&x.name, &pads], vec![string("mode", "reflect")]);
                Map { name: padded, size: x.size.map(|s| s + 2), ..x.clone() }
            }
            _ => self.smooth(x),
        }
    }

    /// A function of each element.
    fn smooth(&mut self, x: &Map) -> Map {
        match self.dice.range(0, 6) {
            0 => self.same("Sigmoid", x, &[], Vec::new()),
            1 => self.same("Tanh", x, &[], Vec::new()),
            2 => self.same("Elu", x, &[], vec![float("alpha", 0.7)]),
            3 => self.same("HardSigmoid", x, &[], vec![float("alpha", 0.25)]),
            4 => self.same("Softplus", x, &[], Vec::new()),
            5 if self.opset >= 14 => self.same("HardSwish", x, &[], Vec::new()),
            _ => self.same("LeakyRelu", x, &[], vec![float("alpha", 0.1)]),
        }
    }
}
