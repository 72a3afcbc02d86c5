//! Weights laid out for one machine: which layout each layer gets, by measured costs, within a budget
//! of bytes.
//!
//! What may not be broken: packing changes no byte of any result; `fixnet::layouts` holds the orders
//! and their bounds, this module only chooses among what they accept.

mod choose;
mod cost;

use fixnet::format::{ALIGNMENT, ModelSpec, Target, WeightForm, WeightLayout, write};
use fixnet::{KernelFamily, ModelError};
use thiserror::Error;

use choose::{Candidate, choose};
pub use cost::{CostError, CostTable};

/// Why a network was not packed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackingError {
    #[error(transparent)]
    Cost(#[from] CostError),
    #[error("the smallest file for {target} has {needed} bytes and --max-bytes allows {available}")]
    TooLarge { target: &'static str, needed: u64, available: u64 },
    #[error("the planned file is inconsistent: {0}")]
    Inconsistent(ModelError),
    #[error("the weights cannot be packed for {target}")]
    Weights { target: &'static str },
}

/// Understands the name of a target.
///
/// # Errors
/// The names that there are.
pub fn parse_target(name: &str) -> Result<Target, String> {
    let found = Target::ALL.into_iter().find(|target| target.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = Target::ALL.into_iter().map(Target::name).collect();
        format!("there are {}", names.join(", "))
    })
}

/// The network with its weights laid out for `target`, as fast as a file of `max_bytes` allows by the
/// target's table of costs.
///
/// # Errors
/// [`PackingError::TooLarge`] with the least bytes that do.
pub fn pack(
    portable: &ModelSpec,
    target: Target,
    max_bytes: Option<u64>,
) -> Result<ModelSpec, PackingError> {
    let name = target.name();
    let layouts = match KernelFamily::for_target(target) {
        None => Vec::new(),
        Some(family) => choose_layouts(portable, target, family, max_bytes)?,
    };
    let packed = portable.pack(target, &layouts).ok_or(PackingError::Weights { target: name })?;
    let needed = write(&packed).map_err(PackingError::Inconsistent)?.len() as u64;
    match max_bytes {
        Some(available) if needed > available => {
            Err(PackingError::TooLarge { target: name, needed, available })
        }
        _ => Ok(packed),
    }
}

/// The layout of each step.
fn choose_layouts(
    portable: &ModelSpec,
    target: Target,
    family: KernelFamily,
    max_bytes: Option<u64>,
) -> Result<Vec<WeightLayout>, PackingError> {
    let table = CostTable::for_target(target)?;
    let mut layers = Vec::new();
    let mut fixed = write(portable).map_err(PackingError::Inconsistent)?.len() as u64;
    for (index, step) in portable.steps.iter().enumerate() {
        if portable.conv_shape(index).is_none() {
            continue;
        }
        fixed -= aligned(step.weights.len());
        layers.push((index, options(portable, index, target, family, &table)));
    }
    let mut layouts = vec![WeightLayout::Ohwi; portable.steps.len()];
    let budget = max_bytes.map(|max| max.saturating_sub(fixed));
    let choices: Vec<&[Candidate]> = layers.iter().map(|(_, options)| options.as_slice()).collect();
    for ((index, _), choice) in layers.iter().zip(choose(&choices, budget)) {
        layouts[*index] = choice.layout;
    }
    Ok(layouts)
}

/// The layouts that a convolution's weights can have, with bytes and cost.
fn options(
    portable: &ModelSpec,
    index: usize,
    target: Target,
    family: KernelFamily,
    table: &CostTable,
) -> Vec<Candidate> {
    let Some(shape) = portable.conv_shape(index) else { return Vec::new() };
    let option = |layout: WeightLayout| {
        let form = WeightForm { target, layout };
        let bytes = portable.packed_weights(index, form)?.len();
        let cost = table.cost(family.conv_kernel(&shape, form), layout, &shape, bytes)?;
        Some(Candidate { layout, bytes: aligned(bytes), cost })
    };
    WeightLayout::ALL.into_iter().filter_map(option).collect()
}

const fn aligned(bytes: usize) -> u64 {
    (bytes as u64).next_multiple_of(ALIGNMENT as u64)
}
