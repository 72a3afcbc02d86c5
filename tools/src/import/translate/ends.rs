//! Operators at the ends of a network, which are taken off the plan and told of the output.

use fixnet::format::{OutputFunction, OutputKind, Selection};

use super::{Activation, Held, Importer, NodeResult, Outcome, unknown_operator};
use crate::import::error::NodeProblem;
use crate::import::node::{OnnxNode, resolve_axis};
use crate::import::outputs::End;

impl<'a> Importer<'a> {
    /// A node that is known by itself, but is the end of this network or a part of one; none if it is not.
    pub(super) fn end(&mut self, node: &OnnxNode<'a>) -> NodeResult<Option<Outcome>> {
        match node.op() {
            "Sigmoid" => self.sigmoid_end(node),
            "Div" => self.divided_by_norm(node),
            _ => self.passes_norm(node),
        }
    }

    /// A Softmax or LogSoftmax over all scores.
    pub(in crate::import) fn softmax(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        let activation = self.activation(node, 0)?;
        if !node.softmax_is_over(&activation.view.shape())? {
            return Err(NodeProblem::unsupported("a Softmax that is not over all scores"));
        }
        let function = match node.op() {
            "LogSoftmax" => OutputFunction::LogSoftmax,
            _ => OutputFunction::Softmax,
        };
        let end = plain(node, &activation, OutputKind::Scores, function)?;
        self.take_off(node, 0, activation, end)?;
        Ok(Outcome::Softmax)
    }

    /// A Sigmoid of a vector that the network gives; none if it is a function like any other.
    fn sigmoid_end(&mut self, node: &OnnxNode<'a>) -> NodeResult<Option<Outcome>> {
        if !self.ends.contains(node.output()?) {
            return Ok(None);
        }
        let activation = self.activation(node, 0)?;
        if activation.view.sizes[1..] != [1, 1] {
            return Ok(None);
        }
        let end = plain(node, &activation, OutputKind::Probability, OutputFunction::Sigmoid)?;
        self.take_off(node, 0, activation, end)?;
        Ok(Some(Outcome::End))
    }

    /// `LpNormalization` of all values by their L2 norm.
    pub(in crate::import) fn lp_normalization(
        &mut self,
        node: &OnnxNode<'a>,
    ) -> NodeResult<Outcome> {
        self.check_end(node)?;
        let activation = self.activation(node, 0)?;
        if node.int("p", 2) != 2 {
            return Err(NodeProblem::unsupported("a norm other than L2"));
        }
        check_over_all(node, &activation, node.int("axis", -1))?;
        self.normalized(node, activation)
    }

    /// `ReduceL2` of all values: the first node of a normalization that exporters spell out.
    pub(in crate::import) fn reduce_l2(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        self.check_end(node)?;
        let activation = self.activation(node, 0)?;
        let axes = self.int_list(node, 1, "axes")?;
        let shape = activation.view.shape();
        let mut reduced: usize = if axes.is_some() { 1 } else { shape.iter().product() };
        for &axis in axes.iter().flatten() {
            reduced *= shape[resolve_axis(axis, shape.len())?];
        }
        if reduced != activation.view.elements() {
            return Err(not_over_all("a norm"));
        }
        self.held.insert(node.output()?, Held::Norm(activation));
        Ok(Outcome::End)
    }

    /// What hands on a norm, with a bound from below that keeps it from 0 or in the shape of what it divides;
    /// none if no norm is handed on.
    fn passes_norm(&mut self, node: &OnnxNode<'a>) -> NodeResult<Option<Outcome>> {
        if !matches!(node.op(), "Clip" | "Max" | "Expand" | "Identity" | "Add") {
            return Ok(None);
        }
        let Held::Norm(activation) = self.held(node, 0)? else { return Ok(None) };
        let bound = match node.op() {
            "Clip" | "Max" | "Add" => self.optional_constant(node, 1)?,
            _ => None,
        };
        const SMALL: f32 = 1e-3;
        let small = bound.is_none_or(|b| b.to_floats().iter().all(|v| (0.0..=SMALL).contains(v)));
        let upper = node.op() == "Clip" && node.optional_input(2).is_some();
        if !small || upper {
            return Err(NodeProblem::unsupported("a norm that is bounded by more than 0.001"));
        }
        self.held.insert(node.output()?, Held::Norm(activation));
        Ok(Some(Outcome::End))
    }

    /// Values divided by their norm; none if the divisor is no norm.
    fn divided_by_norm(&mut self, node: &OnnxNode<'a>) -> NodeResult<Option<Outcome>> {
        let Held::Norm(divisor) = self.held(node, 1)? else { return Ok(None) };
        let activation = self.activation(node, 0)?;
        if divisor.value != activation.value {
            return Err(NodeProblem::unsupported("a division by the norm of other values"));
        }
        self.normalized(node, activation).map(Some)
    }

