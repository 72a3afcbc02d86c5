//! From the ranges of activations to integers.

use std::sync::Arc;

use super::{Lowered, PipelineError, Planned, Progress, Stage};
use crate::calibrate::{self, CalibrateError, Statistics};
use crate::data::Recipe;
use crate::images::Images;
use crate::plan::{self, FloatParts};
use crate::quantize::{self, QuantizeOptions, QuantizedSteps};

/// A float network with what its tensors hold on calibration images.
#[derive(Debug, Clone)]
pub struct Observed {
    pub lowered: Arc<Lowered>,
    /// How images become the network's input.
    pub recipe: Recipe,
    /// Of each tensor of the network.
    pub tensors: Vec<Statistics>,
}

/// A network in integers.
#[derive(Debug, Clone)]
pub struct Quantized {
    pub lowered: Arc<Lowered>,
    pub recipe: Recipe,
    pub steps: QuantizedSteps,
}

impl Lowered {
    /// Runs the float network on calibration images.
    ///
    /// # Errors
    /// [`PipelineError`]: the first image that fails, or what the network makes of it.
    pub fn observe(
        self: &Arc<Self>,
        images: &Images,
        recipe: &Recipe,
        progress: &dyn Progress,
    ) -> Result<Observed, PipelineError> {
        let size = self.input_size();
        let image = |index: usize| -> Result<Vec<f32>, CalibrateError> {
            let sample = images.sample(index, recipe, size)?;
            Ok(self.inner_input(recipe, &sample.pixels)?)
        };
        progress.begin(Stage::Observe, images.len());
        let advance = || progress.advance();
        let tensors =
            calibrate::calibrate(&self.network, &self.inner, images.len(), image, advance);
        progress.end();
        let tensors = tensors.map_err(|error| PipelineError::calibrate(&self.path, error))?;
        Ok(Observed { lowered: Arc::clone(self), recipe: recipe.clone(), tensors })
    }
}

impl Observed {
    /// Chooses ranges and rounds weights.
    ///
    /// # Errors
    /// [`PipelineError`] naming the layer that has no integers.
    pub fn quantize(&self, options: QuantizeOptions) -> Result<Quantized, PipelineError> {
        let Self { lowered, recipe, tensors } = self;
        // Behind a head the input is a tensor as any other.
        let input = lowered.head.is_none().then(|| quantize::input_range(recipe));
        let steps = quantize::quantize(&lowered.network, tensors, input, options)
            .map_err(|error| PipelineError::network(&lowered.path, error))?;
        Ok(Quantized { lowered: Arc::clone(lowered), recipe: recipe.clone(), steps })
    }
}

impl Quantized {
    /// Gives every tensor its place in the arena.
    #[must_use]
    pub fn plan(self) -> Planned {
        let Self { lowered, recipe, steps } = self;
        let parts = FloatParts { head: lowered.head.as_ref(), tail: lowered.tail.as_ref() };
        let spec = plan::plan(&lowered.name, &lowered.network, steps, &recipe, parts);
        Planned { lowered, recipe, spec }
    }
}
