//! What becomes of each node on the way: `fixnet check`'s table.

use super::{PipelineError, Source};
use crate::fold::{self, Absorbed};
use crate::import::{Checked, ImportOptions, NodeVerdict, Role, Verdict};

impl Source {
    /// Judges every node, in the file's order; whether it is supported, import and folding say.
    ///
    /// # Errors
    /// [`PipelineError`] for what is wrong with the network as a whole.
    pub fn check(&self, options: &ImportOptions) -> Result<Vec<NodeVerdict>, PipelineError> {
        let mut checked = self.file.check(options)?;
        name_folded_nodes(&mut checked);
        Ok(checked.nodes)
    }
}

/// Tells the steps that folding absorbs, and those that the output does not need, from the rest.
fn name_folded_nodes(checked: &mut Checked) {
    let Checked { nodes, graph, joined } = checked;
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
