//! A generator of random small ONNX networks over all operators that `check` knows, from an image to
//! scores.
//!
//! What may not be broken: a seed gives the same network on every machine; activations stay of
//! the order of 1, so that a disagreement is never float rounding; and every network is valid ONNX,
//! whether fixnet takes it or not.

mod blocks;
mod builder;
mod dice;
mod disguise;
mod ends;
pub mod features;
mod foreign;
mod layers;

use std::collections::{BTreeSet, HashMap};

use tools::data::Recipe;
use tract_onnx::pb::{ModelProto, ValueInfoProto};

use crate::common::onnx::{info, int, ints};
use builder::{Builder, Map};
pub use dice::Dice;
use ends::Vector;
use features::Feature;
use layers::Window;

/// A random network and what is to be known about it.
pub struct Network {
    pub seed: u64,
    /// The file.
    pub proto: ModelProto,
    /// The file in the words that every oracle knows.
    pub plain: ModelProto,
    pub features: BTreeSet<Feature>,
    /// Shape of the input with a batch of 1.
    pub shape: Vec<usize>,
    /// The tensor of the scores, before a final Softmax.
    pub scores: String,
    pub softmax: Option<Softmax>,
    pub recipe: Recipe,
    /// Padding of windows that the file leaves to be computed, by the node's output.
    pub implicit_pads: HashMap<String, [i64; 4]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Softmax {
    Plain,
    Log,
}

impl Network {
    pub fn generate(seed: u64) -> Self {
        let mut builder = Builder::new(seed);
        let (shape, image) = builder.image();
        let scores = builder.body(image);
        let (output, softmax) = builder.end(&scores);
        builder.graph().output = vec![typed(&output, &[1, scores.len as i64])];
        let recipe = builder.recipe();
        let implicit_pads = std::mem::take(&mut builder.implicit_pads);
        let (mut plain, mut features) = builder.finish();
        let proto = disguise::disguise(seed, &mut plain, &mut features);
        let scores = scores.name;
        Self { seed, proto, plain, features, shape, scores, softmax, recipe, implicit_pads }
    }
}

fn typed(name: &str, dims: &[i64]) -> ValueInfoProto {
    info(name, dims)
}

impl Builder {
    /// The input, in either layout; its shape, and the image in NCHW.
    fn image(&mut self) -> (Vec<usize>, Map) {
        let high = self.dice.range(5, 17);
        let wide = if self.dice.chance(70) { high } else { self.dice.range(5, 17) };
        let size = [high, wide];
        let batch = if self.may(Feature::SymbolicBatch, 25) { -1 } else { 1 };
        let [h, w] = size.map(|s| s as i64);
        let name = if self.dice.chance(50) { "input" } else { "x" }.to_string();
        if self.may(Feature::NhwcInput, 15) {
            self.graph().input = vec![info(&name, &[batch, h, w, 3])];
            let turned = self.node("Transpose", &[&name], vec![ints("perm", &[0, 3, 1, 2])]);
            return (vec![1, high, wide, 3], Map { name: turned, channels: 3, size });
        }
        self.graph().input = vec![info(&name, &[batch, 3, h, w])];
        (vec![1, 3, high, wide], Map { name, channels: 3, size })
    }

    fn body(&mut self, image: Map) -> Vector {
        let mut x = image;
        // What is foreign stands at one end or at both.
        let (head, tail) = match self.dice.range(0, 9) {
            0 => (true, false),
            1 => (false, true),
            2 => (true, true),
            _ => (false, false),
        };
        if self.dice.chance(15) {
            x = self.norm(&x);
        }
        if head {
            x = self.foreign_head(&x);
        }
        x = self.stem(&x);
        let blocks = self.dice.range(0, 4);
        let middle = self.dice.chance(5).then(|| self.dice.range(0, blocks));
        for index in 0..blocks {
            let last = x.clone();
            if middle == Some(index) {
                x = self.foreign_middle(&x);
            }
            x = self.block(&x);
            if self.may(Feature::DeadBranch, 4) {
                self.relu(&last);
            }
        }
        let on_map = self.dice.chance(50);
        if tail && on_map {
            x = self.foreign_tail(&x);
        }
        let scores = self.scores(&x);
        if tail && !on_map { self.foreign_scores(&scores) } else { scores }
    }

    fn stem(&mut self, x: &Map) -> Map {
        let x = match self.dice.chance(50) {
            true => {
                let (kernel, stride) = (self.dice.pick(&[3, 3, 5, 7]), self.dice.pick(&[1, 2]));
                let channels = self.dice.range(2, 32);
                self.conv(x, channels, Window::square(kernel, stride), 1)
            }
            false => self.any_conv(x),
        };
        let x = self.norm(&x);
        let x = self.activation(&x);
        if self.dice.chance(25) && x.size.iter().all(|&s| s > 2) {
            return self.max_pool(&x, Window::square(3, 2));
        }
        x
    }

    /// The end of the graph: its output, and whether it is a Softmax's.
    fn end(&mut self, scores: &Vector) -> (String, Option<Softmax>) {
        if self.may(Feature::UnflattenedScores, 3) {
            // `[1, classes, 1, 1]`, with a Softmax over the channels and without.
            let shape = self.ints(&[1, scores.len as i64, 1, 1]);
            let image = self.node("Reshape", &[&scores.name, &shape], Vec::new());
            if !self.may(Feature::SoftmaxOfImage, 50) {
                return (image, None);
            }
            return (self.node("Softmax", &[&image], vec![int("axis", 1)]), Some(Softmax::Plain));
        }
        let (op, softmax, feature) = match self.dice.range(0, 9) {
            0 | 1 => ("Softmax", Softmax::Plain, Feature::Softmax),
            2 => ("LogSoftmax", Softmax::Log, Feature::LogSoftmax),
            _ => return (scores.name.clone(), None),
        };
        self.note(feature);
        let axis = if self.opset >= 11 && self.dice.chance(50) { -1 } else { 1 };
        let mut output = self.node(op, &[&scores.name], vec![int("axis", axis)]);
        if self.may(Feature::Identity, 10) {
            output = self.node("Identity", &[&output], Vec::new());
        }
        (output, Some(softmax))
    }

    fn recipe(&mut self) -> Recipe {
        match self.dice.range(0, 2) {
            0 => Recipe::default(),
            1 => Recipe { mean: [0.5; 3], std: [0.25; 3], ..Recipe::default() },
            _ => Recipe {
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
                ..Recipe::default()
            },
        }
    }
}