    fn normalized(&mut self, node: &OnnxNode<'a>, activation: Activation) -> NodeResult<Outcome> {
        let end = plain(node, &activation, OutputKind::Vector, OutputFunction::L2Norm)?;
        self.take_off(node, 0, activation, end)?;
        Ok(Outcome::End)
    }

    /// The position of the largest value.
    pub(in crate::import) fn arg_max(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        self.check_end(node)?;
        let activation = self.any_activation(node, 0)?;
        check_over_all(node, &activation, node.int("axis", 0))?;
        if node.int("select_last_index", 0) != 0 {
            return Err(NodeProblem::unsupported("the last of equal values"));
        }
        self.select(node, 0, activation, (Selection::Positions, 1))?;
        Ok(Outcome::End)
    }

    /// The largest values and their positions.
    pub(in crate::import) fn top_k(&mut self, node: &OnnxNode<'a>) -> NodeResult<Outcome> {
        self.check_end(node)?;
        let activation = self.any_activation(node, 0)?;
        check_over_all(node, &activation, node.int("axis", -1))?;
        if node.int("largest", 1) != 1 {
            return Err(NodeProblem::unsupported("the smallest values"));
        }
        let count = self.int_list(node, 1, "k")?;
        let count = count.as_deref().and_then(|k| k.first().copied()).or(match node.int("k", 0) {
            0 => None,
            k => Some(k),
        });
        let elements = activation.view.elements();
        let count = count.and_then(|k| usize::try_from(k).ok());
        let count = count.filter(|k| (1..=elements).contains(k)).ok_or_else(|| {
            let reason = format!("must be between 1 and {elements}");
            NodeProblem::Attribute { name: "k", reason }
        })?;
        self.select(node, 0, activation.clone(), (Selection::Largest, count))?;
        if node.proto.output.get(1).is_some_and(|name| !name.is_empty()) {
            self.select(node, 1, activation, (Selection::Positions, count))?;
        }
        Ok(Outcome::End)
    }

    /// Some of the values, or of what a function makes of them, or where they are.
    fn select(
        &mut self,
        node: &OnnxNode<'a>,
        output: usize,
        activation: Activation,
        (selection, count): (Selection, usize),
    ) -> NodeResult<()> {
        let before = activation.end.clone();
        if before.as_ref().is_some_and(|end| end.selection != Selection::All) {
            return Err(NodeProblem::AfterEnd);
        }
        let kind = match selection {
            Selection::Positions => OutputKind::Index,
            _ => OutputKind::Vector,
        };
        let end = match before {
            Some(before) => End { kind, selection, count, ..before },
            None => {
                let plain = plain(node, &activation, kind, OutputFunction::None)?;
                End { selection, count, ..plain }
            }
        };
        // Where a value stands does not depend on a function that grows with it.
        let function = match selection {
            Selection::Positions => OutputFunction::None,
            _ => end.function,
        };
        self.take_off(node, output, activation, End { function, ..end })
    }

    /// Of a part of a network nothing is taken off: what is behind its scores is its tail's.
    fn check_end(&self, node: &OnnxNode<'_>) -> NodeResult<()> {
        if self.is_part { Err(unknown_operator(node)) } else { Ok(()) }
    }

    fn take_off(
        &mut self,
        node: &OnnxNode<'a>,
        output: usize,
        activation: Activation,
        end: End,
    ) -> NodeResult<()> {
        let name = node.proto.output.get(output).ok_or(NodeProblem::MissingOutput)?;
        self.held.insert(name, Held::Activation(Activation { end: Some(end), ..activation }));
        Ok(())
    }
}

fn plain(
    node: &OnnxNode<'_>,
    activation: &Activation,
    kind: OutputKind,
    function: OutputFunction,
) -> NodeResult<End> {
    Ok(End {
        node: node.name().to_string(),
        tensor: node.input(0)?.to_string(),
        view: activation.view.clone(),
        kind,
        function,
        selection: Selection::All,
        count: 0,
    })
}

fn not_over_all(what: &str) -> NodeProblem {
    NodeProblem::Unsupported { what: format!("{what} that is not over all values of a vector") }
}

/// The dimension holds all values, so that one result is given for the network.
fn check_over_all(node: &OnnxNode<'_>, activation: &Activation, axis: i64) -> NodeResult<()> {
    let shape = activation.view.shape();
    let over_all = shape[resolve_axis(axis, shape.len())?] == activation.view.elements();
    let one_pixel = activation.view.sizes[1..] == [1, 1];
    if over_all && one_pixel { Ok(()) } else { Err(not_over_all(node.op())) }
}
