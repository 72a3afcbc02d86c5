//! `fixnet run --backend tract`: the float network, timed in the layers of the int8 one.

use anyhow::ensure;
use fixnet::Model;

use super::Args;
use crate::data::{Recipe, Sample};
use crate::report::{Row, Scores, time_float};
use crate::source::Source;

/// The float network that a model file was made from.
pub(super) struct Float(Source);

impl Float {
    pub fn load(args: &Args, model: &Model<'_>) -> anyhow::Result<Self> {
        let shape = args.input_shape.as_ref().map(|s| s.0.clone());
        Source::of_file(&args.file, model, args.model.as_deref(), shape).map(Self)
    }

    pub fn run(
        &self,
        args: &Args,
        recipe: &Recipe,
        sample: &Sample,
    ) -> anyhow::Result<(Scores, Vec<Row>)> {
        let Self(source) = self;
        let values = recipe.float_input(&sample.pixels, source.layout);
        let mut session = source.float.session();
        let (needed, available) = (session.input_mut().len(), values.len());
        ensure!(needed == available, "{}: not an RGB image network", source.name);
        session.input_mut().copy_from_slice(&values);
        let logits = session.run()?.into_iter().next().unwrap_or_default();
        if args.marks {
            // The first run prepared what later ones find.
            std::thread::yield_now();
            session.run()?;
            std::thread::yield_now();
            return Ok((Scores::Float(logits), Vec::new()));
        }
        Ok((Scores::Float(logits), time_float(source, &session)?))
    }
}
