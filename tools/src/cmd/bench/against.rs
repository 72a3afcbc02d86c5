//! The rival of `fixnet bench --against tract`: the float network on the same image.

use fixnet::Model;

use super::Args;
use crate::bench::Contestant;
use crate::cmd::embedded_recipe;
use crate::data::RgbPixels;
use crate::source::Source;

/// tract with the float network that `model` was made from.
pub(super) fn contestant(
    args: &Args,
    model: &Model<'_>,
    image: &RgbPixels,
) -> anyhow::Result<Contestant<'static>> {
    let recipe = embedded_recipe(&args.file, model)?;
    let shape = args.input_shape.as_ref().map(|s| s.0.clone());
    let source = Source::of_file(&args.file, model, args.model.as_deref(), shape)?;
    recipe.check_mean_image(source.input_size())?;
    let values = recipe.float_input(image, source.layout);
    tract_contestant(&source, &values)
}

/// From the float input to the logits.
fn tract_contestant(source: &Source, values: &[f32]) -> anyhow::Result<Contestant<'static>> {
    let mut session = source.float.session();
    let (needed, available) = (session.input_mut().len(), values.len());
    anyhow::ensure!(needed == available, "{}: not an RGB image network", source.name);
    session.input_mut().copy_from_slice(values);
    let run = move || {
        session.run()?;
        Ok(())
    };
    Ok(Contestant { name: "tract", threads: 1, run: Box::new(run) })
}
