//! The float network's time in terms of the int8 layers.

use fixnet::float::{FloatError, FloatNode, FloatSession};
use fixnet::profile::WallClock;

use super::{Row, medians};
use crate::pipeline::Lowered;

/// Times tract on the input that `session`, one of `lowered.float`, holds: a row for every layer in
/// the order of the network, and one for every node that belongs to none, so that no time is lost.
///
/// # Errors
/// [`FloatError`] if tract fails.
pub fn time_float(lowered: &Lowered, session: &FloatSession) -> Result<Vec<Row>, FloatError> {
    let mut clock = WallClock::default();
    let ticks = medians(|| session.run_timed(&mut clock).map(|(_, ticks)| ticks))?;
    let mut rows: Vec<FloatRow> = layer_rows(lowered);
    let mut next_layer = 0;
    let mut strangers: Vec<(usize, FloatRow)> = Vec::new();
    for (node, ticks) in lowered.float.nodes().into_iter().zip(ticks) {
        match lowered.attribution.layer(&node.name) {
            Some(layer) => {
                rows[layer].add(node.op, ticks);
                next_layer = next_layer.max(layer + 1);
            }
            None => strangers.push((next_layer, FloatRow::for_node(node, ticks))),
        }
    }
    for (before, row) in strangers.into_iter().rev() {
        rows.insert(before, row);
    }
    Ok(rows.into_iter().map(FloatRow::finish).collect())
}

/// A row to which nodes are still added.
struct FloatRow {
    row: Row,
    nodes: usize,
    /// Ticks of the node that gives the row its kernel.
    longest: u64,
}

impl FloatRow {
    fn for_node(node: FloatNode, ticks: u64) -> Self {
        let row = float_row(&node);
        let mut row = Self { row, nodes: 0, longest: 0 };
        row.add(node.op, ticks);
        row
    }

    fn add(&mut self, op: String, ticks: u64) {
        if self.nodes == 0 || ticks > self.longest {
            (self.row.kernel, self.longest) = (op, ticks);
        }
        self.nodes += 1;
        self.row.nanoseconds += ticks;
    }

    /// The kernel is the slowest node's, with the number of the others.
    fn finish(mut self) -> Row {
        match self.nodes {
            0 => self.row.kernel = "-".to_string(),
            1 => {}
            nodes => self.row.kernel = format!("{} +{}", self.row.kernel, nodes - 1),
        }
        self.row
    }
}

fn layer_rows(lowered: &Lowered) -> Vec<FloatRow> {
    let network = &lowered.network;
    let row = |layer: &crate::lower::Layer| Row {
        name: layer.name.clone(),
        kernel: String::new(),
        shape: network.tensors[layer.output].shape.to_vec(),
        macs: layer.macs(network),
        nanoseconds: 0,
        crc32: None,
    };
    let rows = network.layers.iter().map(row);
    rows.map(|row| FloatRow { row, nodes: 0, longest: 0 }).collect()
}

/// A row for one node, without its time.
pub(super) fn float_row(node: &FloatNode) -> Row {
    Row {
        name: node.name.trim_matches('/').replace('/', "."),
        kernel: node.op.clone(),
        shape: node.shape.clone(),
        macs: node.macs,
        nanoseconds: 0,
        crc32: None,
    }
}
