//! What `run` tells of one image: the best classes, and what every layer did.

use std::fmt::Write;

use fixnet::Model;
use serde::Serialize;
use serde_json::{Value, json};

use super::LayerTime;
use super::table::{count, left, right, shape, table};

/// One image through one model.
pub struct Inference<'a> {
    /// File name, or `FILE.bin:INDEX`.
    pub image: String,
    pub model: &'a Model<'a>,
    /// CRC-32 of the int8 input, HWC.
    pub input_crc32: u32,
    pub logits: Vec<i32>,
    /// The best classes, best first.
    pub top: Vec<TopClass>,
    /// CRC-32 of every layer's output, if asked for.
    pub checksums: Option<Vec<u32>>,
    pub times: Vec<LayerTime>,
}

/// A class and its Softmax score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TopClass {
    pub class: usize,
    pub score: f64,
}

/// The `count` best classes with the Softmax of `logit * scale`; the lowest class wins a tie.
#[must_use]
pub fn top_classes(logits: &[i32], scale: f32, count: usize) -> Vec<TopClass> {
    let best = logits.iter().max().copied().unwrap_or(0);
    let above_best = |logit: i32| (f64::from(logit) - f64::from(best)) * f64::from(scale);
    let sum: f64 = logits.iter().map(|&l| above_best(l).exp()).sum();
    let mut order: Vec<(usize, i32)> = logits.iter().copied().enumerate().collect();
    order.sort_by_key(|&(class, logit)| (std::cmp::Reverse(logit), class));
    let scored =
        |(class, logit): (usize, i32)| TopClass { class, score: above_best(logit).exp() / sum };
    order.into_iter().take(count).map(scored).collect()
}

/// Checksums as every output prints them.
fn hex(crc32: u32) -> String {
    format!("{crc32:08x}")
}

impl Inference<'_> {
    #[must_use]
    pub fn json(&self) -> Value {
        let layers = self.model.steps().zip(&self.times).map(|(step, time)| {
            let mut layer = json!({
                "name": step.layer.name,
                "kernel": time.kernel,
                "macs": step.layer.macs,
                "ns": time.nanoseconds,
            });
            if let Some(&crc32) = self.checksum(step.index) {
                layer["crc32"] = json!(hex(crc32));
            }
            layer
        });
        json!({
            "image": self.image,
            "input_crc32": hex(self.input_crc32),
            "logits": self.logits,
            "top": self.top,
            "layers": layers.collect::<Vec<_>>(),
        })
    }

    /// The best classes, then the latency table.
    #[must_use]
    pub fn text(&self) -> String {
        let mut best = table(&[right("class"), right("score")]);
        for TopClass { class, score } in &self.top {
            best.add_row(vec![class.to_string(), format!("{:.2} %", score * 100.0)]);
        }
        let mut text = format!("{}\n{best}\n\n{}", self.image, self.layer_table());
        if self.checksums.is_some() {
            let _ = writeln!(text, "input crc32 {}", hex(self.input_crc32));
        }
        text
    }

    fn checksum(&self, step: usize) -> Option<&u32> {
        self.checksums.as_ref()?.get(step)
    }

    fn layer_table(&self) -> String {
        let mut columns = vec![
            left("layer"),
            left("kernel"),
            left("shape"),
            right("MACs"),
            right("µs"),
            right("MAC/ns"),
        ];
        if self.checksums.is_some() {
            columns.push(left("crc32"));
        }
        let mut rows = table(&columns);
        for (step, time) in self.model.steps().zip(&self.times) {
            let mut row = vec![
                step.layer.name.to_string(),
                time.kernel.to_string(),
                shape(step.layer.shape),
                count(step.layer.macs),
                microseconds(time.nanoseconds),
                speed(step.layer.macs, time.nanoseconds),
            ];
            row.extend(self.checksum(step.index).map(|&crc32| hex(crc32)));
            rows.add_row(row);
        }
        let total: u64 = self.times.iter().map(|t| t.nanoseconds).sum();
        let macs = self.model.macs();
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
        let top = top_classes(&[1, 3, 3, -7], 0.5, 3);
        assert_eq!(top.iter().map(|t| t.class).collect::<Vec<_>>(), [1, 2, 0]);
        let sum = 2.0 + (-1.0f64).exp() + (-5.0f64).exp();
        assert!((top[0].score - 1.0 / sum).abs() < 1e-12);
        assert!((top[2].score - (-1.0f64).exp() / sum).abs() < 1e-12);
    }

    #[test]
    fn extreme_logits_give_finite_scores() {
        let top = top_classes(&[i32::MIN, i32::MAX], f32::MAX, 5);
        assert_eq!(top.len(), 2);
        assert!(top.iter().all(|t| t.score.is_finite()));
    }
}
