//! Networks of the literature with generated weights, so that every test and benchmark can be made
//! anywhere.
//!
//! They have the structure of the papers and, where there is one, the names of the best known
//! implementation. Weights are He-initialised; batch norms are unfolded, and their statistics are
//! measured on generated images, so that activations keep their scale through any depth. One seed gives
//! the same bytes on every machine: only integer arithmetic, and IEEE additions, multiplications,
//! divisions and square roots in a fixed order are used.
//!
//! `table.rs` lists them; a new network is a line there, and a new family a module beside it.

mod alphazero;
mod builder;
mod densenet;
mod detection;
mod gates;
mod highway;
mod keras;
mod measure;
mod mobilenet;
mod network;
mod preactivation;
mod resnet;
mod table;
mod vgg;

use thiserror::Error;

use crate::graph::Graph;
use network::Network;
use table::{Entry, GROUPS, Group};

/// What of a network may be changed.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    /// Number of scores; that of the data set by default.
    pub classes: Option<usize>,
    /// Rows of the input, and columns if they are not said; those of the data set by default.
    pub input_size: Option<usize>,
    /// Columns of the input.
    pub input_width: Option<usize>,
    /// Channels of the input; 3 by default, or those of what the network is for.
    pub channels: Option<usize>,
    /// Factor on all channel counts.
    pub width_multiplier: f64,
    /// Blocks of each stage; the network's own by default.
    pub blocks: Option<usize>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            classes: None,
            input_size: None,
            input_width: None,
            channels: None,
            width_multiplier: 1.0,
            blocks: None,
        }
    }
}

/// A network that cannot be made.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ModelError {
    #[error("there is no model {name:?}; choose one of {}", names().collect::<Vec<_>>().join(", "))]
    UnknownName { name: String },
    #[error("{value} classes are not within {min}..={max}")]
    Classes { value: usize, min: usize, max: usize },
    #[error("an input size of {value} is not within {min}..={max}")]
    InputSize { value: usize, min: usize, max: usize },
    #[error("{value} channels of the input are not within {min}..={max}")]
    Channels { value: usize, min: usize, max: usize },
    #[error("a width multiplier of {value} is not within {min}..={max}")]
    Width { value: f64, min: f64, max: f64 },
    #[error("{value} blocks a stage are not within {min}..={max}")]
    Blocks { value: usize, min: usize, max: usize },
}

fn entries() -> impl Iterator<Item = (&'static Group, &'static Entry)> {
    GROUPS.iter().flat_map(|group| group.entries.iter().map(move |entry| (group, entry)))
}

/// Names that [`build`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    entries().map(|(_, entry)| entry.name)
}

/// All names, by where they come from, one group a paragraph.
#[must_use]
pub fn list() -> String {
    let mut text = String::from("Networks:\n");
    for group in GROUPS {
        let names: Vec<&str> = group.entries.iter().map(|entry| entry.name).collect();
        let Group { title, input: [height, width, channels], classes, .. } = group;
        let channels = if *channels == 3 { String::new() } else { format!("x{channels}") };
        text += &format!("  {title}, {height}x{width}{channels}, {classes} classes:\n");
        text += &format!("    {}\n", names.join(", "));
    }
    text
}

/// The network `name` with weights drawn from `seed`.
///
/// # Errors
/// [`ModelError`] with what may be chosen.
pub fn build(name: &str, seed: u64, options: &ModelOptions) -> Result<Graph, ModelError> {
    let found = entries().find(|(_, entry)| entry.name == name);
    let (group, entry) = found.ok_or_else(|| ModelError::UnknownName { name: name.to_string() })?;
    check(options, group.least_input)?;
    let mut network = Network::new(seed, group, options);
    (entry.build)(&mut network);
    let mut graph = network.finish();
    measure::measure(&mut graph, seed);
    Ok(graph)
}

fn check(options: &ModelOptions, least_input: usize) -> Result<(), ModelError> {
    let (min, max) = (1, 1 << 16);
    if let Some(value) = options.classes.filter(|n| !(min..=max).contains(n)) {
        return Err(ModelError::Classes { value, min, max });
    }
    let (min, max) = (least_input, 2048);
    let sides = options.input_size.into_iter().chain(options.input_width);
    if let Some(value) = sides.into_iter().find(|n| !(min..=max).contains(n)) {
        return Err(ModelError::InputSize { value, min, max });
    }
    let (min, max) = (1, 4096);
    if let Some(value) = options.channels.filter(|n| !(min..=max).contains(n)) {
        return Err(ModelError::Channels { value, min, max });
    }
    let (min, max) = (1, 1000);
    if let Some(value) = options.blocks.filter(|n| !(min..=max).contains(n)) {
        return Err(ModelError::Blocks { value, min, max });
    }
    let (min, max, value) = (0.01, 4.0, options.width_multiplier);
    if !(min..=max).contains(&value) {
        return Err(ModelError::Width { value, min, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once_and_all_in_the_list() {
        let (list, names): (String, Vec<&str>) = (list(), names().collect());
        let mut listed: Vec<&str> = list.lines().filter(|l| l.starts_with("    ")).collect();
        listed = listed.iter().flat_map(|line| line.trim().split(", ")).collect();
        assert_eq!(listed, names);
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name} twice");
        }
    }
}
