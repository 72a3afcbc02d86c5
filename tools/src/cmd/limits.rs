//! How much work and memory of a model file is accepted, and the check of files against it.

use std::path::Path;

use anyhow::{anyhow, ensure};
use fixnet::format::Limits;
use fixnet::{Model, ModelError};

#[cfg(feature = "tract")]
use crate::pipeline::{PipelineError, Problem};

/// What a model may take.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct LimitArgs {
    /// Most multiply-accumulates of one inference: a model of more is refused [default: 2^36, six times
    /// ResNet-152's].
    #[arg(long, value_name = "N")]
    pub max_macs: Option<u64>,
}

impl LimitArgs {
    /// The runtime's own limits, with what the flags say.
    #[must_use]
    pub fn limits(self) -> Limits {
        self.max_macs.map_or(Limits::DEFAULT, |macs| Limits::DEFAULT.with_macs(macs))
    }

    /// Refuses a limit above that of the programs on boards, which do not know the flag.
    ///
    /// # Errors
    /// One line with the largest limit.
    pub fn check_board(self) -> anyhow::Result<()> {
        let (asked, known) = (self.limits().macs, Limits::DEFAULT.macs);
        ensure!(
            asked <= known,
            "--max-macs {asked}: what runs on the board accepts at most {known}"
        );
        Ok(())
    }

    /// Refuses work before any is done.
    ///
    /// # Errors
    /// One line with the flag that allows it.
    #[cfg(feature = "tract")]
    pub fn check_macs(self, path: &Path, needed: u64) -> anyhow::Result<()> {
        let limit = self.limits().macs;
        let error = ModelError::TooMuchWork { needed, limit };
        if needed <= limit { Ok(()) } else { Err(refused(path, error)) }
    }

    /// Checks a model file and its weights.
    ///
    /// # Errors
    /// One line that names the file and the remedy.
    pub fn check_model<'m>(self, path: &Path, bytes: &'m [u8]) -> anyhow::Result<Model<'m>> {
        let checked = Model::new_checked_with(bytes, &self.limits()).and_then(|model| {
            model.verify_weights()?;
            Ok(model)
        });
        checked.map_err(|error| refused(path, error))
    }
}

/// What to do about a network that was refused.
#[cfg(feature = "tract")]
#[must_use]
pub fn network_remedy(error: &PipelineError) -> String {
    match error.problem() {
        Some(Problem::Model(error)) => remedy(*error),
        _ => String::new(),
    }
}

fn refused(path: &Path, error: ModelError) -> anyhow::Error {
    anyhow!("{}: {error}{}", path.display(), remedy(error))
}

fn remedy(error: ModelError) -> String {
    match error {
        ModelError::TooMuchWork { needed, .. } => format!("; {}", allowed_by(needed)),
        ModelError::TooManyElements { .. } | ModelError::ArenaTooLarge { .. } => String::new(),
        _ => "; make the file again with `fixnet quantize`".to_string(),
    }
}

fn allowed_by(needed: u64) -> String {
    format!("--max-macs {needed} accepts it")
}
