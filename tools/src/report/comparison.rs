//! What `quantize` and `compare` print: an int8 model beside its float network.

use std::fmt::Write;
use std::path::Path;

use fixnet::format::OutputKind;
use fixnet::{KernelFamily, Model};
use serde_json::{Value, json};

use super::plan::{input_text, plan_json};
use super::table::{Table, bytes, count, left, names, right, shape, table};
use super::{LayerTime, float_parts_text, memory_text};
use crate::compare::{Comparison, OutputComparison};

/// Everything that `quantize` prints.
pub struct Summary<'a> {
    pub file: &'a Path,
    pub model: &'a Model<'a>,
    pub kernels: KernelFamily,
    /// Of each layer on this machine; none if the file is packed for another one.
    pub timings: &'a [LayerTime],
    pub comparison: Option<&'a Comparison>,
    /// The images that were compared on; `None`: generated ones.
    pub images: Option<&'a str>,
    /// What was said on the way.
    pub notes: &'a [String],
}

impl Summary<'_> {
    /// What `inspect` and `compare` give, in one object.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut json = plan_json(self.model, self.kernels);
        json["file"] = json!(self.file.display().to_string());
        json["notes"] = json!(self.notes);
        let times = self.timings.iter().map(|t| json!({ "ns": t.nanoseconds }));
        merge(&mut json["layers"], times);
        if let Some(comparison) = self.comparison {
            let mut other = serde_json::to_value(comparison).unwrap_or_default();
            // Of layers and outputs both have their keys.
            const BOTH: [&str; 2] = ["layers", "outputs"];
            for list in BOTH {
                let more = other[list].take();
                merge(&mut json[list], more.as_array().cloned().unwrap_or_default().into_iter());
            }
            if let (Some(to), Value::Object(from)) = (json.as_object_mut(), other) {
                to.extend(from.into_iter().filter(|(key, _)| !BOTH.contains(&key.as_str())));
            }
        }
        json
    }

    /// The layers, the memory, and the price against the float network.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.model.step_count() > 0 {
            text.push_str(&self.layer_table());
        }
        text.push_str(&memory_text(self.model, self.kernels));
        text.push_str(&float_parts_text(self.model));
        let _ = writeln!(text, "{}", input_text(self.model));
        if let Some(comparison) = self.comparison {
            text.push('\n');
            text.push_str(&verdict_text(comparison, self.images));
        }
        let _ = writeln!(text, "\nwrote {}", self.file.display());
        text
    }

    fn layer_table(&self) -> String {
        let fidelity = self.comparison.map(|c| c.layers.as_slice()).unwrap_or_default();
        let mut rows = table(&[
            names("layer"),
            left("shape").rank(2),
            names("kernel").rank(1),
            right("MACs").rank(3),
            right("weights").rank(4),
            right("SQNR dB"),
            right("alone"),
            right("µs"),
        ]);
        for step in self.model.steps() {
            let time = self.timings.get(step.index);
            let layer = fidelity.get(step.index);
            let db = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.1}"));
            rows.add_row(vec![
                step.layer.name.to_string(),
                shape(&step.layer.shape),
                self.kernels.kernel_name(&step.operator).to_string(),
                count(step.layer.macs),
                bytes(self.model.weight_bytes_of(step.index)),
                db(layer.map(|l| l.sqnr_db)),
                db(layer.map(|l| l.sqnr_isolated_db)),
                microseconds(time.map(|t| t.nanoseconds)),
            ]);
        }
        let total = self.timings.iter().map(|t| t.nanoseconds).sum();
        let timed = !self.timings.is_empty();
        rows.add_row(vec![
            "total".to_string(),
            String::new(),
            String::new(),
            count(self.model.macs()),
            bytes(self.model.weight_bytes()),
            String::new(),
            String::new(),
            microseconds(timed.then_some(total)),
        ]);
        format!("{rows}\n")
    }
}

/// A time, or a dash where there is none.
fn microseconds(nanoseconds: Option<u64>) -> String {
    nanoseconds.map_or("-".to_string(), |ns| format!("{:.1}", ns as f64 / 1e3))
}

