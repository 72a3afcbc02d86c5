//! `fixnet run --backend tract`: the float network, timed in the layers of the int8 one.

use std::sync::Arc;

use anyhow::ensure;
use fixnet::Model;
use fixnet::format::{FloatPartKind, OutputKind, Selection};

use super::Args;
use crate::cmd::import_options;
use crate::data::{Content, Wanted};
use crate::pipeline::{Lowered, float_network_of};
use crate::report::{OutputValues, Row, time_float};

/// The float network that a model file was made from.
pub(super) struct Float(Arc<Lowered>);

impl Float {
    pub fn load(args: &Args, model: &Model<'_>) -> anyhow::Result<Self> {
        let options = import_options(args.input_shape.as_ref(), &[]);
        let network = float_network_of(&args.file, model, args.model.as_deref(), &options)?;
        Ok(Self(network))
    }

    pub fn run(
        &self,
        args: &Args,
        model: &Model<'_>,
        wanted: &Wanted,
        input: &Content,
    ) -> anyhow::Result<(Vec<OutputValues>, Vec<Row>)> {
        let Self(network) = self;
        let values = input.in_layout(wanted, network.layout);
        let mut session = network.float.session();
        let (needed, available) = (session.input_mut().len(), values.len());
        ensure!(
            needed == available,
            "{}: takes {needed} values and the input has {available}",
            network.name
        );
        session.input_mut().copy_from_slice(&values);
        let outputs = outputs(network, model, session.run()?);
        if args.marks {
            // The first run prepared what later ones find.
            std::thread::yield_now();
            session.run()?;
            std::thread::yield_now();
            return Ok((outputs, Vec::new()));
        }
        Ok((outputs, time_float(network, &session)?))
    }
}

/// What the float network gives, in terms of the model file's outputs.
fn outputs(network: &Lowered, model: &Model<'_>, values: Vec<Vec<f32>>) -> Vec<OutputValues> {
    let values = network.in_hwc(values).into_iter();
    if model.float_part(FloatPartKind::Tail).is_some() {
        return values.map(|values| OutputValues::of_scores("scores", values)).collect();
    }
    let both = model.outputs().zip(values);
    both.map(|(output, values)| match output.kind {
        OutputKind::Scores if output.selection == Selection::All => {
            OutputValues::of_scores(output.name, values)
        }
        kind => {
            let tensor: Vec<f64> = values.iter().copied().map(f64::from).collect();
            OutputValues {
                name: output.name.to_string(),
                kind,
                shape: match kind {
                    OutputKind::Map => output.activation.shape().to_vec(),
                    _ => vec![output.count],
                },
                values: output.values(&tensor),
                scores: None,
                crc32: None,
            }
        }
    })
    .collect()
}
