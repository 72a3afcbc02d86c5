//! The registry of ONNX operators: one record each, in the table of its kind.
//!
//! What the import, `check`, the error texts, the partition and `docs/operators.md` know of an operator is in
//! its record or follows from it.
//!
//! What may not be broken: an operator is named here and nowhere else, unless the code is about that operator
//! alone. Records speak of the operators of the default domain; of others nothing is known.

mod activations;
mod arithmetic;
mod ends;
mod layers;
mod page;
mod refused;
mod shapes;

use std::collections::HashMap;
use std::sync::LazyLock;

use tract_onnx::pb::NodeProto;

use super::budget::Budget;
use super::canonical::{Spelled, Speller};
use super::error::NodeProblem;
use super::node::OnnxNode;
use super::tensor::Tensor;
use super::translate::{Importer, NodeResult, Outcome};
use crate::graph::Function;

pub(super) use activations::{parts, x};
pub use page::page;

/// What is known of an operator.
pub(crate) struct Operator {
    pub name: &'static str,
    /// The operator set that has it first.
    pub since: i64,
    /// What it becomes in the int8 network, or why it becomes nothing: a phrase.
    pub becomes: &'static str,
    /// What is asked of its attributes and inputs beyond ONNX; empty if nothing.
    pub asks: &'static str,
    /// What to do where it is refused: a sentence's part, for behind a semicolon.
    pub advice: &'static str,
    /// What becomes of a node that reads the network's data.
    pub(super) import: Import,
    /// Its value where all that it reads is constant.
    pub(super) on_constants: Option<OnConstants>,
    /// Its spelling that tract computes rightly, where that may be another one.
    pub(super) spelling: Option<Spelling>,
    pub end: End,
    /// What is read is in the layout of what is written, and a network may begin with it.
    pub keeps_layout: bool,
    /// It reads of a tensor no more than its shape.
    pub is_of_shape: bool,
    /// A constant that it reads may be infinite: a bound that bounds nothing, or padding or a choice that
    /// never wins.
    pub takes_infinity: bool,
}

/// What becomes of a node that reads the network's data.
#[derive(Clone, Copy)]
pub(super) enum Import {
    /// The translation makes a node of the graph, or changes a view, or finds that it does nothing.
    Translate(for<'a> fn(&mut Importer<'a>, &OnnxNode<'a>) -> NodeResult<Outcome>),
    /// It is a function of its one input.
    Function(fn(&OnnxNode<'_>) -> NodeResult<Function>),
    /// It is known on constants alone.
    Constants,
    /// It has no int8 form.
    Refuse,
}

/// Computes the value of a node of constant inputs (none for one left out). What it allocates is taken from
/// the budget first.
pub(super) type OnConstants =
    fn(&OnnxNode<'_>, &[Option<&Tensor>], &mut Budget) -> Result<Tensor, NodeProblem>;

/// Spells a node as one or more nodes.
pub(super) type Spelling = fn(&mut Speller<'_>, NodeProto) -> Spelled;

/// What an operator is at the end of a network, for where its scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It computes scores.
    Scores,
    /// A Softmax: taken off, since it leaves the order of scores as it is.
    Softmax,
    /// It hands on what it gets in another form.
    PassesOn,
    /// Behind it there is no score a class: indices, some of the scores, truths.
    NoScores,
}

/// What to do where nothing else is said.
const PARTITION: &str = "`--partition` leaves it in float before or behind the residual blocks; elsewhere it must be \
                         replaced before the export";

impl Operator {
    /// What is said of operators where they do not differ.
    const fn new(name: &'static str, since: i64, becomes: &'static str, import: Import) -> Self {
        Self {
            name,
            since,
            becomes,
            asks: "",
            advice: PARTITION,
            import,
            on_constants: None,
            spelling: None,
            end: End::Scores,
            keeps_layout: false,
            is_of_shape: false,
            takes_infinity: false,
        }
    }

    /// Whether fixnet takes it in an int8 network.
    pub(super) const fn is_imported(&self) -> bool {
        !matches!(self.import, Import::Refuse)
    }
}

/// The tables, in the order of the documentation.
const TABLES: &[(&str, &[Operator])] = &[
    ("Layers", layers::TABLE),
    ("Activation functions", activations::TABLE),
    ("Arithmetic", arithmetic::TABLE),
    ("Shapes, layouts and constants", shapes::TABLE),
    ("Ends of a network", ends::TABLE),
    ("Without an int8 form", refused::TABLE),
];

/// All operators.
fn all() -> impl Iterator<Item = &'static Operator> {
    TABLES.iter().flat_map(|(_, table)| *table)
}

/// The operator of this name in the default domain.
pub(crate) fn named(name: &str) -> Option<&'static Operator> {
    static BY_NAME: LazyLock<HashMap<&str, &Operator>> =
        LazyLock::new(|| all().map(|operator| (operator.name, operator)).collect());
    BY_NAME.get(name).copied()
}

/// The operator of `node`; none if it is of another domain, or not known.
pub(crate) fn of(node: &NodeProto) -> Option<&'static Operator> {
    if is_default_domain(&node.domain) { named(&node.op_type) } else { None }
}

/// Whether `node` reads of its inputs no more than their shapes.
pub(crate) fn reads_only_shapes(node: &NodeProto) -> bool {
    of(node).is_some_and(|operator| operator.is_of_shape)
}

/// Whether `domain` is that of the operators that every file has.
pub(crate) fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// What to do where the operator `name` is refused.
pub(crate) fn advice(name: &str) -> &'static str {
    named(name).map_or(PARTITION, |operator| operator.advice)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_operator_has_one_record_that_says_everything() {
        let mut names = BTreeSet::new();
        for operator in all() {
            let name = operator.name;
            assert!(names.insert(name), "{name} has two records");
            assert!(operator.since >= 1 && !operator.becomes.is_empty(), "{name}");
            assert!(!operator.advice.is_empty(), "{name}");
            for text in [operator.becomes, operator.asks, operator.advice] {
                assert!(!text.contains(['\n', '|']) && !text.ends_with('.'), "{name}: {text}");
            }
        }
    }

    #[test]
    fn operators_of_other_domains_are_not_known() {
        let node = |domain: &str| NodeProto {
            op_type: "Conv".to_string(),
            domain: domain.to_string(),
            ..Default::default()
        };
        assert!(of(&node("")).is_some() && of(&node("ai.onnx")).is_some());
        assert!(of(&node("com.microsoft")).is_none());
    }
}
