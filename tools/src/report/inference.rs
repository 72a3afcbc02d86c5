//! What `run` prints for one image: the best classes, and kernel, work and time of every layer.

use std::cmp::Ordering;
use std::fmt::Write;

use fixnet::Model;
use fixnet::format::{Output, OutputKind};
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
    /// What the network gives, in order.
    pub outputs: Vec<OutputValues>,
    /// Names of the classes, or none.
    pub labels: Vec<String>,
    /// How many classes to print.
    pub top: usize,
    pub rows: Vec<Row>,
    /// What was said on the way.
    pub notes: Vec<String>,
}

/// One output of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputValues {
    pub name: String,
    pub kind: OutputKind,
    /// Height, width and channels of a map; the number of other values.
    pub shape: Vec<usize>,
    /// Real values of scores, or the positions of an index; HWC of a map.
    pub values: Vec<f64>,
    /// Of scores, what they were computed as.
    pub scores: Option<Scores>,
    /// CRC-32 of the bytes of its tensor, if asked for.
    pub crc32: Option<u32>,
}

impl OutputValues {
    /// What an int8 plan gives, of the bytes of the output's tensor.
    #[must_use]
    pub fn of_plan(output: &Output<'_>, bytes: &[u8]) -> Self {
        let tensor = output.tensor_values(bytes);
        let is_scores = output.kind == OutputKind::Scores && output.activation.wide;
        let words = bytes.as_chunks::<4>().0.iter();
        Self {
            name: output.name.to_string(),
            kind: output.kind,
            shape: match output.kind {
                OutputKind::Map => output.activation.shape().to_vec(),
                _ => vec![output.count],
            },
            values: output.values(&tensor),
            scores: is_scores.then(|| Scores::Int8 {
                logits: words.map(|&word| i32::from_le_bytes(word)).collect(),
                scale: output.activation.scale,
            }),
            crc32: None,
        }
    }

    /// Scores that were computed in float.
    #[must_use]
    pub fn of_scores(name: &str, values: Vec<f32>) -> Self {
        let scores = Scores::Float(values);
        Self {
            name: name.to_string(),
            kind: OutputKind::Scores,
            shape: vec![scores.values().len()],
            values: scores.values(),
            scores: Some(scores),
            crc32: None,
        }
    }

    fn json(&self) -> Value {
        let values = match self.kind {
            OutputKind::Index => json!(self.values.iter().map(|&v| v as u64).collect::<Vec<_>>()),
            _ => json!(self.values),
        };
        let mut json = json!({
            "name": self.name,
            "kind": self.kind.name(),
            "shape": self.shape,
            "values": values,
        });
        if let Some(crc32) = self.crc32 {
            json["crc32"] = json!(hex(crc32));
        }
        json
    }

    /// The best classes, the positions, or the first values.
    fn text(&self, top: usize, labels: &[String]) -> String {
        let label = |class: usize| labels.get(class).map_or("", String::as_str);
        let mut columns = vec![right("class"), right("score")];
        if !labels.is_empty() {
            columns.push(names("name"));
        }
        let mut rows = table(&columns);
        let mut add = |class: usize, score: String| {
            let mut cells = vec![class.to_string(), score];
            if !labels.is_empty() {
                cells.push(label(class).to_string());
            }
            rows.add_row(cells);
        };
        match (self.kind, &self.scores) {
            (OutputKind::Scores, Some(scores)) => {
                for TopClass { class, score, .. } in scores.top(top) {
                    add(class, format!("{:.2} %", score * 100.0));
                }
                rows.to_string()
            }
            (OutputKind::Index, _) => {
                let class = |&class: &f64| format!("{class} {}", label(class as usize));
                let classes: Vec<String> = self.values.iter().map(class).collect();
                classes.join("\n")
            }
            (OutputKind::Probability, _) => {
                for (index, probability) in self.values.iter().take(top).enumerate() {
                    // One value is that of the second class.
                    let class = if self.values.len() == 1 { 1 } else { index };
                    add(class, format!("{:.2} %", probability * 100.0));
                }
                rows.to_string()
            }
            _ => self.first_values(),
        }
    }

    /// `1x1x3: 0.1, 0.2, 0.3`, or the first of more.
    fn first_values(&self) -> String {
        const SHOWN: usize = 8;
        let shown: Vec<String> =
            self.values.iter().take(SHOWN).map(|value| format!("{value:.4}")).collect();
        let more = match self.values.len() {
            0..=SHOWN => String::new(),
            all => format!(", ... and {} more (--json has all)", all - SHOWN),
        };
        format!("{}{more}", shown.join(", "))
    }
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopClass {
    pub class: usize,
    pub score: f64,
    /// The class's name, if the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
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
        let scored = |(class, value): (usize, f64)| TopClass {
            class,
            score: weight(value) / sum,
            label: None,
        };
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
        let mut json = json!({
            "backend": self.backend,
            "image": self.image,
            "input_crc32": hex(self.input_crc32),
            "outputs": self.outputs.iter().map(OutputValues::json).collect::<Vec<_>>(),
            "layers": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "notes": self.notes,
        });
        if let [OutputValues { scores: Some(scores), .. }] = self.outputs.as_slice() {
            let mut top = scores.top(self.top);
            for best in &mut top {
                best.label = self.labels.get(best.class).cloned();
            }
            json["logits"] = scores.json();
            json["top"] = json!(top);
        }
        json
    }

    /// What the network gives, then the latency table.
    #[must_use]
    pub fn text(&self) -> String {
        let note = match self.backend {
            "fixnet" => "",
            "tract" => "the whole network in float, by tract\n",
            _ => "float ends by tract, the int8 layers between them by fixnet\n",
        };
        let mut text = format!("{}\n", output::name(&self.image));
        let only_scores =
            matches!(self.outputs.as_slice(), [one] if one.kind == OutputKind::Scores);
        for (index, output) in self.outputs.iter().enumerate() {
            if !only_scores {
                let (name, kind) = (output::name(&output.name), output.kind.name());
                let _ = writeln!(text, "{name}: {kind} {}", shape(&output.shape));
            }
            // Classes are those of the first output.
            let labels = if index == 0 { self.labels.as_slice() } else { &[] };
            let _ = writeln!(text, "{}\n", output.text(self.top, labels));
        }
        let _ = write!(text, "{note}{}", latency_table(&self.rows));
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
