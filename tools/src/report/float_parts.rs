//! What a model file keeps in float.

use std::fmt::Write;

use fixnet::Model;
use fixnet::format::FloatPart;
use serde_json::{Value, json};

use super::table::{count, shape};
use crate::output;

/// One object a part.
pub(super) fn float_parts_json(model: &Model<'_>) -> Value {
    let part = |part: FloatPart<'_>| {
        let nodes = nodes(&part).into_iter().map(|(name, op)| json!({ "name": name, "op": op }));
        json!({
            "part": part.kind.name(),
            "bytes": part.onnx.len(),
            "macs": part.macs,
            "macs_share": share(model, &part),
            "input": part.input,
            "output": part.output,
            "nodes": nodes.collect::<Vec<_>>(),
        })
    };
    model.float_parts().map(part).collect()
}

/// A line for every part and its nodes; nothing for a model that is int8 throughout.
#[must_use]
pub fn float_parts_text(model: &Model<'_>) -> String {
    let mut text = String::new();
    for part in model.float_parts() {
        let _ = writeln!(
            text,
            "float   {} by tract: {} to {}, {:.1} % of the MACs ({}), {} B",
            part.kind.name(),
            shape(&part.input),
            shape(&part.output),
            share(model, &part) * 100.0,
            count(part.macs),
            part.onnx.len(),
        );
        for (name, op) in nodes(&part) {
            let _ = writeln!(text, "          {} ({})", output::name(&name), output::name(&op));
        }
    }
    text
}

/// The share of all multiply-accumulates that a float part does.
fn share(model: &Model<'_>, part: &FloatPart<'_>) -> f64 {
    let float: u64 = model.float_parts().map(|part| part.macs).sum();
    let all = float.saturating_add(model.macs());
    if all == 0 { 0.0 } else { part.macs as f64 / all as f64 }
}

/// Names and operators of the part's nodes, but for those that only turn its ends around.
#[cfg(feature = "tract")]
fn nodes(part: &FloatPart<'_>) -> Vec<(String, String)> {
    use prost::Message;
    use tract_onnx::pb::ModelProto;

    let proto = ModelProto::decode(part.onnx).unwrap_or_default();
    let nodes = proto.graph.unwrap_or_default().node.into_iter();
    let nodes = nodes.filter(|node| !crate::partition::is_made(node) && node.op_type != "Constant");
    let name = |name: String, output: Option<&String>| match name.is_empty() {
        true => output.cloned().unwrap_or_default(),
        false => name,
    };
    nodes.map(|node| (name(node.name, node.output.first()), node.op_type)).collect()
}

/// A program without tract does not read ONNX.
#[cfg(not(feature = "tract"))]
fn nodes(_part: &FloatPart<'_>) -> Vec<(String, String)> {
    Vec::new()
}
