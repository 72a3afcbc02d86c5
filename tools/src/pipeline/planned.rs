//! From a planned network to the bytes of a model file, and their distance from the float network.

use std::sync::Arc;

use fixnet::format::{self, Limits, ModelSpec, Target};
use fixnet::{AlignedBytes, Model};

use super::{Lowered, PipelineError, Progress};
use crate::compare::{CompareOptions, Comparison};
use crate::data::Recipe;
use crate::images::Images;
use crate::packing;

/// A portable network with a place for every tensor.
#[derive(Debug, Clone)]
pub struct Planned {
    pub lowered: Arc<Lowered>,
    pub recipe: Option<Recipe>,
    pub spec: ModelSpec,
}

/// A model file for one machine.
#[derive(Debug)]
pub struct Packed {
    pub lowered: Arc<Lowered>,
    pub recipe: Option<Recipe>,
    /// The file.
    pub bytes: AlignedBytes,
    /// The same network in portable form, with every tensor whole: what is compared, layer by layer, for
    /// the bytes of every result are the same.
    pub whole: AlignedBytes,
}

/// The machine that a file is for.
#[derive(Debug, Clone, Copy)]
pub struct PackOptions {
    pub target: Target,
    /// Largest file: packed weights make it larger and the network faster.
    pub max_bytes: Option<u64>,
}

impl Default for PackOptions {
    /// A portable file.
    fn default() -> Self {
        Self { target: Target::Portable, max_bytes: None }
    }
}

impl Planned {
    /// Lays the weights out for a machine and writes the file, to memory.
    ///
    /// # Errors
    /// [`PipelineError`] with the bytes that the smallest file has, if that is too large.
    pub fn pack(&self, options: &PackOptions) -> Result<Packed, PipelineError> {
        let whole = self.written(&self.spec.clone().with_whole_tensors())?;
        let packed = packing::pack(&self.spec, options.target, options.max_bytes)
            .map_err(|error| PipelineError::network(&self.lowered.path, error))?;
        let bytes = self.written(&packed)?;
        let (lowered, recipe) = (Arc::clone(&self.lowered), self.recipe.clone());
        Ok(Packed { lowered, recipe, bytes, whole })
    }

    /// The bytes of the portable file.
    ///
    /// # Errors
    /// [`PipelineError`] if the network is too large for the format.
    pub fn write(&self) -> Result<AlignedBytes, PipelineError> {
        self.written(&self.spec)
    }

    fn written(&self, spec: &ModelSpec) -> Result<AlignedBytes, PipelineError> {
        format::write(spec).map_err(|error| PipelineError::inconsistent(&self.lowered.path, error))
    }
}

impl Packed {
    /// The model in the file.
    ///
    /// # Errors
    /// [`PipelineError`] if it takes more than `limits` allow.
    pub fn model(&self, limits: &Limits) -> Result<Model<'_>, PipelineError> {
        self.checked(&self.bytes, limits)
    }

    /// The model of [`Packed::whole`].
    ///
    /// # Errors
    /// As [`Packed::model`].
    pub fn whole_model(&self, limits: &Limits) -> Result<Model<'_>, PipelineError> {
        self.checked(&self.whole, limits)
    }

    fn checked<'a>(&self, bytes: &'a [u8], limits: &Limits) -> Result<Model<'a>, PipelineError> {
        Model::new_checked_with(bytes, limits)
            .map_err(|error| PipelineError::network(&self.lowered.path, error))
    }

    /// Compares with the float network.
    ///
    /// # Errors
    /// [`PipelineError`]: the first image that fails, by index.
    pub fn compare(
        &self,
        images: &Images,
        options: &CompareOptions,
        progress: &dyn Progress,
    ) -> Result<Comparison, PipelineError> {
        let model = self.whole_model(&options.limits)?;
        self.lowered
            .compare(model, images, options, progress)
            .map_err(|error| PipelineError::compare(&self.lowered.path, error))
    }
}
