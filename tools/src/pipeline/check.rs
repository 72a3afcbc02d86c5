//! What `quantize` will say of a network, found in seconds: what `fixnet check` prints.
//!
//! What may not be broken: what is called supported here, `quantize` does not refuse for the network's sake, and
//! what is not it refuses, with `--partition` and without. So a network goes through everything that `quantize`
//! does, with one generated image; and `quantize` rehearses the same before it calibrates.

use std::sync::Arc;

use fixnet::format::Limits;

use super::{Lowered, PackOptions, PipelineError, Problem, QuantizeOptions, Source};
use crate::data::Recipe;
use crate::fold::{self, Absorbed};
use crate::images::Images;
use crate::import::{Checked, ImportOptions, NodeVerdict, Role, Verdict};
use crate::lower::LowerError;
use crate::partition::FloatNode;

/// What is known of a network before it is quantized.
#[derive(Debug)]
pub struct Forecast {
    /// One a node, in the file's order.
    pub nodes: Vec<NodeVerdict>,
    /// Why `quantize` refuses a network whose nodes are all supported.
    pub problem: Option<PipelineError>,
    /// Where `quantize` finds no int8 form: the nodes that stay in float with `--partition`, or why it refuses
    /// that, too.
    pub partition: Option<Result<Vec<FloatNode>, PipelineError>>,
}

impl Forecast {
    /// Whether `quantize` takes the network.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        self.problem.is_none() && all_supported(&self.nodes)
    }
}

impl Source {
    /// Judges a network and every node of it.
    ///
    /// # Errors
    /// [`PipelineError`] for a file without the input and outputs of a network.
    pub fn check(
        &self,
        options: &ImportOptions,
        limits: &Limits,
    ) -> Result<Forecast, PipelineError> {
        let (mut nodes, end) = self.node_verdicts(options)?;
        let (mut problem, mut may_be_split) = (end, true);
        if problem.is_none() && all_supported(&nodes) {
            let lowered = self.again().and_then(|source| source.lower(options));
            may_be_split = lowered.as_ref().is_err_and(PipelineError::may_be_split);
            let tried = lowered.and_then(|lowered| lowered.try_generated(limits));
            problem = tried.err().filter(|error| !blame_node(&mut nodes, error));
        }
        let supported = problem.is_none() && all_supported(&nodes);
        let partition = (!supported && may_be_split).then(|| {
            let lowered = self.again()?.partition(options)?;
            lowered.try_generated(limits)?;
            Ok(lowered.float_nodes().cloned().collect())
        });
        Ok(Forecast { nodes, problem, partition })
    }

    /// What becomes of every node, in the file's order, as import and folding say, and what is wrong with the
    /// network's end.
    fn node_verdicts(
        &self,
        options: &ImportOptions,
    ) -> Result<(Vec<NodeVerdict>, Option<PipelineError>), PipelineError> {
        let mut checked = self.file.check(options)?;
        name_folded_nodes(&mut checked);
        Ok((checked.nodes, checked.problem.map(PipelineError::Import)))
    }
}

impl Lowered {
    /// Everything that is done with a network but for going through all images: so that what stands in its way
    /// is found before that. `images` are those to calibrate on.
    ///
    /// # Errors
    /// [`PipelineError`]: what the network, or its model file, is refused for.
    pub fn rehearse(
        self: &Arc<Self>,
        images: &Images,
        recipe: Option<&Recipe>,
        (quantize, pack): (QuantizeOptions, &PackOptions),
        limits: &Limits,
    ) -> Result<(), PipelineError> {
        self.check_limits(limits)?;
        let observed = self.observe_some(1, images, recipe, &())?;
        let packed = observed.quantize(quantize)?.plan().pack(pack)?;
        packed.model(limits)?;
        packed.whole_model(limits)?;
        Ok(())
    }

    fn try_generated(self: &Arc<Self>, limits: &Limits) -> Result<(), PipelineError> {
        let recipe = self.input_shape().is_image().then(Recipe::default);
        let images = Images::for_calibration(0, 1);
        let options = (QuantizeOptions::default(), &PackOptions::default());
        self.rehearse(&images, recipe.as_ref(), options, limits)
    }
}

fn all_supported(nodes: &[NodeVerdict]) -> bool {
    nodes.iter().all(|node| node.verdict.is_supported())
}

/// Lays what is wrong at the door of the node that it names; true if there is one.
fn blame_node(nodes: &mut [NodeVerdict], error: &PipelineError) -> bool {
    let Some(Problem::Lower(LowerError::Unsupported { node, what })) = error.problem() else {
        return false;
    };
    let Some(verdict) = nodes.iter_mut().find(|verdict| verdict.name == *node) else {
        return false;
    };
    verdict.verdict = Verdict::unsupported((*what).to_string(), &verdict.op);
    true
}

/// Tells the steps that folding absorbs, and those that the output does not need, from the rest.
fn name_folded_nodes(checked: &mut Checked) {
    let Checked { nodes, graph, joined, .. } = checked;
    let Some(Ok((folded, folds))) = graph.as_ref().map(fold::fold_with_report) else { return };
    let absorbed: Vec<Absorbed> = joined.drain(..).chain(folds).collect();
    for verdict in nodes {
        let Verdict::Supported { role: role @ Role::Step } = &mut verdict.verdict else {
            continue;
        };
        let is_named = |name: &str| name == verdict.name;
        if let Some(into) = final_home(&absorbed, &verdict.name) {
            *role = Role::FoldedInto(into.to_string());
        } else if !folded.nodes.iter().any(|node| is_named(&node.name)) {
            *role = Role::Unused;
        }
    }
}

/// The node in which `name` ends up after all foldings, which come in the order in which they were
/// made; `None` if it stays by itself.
fn final_home<'n>(absorbed: &'n [Absorbed], name: &str) -> Option<&'n str> {
    let mut home = None;
    for (node, into) in absorbed {
        if node == home.unwrap_or(name) {
            home = Some(into.as_str());
        }
    }
    home
}
