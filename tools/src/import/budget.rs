//! How much a file may make the importer compute.
//!
//! What may not be broken: whoever allocates what a file asks for takes it from a budget first.

use super::error::NodeProblem;
use super::tensor::element_count;

/// Elements that all folded constants of a model may have together.
pub(super) const MAX_CONSTANT_ELEMENTS: usize = 1 << 28;

/// What is left of [`MAX_CONSTANT_ELEMENTS`].
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_CONSTANT_ELEMENTS)
    }
}

impl Budget {
    /// A budget of its own.
    pub fn new(elements: usize) -> Self {
        Self(elements)
    }

    /// Takes `elements` from the budget, before they are allocated.
    pub fn charge(&mut self, elements: Option<usize>) -> Result<(), NodeProblem> {
        let left = elements.and_then(|n| self.0.checked_sub(n));
        self.0 = left.ok_or(NodeProblem::ConstantsTooLarge { limit: MAX_CONSTANT_ELEMENTS })?;
        Ok(())
    }

    /// [`Budget::charge`] for the elements of a shape.
    pub fn charge_shape(&mut self, shape: &[usize]) -> Result<(), NodeProblem> {
        self.charge(element_count(shape))
    }
}