/// Adds the keys of `more` to the objects of a list, one by one.
fn merge(list: &mut Value, more: impl Iterator<Item = Value>) {
    let Some(list) = list.as_array_mut() else { return };
    for (one, more) in list.iter_mut().zip(more) {
        if let (Some(to), Value::Object(from)) = (one.as_object_mut(), more) {
            to.extend(from);
        }
    }
}

/// Float and int8 side by side.
fn verdict_text(comparison: &Comparison, images: Option<&str>) -> String {
    let count = comparison.images;
    let mut text = String::new();
    let generated = || format!("{count} generated images, not accuracy");
    let unlabelled = |path: &str| format!("{count} images of {path} without labels, not accuracy");
    // A vector is no choice between classes.
    let agreement = comparison.agreement.map(|share| format!("agreement {:.2} %", share * 100.0));
    match (images, comparison.float.top1, agreement) {
        (Some(path), Some(_), agreement) => {
            let _ = writeln!(text, "{count} images of {path}");
            text.push_str(&accuracy_table(comparison));
            agreement.into_iter().for_each(|agreement| text.push_str(&format!("{agreement}\n")));
        }
        (images, _, Some(agreement)) => {
            let images = images.map_or_else(generated, unlabelled);
            let _ = writeln!(text, "{agreement} on {images}");
        }
        (images, _, None) => {
            let images = images.map_or_else(generated, unlabelled);
            let _ = writeln!(text, "nothing to agree on: {images}");
        }
    }
    if has_only_scores(comparison) {
        let _ = writeln!(
            text,
            "logit error: mean {:.4}, worst {:.4} (largest float logit {:.2})",
            comparison.mean_logit_error, comparison.worst_logit_error, comparison.largest_logit,
        );
    } else {
        let _ = writeln!(text, "{}", output_table(&comparison.outputs));
    }
    text
}

/// Whether there is one vector of scores, of which everything else is said.
fn has_only_scores(comparison: &Comparison) -> bool {
    matches!(comparison.outputs.as_slice(), [one] if one.kind == OutputKind::Scores.name())
}

/// A row for each output, judged by its kind.
fn output_table(outputs: &[OutputComparison]) -> Table {
    let mut rows = table(&[
        names("output"),
        left("kind"),
        left("shape").rank(1),
        right("agreement"),
        right("SQNR dB"),
        right("cosine").rank(1),
        right("worst error").rank(2),
        right("largest").rank(2),
    ]);
    let text = |value: Option<f64>, digits: usize| {
        value.map_or("-".to_string(), |value| format!("{value:.digits$}"))
    };
    for output in outputs {
        rows.add_row([
            output.name.clone(),
            output.kind.to_string(),
            shape(&output.shape),
            output.agreement.map_or("-".to_string(), |share| format!("{:.2} %", share * 100.0)),
            text(output.sqnr_db, 1),
            text(output.cosine, 5),
            text(output.worst_error, 4),
            text(output.largest, 4),
        ]);
    }
    rows
}

fn accuracy_table(comparison: &Comparison) -> String {
    let mut rows = table(&[left(""), right("float"), right("int8"), right("drop, points")]);
    let pairs = [
        ("top-1", comparison.float.top1, comparison.int8.top1),
        ("top-5", comparison.float.top5, comparison.int8.top5),
    ];
    for (name, float, int8) in pairs {
        if let (Some(float), Some(int8)) = (float, int8) {
            rows.add_row(vec![
                name.to_string(),
                format!("{:.2} %", float * 100.0),
                format!("{:.2} %", int8 * 100.0),
                format!("{:.2}", (float - int8) * 100.0),
            ]);
        }
    }
    format!("{rows}\n")
}

/// What `compare` prints.
#[must_use]
pub fn comparison_text(comparison: &Comparison, images: Option<&str>) -> String {
    let mut rows = table(&[names("layer"), right("SQNR dB"), right("cosine"), right("SQNR alone")]);
    for layer in &comparison.layers {
        rows.add_row(vec![
            layer.name.clone(),
            format!("{:.1}", layer.sqnr_db),
            format!("{:.5}", layer.cosine),
            format!("{:.1}", layer.sqnr_isolated_db),
        ]);
    }
    let figures = format!("per-layer figures: the first {} images\n\n", comparison.layer_images);
    format!("{rows}\n{figures}{}", verdict_text(comparison, images))
}
