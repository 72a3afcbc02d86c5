//! What `check` says of a network's nodes: one by one, by operator, and in the end what to do.
//!
//! What may not be broken: a cause is told once, at the node that has it. Nodes that merely stand behind it
//! are counted.

use serde::Serialize;

use super::table::{Table, names, prose, right, table};
use crate::import::{NodeVerdict, Verdict};
use crate::output;

/// The nodes of one operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorVerdict {
    pub op: String,
    pub nodes: usize,
    pub supported: usize,
    pub unsupported: usize,
    /// Those behind a node that is not supported.
    pub unchecked: usize,
    /// The first that is not supported, in the file's order, and why.
    pub first: Option<FirstCause>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstCause {
    pub index: usize,
    pub name: String,
    pub reason: String,
    /// What to do, where the reason does not say it.
    pub advice: Option<&'static str>,
}

/// Operators in the order in which the file first has them.
#[must_use]
pub fn by_operator(nodes: &[NodeVerdict]) -> Vec<OperatorVerdict> {
    let mut operators: Vec<OperatorVerdict> = Vec::new();
    for node in nodes {
        let found = operators.iter().position(|operator| operator.op == node.op);
        let at = found.unwrap_or(operators.len());
        if found.is_none() {
            operators.push(OperatorVerdict {
                op: node.op.clone(),
                nodes: 0,
                supported: 0,
                unsupported: 0,
                unchecked: 0,
                first: None,
            });
        }
        operators[at].add(node);
    }
    operators
}

impl OperatorVerdict {
    fn add(&mut self, node: &NodeVerdict) {
        self.nodes += 1;
        match &node.verdict {
            Verdict::Supported { .. } => self.supported += 1,
            Verdict::Unchecked { .. } => self.unchecked += 1,
            Verdict::Unsupported { reason, advice } => {
                self.unsupported += 1;
                self.first.get_or_insert_with(|| FirstCause {
                    index: node.index,
                    name: node.name.clone(),
                    reason: reason.clone(),
                    advice: *advice,
                });
            }
        }
    }
}

/// Every node that has a verdict of its own.
#[must_use]
pub fn node_table(nodes: &[NodeVerdict]) -> Table {
    let columns =
        [right("#"), names("node"), names("op"), names("output").rank(1), prose("verdict")];
    let mut rows = table(&columns);
    let judged = |node: &&NodeVerdict| !matches!(node.verdict, Verdict::Unchecked { .. });
    for node in nodes.iter().filter(judged) {
        rows.add_row([
            node.index.to_string(),
            node.name.clone(),
            node.op.clone(),
            node.shape.as_ref().map_or("?".to_string(), |shape| format!("{shape:?}")),
            node.verdict.to_string(),
        ]);
    }
    rows
}

/// One row an operator; of those that are refused the first cause.
#[must_use]
pub fn operator_table(operators: &[OperatorVerdict]) -> Table {
    let columns = [
        names("operator"),
        right("nodes"),
        right("supported"),
        right("unsupported"),
        right("behind").rank(1),
        prose("first cause"),
    ];
    let mut rows = table(&columns);
    for operator in operators {
        let first = operator.first.as_ref();
        rows.add_row([
            operator.op.clone(),
            operator.nodes.to_string(),
            operator.supported.to_string(),
            operator.unsupported.to_string(),
            operator.unchecked.to_string(),
            first.map_or(String::new(), |first| format!("node {}: {}", first.index, first.reason)),
        ]);
    }
    rows
}

/// What `quantize --partition` makes of a network: how many nodes it leaves in float, or why it refuses it.
#[must_use]
pub fn split(model: &str, partition: Result<usize, String>) -> String {
    match partition {
        Ok(count) => format!(
            "`fixnet quantize --partition {}` takes the network and leaves {count} {} in float",
            output::name(model),
            if count == 1 { "node" } else { "nodes" },
        ),
        Err(error) => {
            format!("`--partition` does not help ({}): change the export", output::line(&error))
        }
    }
}

/// How many nodes are in the way, which one is the first, and what to do about it; `split` is what splitting
/// does about it.
#[must_use]
pub fn conclusion(nodes: &[NodeVerdict], split: Option<&str>) -> String {
    let of = |wanted: fn(&Verdict) -> bool| nodes.iter().filter(move |node| wanted(&node.verdict));
    let mut refused = of(|verdict| matches!(verdict, Verdict::Unsupported { .. }));
    let Some(NodeVerdict {
        index, name, op, verdict: Verdict::Unsupported { reason, advice }, ..
    }) = refused.next()
    else {
        return format!("all {} nodes are supported", nodes.len());
    };
    let behind = match of(|verdict| matches!(verdict, Verdict::Unchecked { .. })).count() {
        0 => String::new(),
        1 => ", and 1 node stands behind them and was not checked".to_string(),
        count => format!(", and {count} nodes stand behind them and were not checked"),
    };
    let split = split.unwrap_or("change the export");
    // What is known of this network says more than what holds of any.
    let advice = advice.filter(|advice| !advice.contains("--partition"));
    let advice = advice.map_or(String::new(), |advice| format!("{advice}; "));
    format!(
        "{} of {} nodes cannot be used{behind}; the first is node {} \"{}\" ({}): {}\n\
         what to do: {advice}{split}",
        1 + refused.count(),
        nodes.len(),
        index,
        output::name(name),
        output::name(op),
        output::line(reason),
    )
}
