//! `fixnet run --backend tract`: the float network, timed in the layers of the int8 one.

use std::sync::Arc;

use anyhow::ensure;
use fixnet::Model;

use super::Args;
use crate::cmd::import_options;
use crate::data::{Content, Wanted};
use crate::pipeline::{Lowered, float_network_of};
use crate::report::{Row, Scores, time_float};

/// The float network that a model file was made from.
pub(super) struct Float(Arc<Lowered>);

impl Float {
    pub fn load(args: &Args, model: &Model<'_>) -> anyhow::Result<Self> {
        let options = import_options(args.input_shape.as_ref());
        let network = float_network_of(&args.file, model, args.model.as_deref(), &options)?;
        Ok(Self(network))
    }

    pub fn run(
        &self,
        args: &Args,
        wanted: &Wanted,
        input: &Content,
    ) -> anyhow::Result<(Scores, Vec<Row>)> {
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
        let logits = session.run()?.into_iter().next().unwrap_or_default();
        if args.marks {
            // The first run prepared what later ones find.
            std::thread::yield_now();
            session.run()?;
            std::thread::yield_now();
            return Ok((Scores::Float(logits), Vec::new()));
        }
        Ok((Scores::Float(logits), time_float(network, &session)?))
    }
}
