//! From the ranges of activations to integers.

use std::sync::Arc;

use super::{Lowered, PipelineError, Planned, Problem, Progress, Stage};
use crate::calibrate::{self, CalibrateError, Statistics};
use crate::data::{Recipe, Wanted};
use crate::images::Images;
use crate::plan::{self, FloatParts};
use crate::quantize::{self, QuantizeOptions, QuantizedSteps};

/// A float network with what its tensors hold on calibration images.
#[derive(Debug, Clone)]
pub struct Observed {
    pub lowered: Arc<Lowered>,
    /// How images become the network's input; none if it takes tensors that are no images.
    pub recipe: Option<Recipe>,
    /// Of each tensor of the network.
    pub tensors: Vec<Statistics>,
}

/// A network in integers.
#[derive(Debug, Clone)]
pub struct Quantized {
    pub lowered: Arc<Lowered>,
    pub recipe: Option<Recipe>,
    pub steps: QuantizedSteps,
}

impl Lowered {
    /// Runs the float network on calibration images, or on tensors where there is no recipe for images.
    ///
    /// # Errors
    /// [`PipelineError`]: the first image that fails, or what the network makes of it.
    pub fn observe<'r>(
        self: &Arc<Self>,
        images: &Images,
        recipe: impl Into<Option<&'r Recipe>>,
        progress: &dyn Progress,
    ) -> Result<Observed, PipelineError> {
        self.observe_some(images.len(), images, recipe.into(), progress)
    }

    /// The same on the first `count` of them.
    pub(super) fn observe_some(
        self: &Arc<Self>,
        count: usize,
        images: &Images,
        recipe: Option<&Recipe>,
        progress: &dyn Progress,
    ) -> Result<Observed, PipelineError> {
        let count = count.min(images.len());
        let shape = self.input_shape();
        if recipe.is_some() && !shape.is_image() {
            let problem = Problem::NoImages { channels: shape.channels };
            return Err(PipelineError::network(&self.path, problem));
        }
        let wanted = Wanted::in_float(shape, recipe);
        let image = |index: usize| -> Result<Vec<f32>, CalibrateError> {
            let sample = images.sample(index, &wanted)?;
            Ok(self.inner_input(&sample.content, &wanted)?)
        };
        progress.begin(Stage::Observe, count);
        let advance = || progress.advance();
        let tensors = calibrate::calibrate(&self.network, &self.inner, count, image, advance);
        progress.end();
        let tensors = tensors.map_err(|error| PipelineError::calibrate(&self.path, error))?;
        Ok(Observed { lowered: Arc::clone(self), recipe: wanted.recipe, tensors })
    }
}

impl Observed {
    /// The range of values that the network was given and that of all that images can give, if the former is
    /// not within the latter: where images are taken and tensors were given.
    #[must_use]
    pub fn beyond_images(&self) -> Option<[(f32, f32); 2]> {
        let Self { lowered, recipe, tensors } = self;
        let recipe = recipe.as_ref().filter(|_| lowered.head.is_none())?;
        let grid = quantize::input_range(recipe, lowered.input_shape().channels);
        let images = (grid.dequantize(-128), grid.dequantize(grid.highest));
        let seen = &tensors.get(lowered.network.input)?.histogram;
        let step = grid.scale;
        let within = seen.min >= images.0 - step && seen.max <= images.1 + step;
        (!within && !seen.is_empty()).then_some([(seen.min, seen.max), images])
    }

    /// Chooses ranges and rounds weights.
    ///
    /// # Errors
    /// [`PipelineError`] naming the layer that has no integers.
    pub fn quantize(&self, options: QuantizeOptions) -> Result<Quantized, PipelineError> {
        let Self { lowered, recipe, tensors } = self;
        // Behind a head the input is a tensor as any other.
        let image = recipe.as_ref().filter(|_| lowered.head.is_none());
        let channels = lowered.input_shape().channels;
        let input = image.map(|recipe| quantize::input_range(recipe, channels));
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
        let mut spec = plan::plan(&lowered.name, &lowered.network, steps, recipe.as_ref(), parts);
        spec.outputs = lowered.output_specs();
        Planned { lowered, recipe, spec }
    }
}
