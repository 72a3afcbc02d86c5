//! What `run` prints for one image: the best classes, and kernel, work and time of every layer.

use std::cmp::Ordering;
use std::fmt::Write;

use fixnet::Model;
use serde::Serialize;
use serde_json::{Value, json};

use super::LayerTime;
use super::table::{count, left, names, right, shape, table};
use crate::output;

/// One image through one model.
pub struct Inference {
    /// What computed it: `fixnet`, `tract`, or `fixnet+tract`.
    pub backend: &'static str,
    /// File name, or `FILE.bin:INDEX`.
    pub image: String,
    /// CRC-32 of the int8 input, HWC.
    pub input_crc32: u32,
    pub scores: Scores,
    /// How many classes to print.
    pub top: usize,
    pub rows: Vec<Row>,
    /// What was said on the way.
    pub notes: Vec<String>,
}

/// What a network says of an image, one number a class.
#[derive(Debug, Clone, PartialEq)]
pub enum Scores {
    /// The real value is `logit * scale`.
    Int8 {
        logits: Vec<i32>,
        scale: f32,
    },
    Float(Vec<f32>),
}

/// A line of the latency table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub name: String,
    pub kernel: String,
    /// Height, width, channels of its output, or tract's own shape; empty if that is not fixed.
    pub shape: Vec<usize>,
    pub macs: u64,
    pub nanoseconds: u64,
    /// CRC-32 of its output, if asked for.
    pub crc32: Option<u32>,
}

/// A class and its Softmax score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TopClass {
    pub class: usize,
    pub score: f64,
}

impl Scores {
    /// Real values; distinct logits stay distinct, in their order.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        match self {
            Self::Int8 { logits, scale } => {
                logits.iter().map(|&l| f64::from(l) * f64::from(*scale)).collect()
            }
            Self::Float(values) => values.iter().copied().map(f64::from).collect(),
        }
    }

    /// The `count` best classes with the Softmax of the real values; the lowest class wins a tie.
    #[must_use]
    pub fn top(&self, count: usize) -> Vec<TopClass> {
        let values = self.values();
        let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weight = |value: f64| (value - best).exp();
        let sum: f64 = values.iter().copied().map(weight).sum();
        let mut order: Vec<(usize, f64)> = values.into_iter().enumerate().collect();
        order.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then(a.0.cmp(&b.0)));
        let scored = |(class, value): (usize, f64)| TopClass { class, score: weight(value) / sum };
        order.into_iter().take(count).map(scored).collect()
    }

    fn json(&self) -> Value {
        match self {
            Self::Int8 { logits, .. } => json!(logits),
            Self::Float(values) => json!(values),
        }
    }
}

/// Checksums as every output prints them.
pub(super) fn hex(crc32: u32) -> String {
    format!("{crc32:08x}")
}

impl Row {
    /// A line for each layer of `model`, without checksums.
    #[must_use]
    pub fn for_layers(model: &Model<'_>, times: &[LayerTime]) -> Vec<Self> {
        let row = |(step, time): (fixnet::format::Step<'_>, &LayerTime)| Self {
            name: step.layer.name.to_string(),
            kernel: time.kernel.to_string(),
            shape: step.layer.shape.to_vec(),
            macs: step.layer.macs,
            nanoseconds: time.nanoseconds,
            crc32: None,
        };
        model.steps().zip(times).map(row).collect()
    }

    #[must_use]
    pub fn json(&self) -> Value {
        let mut layer = json!({
            "name": self.name,
            "kernel": self.kernel,
            "macs": self.macs,
            "ns": self.nanoseconds,
        });
        if let Some(crc32) = self.crc32 {
            layer["crc32"] = json!(hex(crc32));
        }
        layer
    }
}

impl Inference {
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "backend": self.backend,
            "image": self.image,
            "input_crc32": hex(self.input_crc32),
            "logits": self.scores.json(),
            "top": self.scores.top(self.top),
            "layers": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }

    /// The best classes, then the latency table.
    #[must_use]
    pub fn text(&self) -> String {
        let mut best = table(&[right("class"), right("score")]);
        for TopClass { class, score } in self.scores.top(self.top) {
            best.add_row(vec![class.to_string(), format!("{:.2} %", score * 100.0)]);
        }
        let note = match self.backend {
            "fixnet" => "",
            "tract" => "the whole network in float, by tract\n",
            _ => "float ends by tract, the int8 layers between them by fixnet\n",
        };
        let image = output::name(&self.image);
        let mut text = format!("{image}\n{best}\n\n{note}{}", latency_table(&self.rows));
        if has_checksums(&self.rows) {
            let _ = writeln!(text, "input crc32 {}", hex(self.input_crc32));
        }
        text
    }
}

/// Kernel, work and time of every layer, and their sums.
#[must_use]
pub fn latency_table(lines: &[Row]) -> String {
    let checksums = has_checksums(lines);
    let mut columns = vec![
        names("layer"),
        names("kernel"),
        left("shape").rank(1),
        right("MACs").rank(2),
        right("µs"),
        right("MAC/ns").rank(3),
    ];
    if checksums {
        columns.push(left("crc32"));
    }
    let mut rows = table(&columns);
    for row in lines {
        let mut cells = vec![
            row.name.clone(),
            row.kernel.clone(),
            shape(&row.shape),
            count(row.macs),
            microseconds(row.nanoseconds),
            speed(row.macs, row.nanoseconds),
        ];
        if checksums {
            cells.push(row.crc32.map_or("-".to_string(), hex));
        }
        rows.add_row(cells);
    }
    let total: u64 = lines.iter().map(|row| row.nanoseconds).sum();
    let macs = lines.iter().map(|row| row.macs).sum();
    rows.add_row(vec![
        "total".to_string(),
        String::new(),
        String::new(),
        count(macs),
        microseconds(total),
        speed(macs, total),
    ]);
    format!("{rows}\n")
}

fn has_checksums(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.crc32.is_some())
}

fn microseconds(nanoseconds: u64) -> String {
    format!("{:.1}", nanoseconds as f64 / 1e3)
}

/// Multiply-accumulates per nanosecond; `-` where there are none.
fn speed(macs: u64, nanoseconds: u64) -> String {
    match (macs, nanoseconds) {
        (0, _) | (_, 0) => "-".to_string(),
        _ => format!("{:.2}", macs as f64 / nanoseconds as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_the_softmax_and_ties_go_to_the_lowest_class() {
        let top = Scores::Int8 { logits: vec![1, 3, 3, -7], scale: 0.5 }.top(3);
        assert_eq!(top.iter().map(|t| t.class).collect::<Vec<_>>(), [1, 2, 0]);
        let sum = 2.0 + (-1.0f64).exp() + (-5.0f64).exp();
        assert!((top[0].score - 1.0 / sum).abs() < 1e-12);
        assert!((top[2].score - (-1.0f64).exp() / sum).abs() < 1e-12);
    }

    #[test]
    fn extreme_logits_give_finite_scores() {
        let top = Scores::Int8 { logits: vec![i32::MIN, i32::MAX], scale: f32::MAX }.top(5);
        assert_eq!(top.len(), 2);
        assert!(top.iter().all(|t| t.score.is_finite()));
    }

    #[test]
    fn float_zeros_of_both_signs_tie() {
        let top = Scores::Float(vec![-0.0, 0.0]).top(1);
        assert_eq!((top[0].class, top[0].score), (0, 0.5));
    }
}
