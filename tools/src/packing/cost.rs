//! What kernels cost: measured coefficients of each target, kept as data beside this module.

use fixnet::format::{Target, WeightLayout};
use fixnet::kernels::{ConvKernel, ConvShape};
use include_dir::{Dir, include_dir};
use serde::Deserialize;
use thiserror::Error;

/// A table for each target, by its name.
static COSTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/packing/costs");
/// That of portable files, of which nothing is chosen.
const NO_COSTS: &str = "unit = \"\"\nsource = \"\"";

/// A table that cannot be used.
#[derive(Debug, Error)]
#[error("the table of costs of {target} cannot be read: {reason}")]
pub struct CostError {
    pub target: &'static str,
    pub reason: String,
}

/// The costs of one target's kernels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostTable {
    /// What is counted: instructions, or nanoseconds of one core.
    pub unit: String,
    /// Where the figures come from: machine, date, command.
    pub source: String,
    #[serde(default)]
    cost: Vec<Cost>,
}

/// What a kernel costs with one layout of weights: the sum of its parts, each per unit of work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    kernel: String,
    layout: String,
    /// Outputs are computed in squares of this side; what is behind the edge counts.
    #[serde(default = "one")]
    tile: usize,
    /// A multiply-accumulate of direct convolution.
    #[serde(default)]
    mac: f64,
    /// An output value.
    #[serde(default)]
    output: f64,
    /// An element of a window: of each output's, or of each tile's input.
    #[serde(default)]
    window: f64,
    /// A byte of weights in the file.
    #[serde(default)]
    weight: f64,
    /// A call.
    #[serde(default)]
    call: f64,
}

const fn one() -> usize {
    1
}

impl CostTable {
    /// The table of a target; the portable one has none.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn for_target(target: Target) -> Result<Self, CostError> {
        let file = COSTS.get_file(format!("{}.toml", target.name()));
        let text = file.and_then(|file| file.contents_utf8()).unwrap_or(NO_COSTS);
        let error = |error: toml::de::Error| {
            let reason: Vec<&str> = error.message().lines().collect();
            CostError { target: target.name(), reason: reason.join(" ") }
        };
        toml::from_str(text).map_err(error)
    }

    /// What a convolution costs; `None` if the table does not say.
    #[must_use]
    pub fn cost(
        &self,
        kernel: ConvKernel,
        layout: WeightLayout,
        shape: &ConvShape,
        weight_bytes: usize,
    ) -> Option<f64> {
        let is_meant = |c: &&Cost| c.kernel == kernel.name() && c.layout == layout.name();
        let cost = self.cost.iter().find(is_meant)?;
        let [height, width, channels] = shape.output;
        let tiles = height.div_ceil(cost.tile) * width.div_ceil(cost.tile);
        let outputs = tiles * cost.tile * cost.tile * channels;
        let side = |axis: usize| {
            (cost.tile - 1) * shape.strides[axis]
                + (shape.kernel[axis] - 1) * shape.dilations[axis]
                + 1
        };
        let window = match cost.tile {
            1 => shape.patch_len(),
            _ => side(0) * side(1) * shape.input[2],
        };
        let parts = [
            cost.mac * (outputs as f64 * shape.patch_len() as f64),
            cost.output * outputs as f64,
            cost.window * (tiles as f64 * window as f64),
            cost.weight * weight_bytes as f64,
            cost.call,
        ];
        Some(parts.into_iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixnet::KernelFamily;
    use fixnet::format::WeightForm;
    use fixnet::layouts;

    /// Convolutions of the networks that fixnet is for.
    fn shapes() -> Vec<ConvShape> {
        let conv = |extent: usize, channels: [usize; 2], kernel: usize, stride: usize| ConvShape {
            input: [extent, extent, channels[0]],
            output: [extent.div_ceil(stride), extent.div_ceil(stride), channels[1]],
            kernel: [kernel; 2],
            strides: [stride; 2],
            pads: [kernel / 2; 4],
            dilations: [1; 2],
            groups: 1,
            input_zero_point: 0,
            input_range: (-128, 127),
        };
        let mut shapes = vec![conv(224, [3, 64], 7, 2), conv(32, [3, 16], 3, 1)];
        for (extent, channels) in [(32, 16), (16, 32), (8, 64), (56, 64), (28, 128), (7, 512)] {
            shapes.push(conv(extent, [channels; 2], 3, 1));
            shapes.push(conv(extent, [channels, channels * 2], 3, 2));
            shapes.push(conv(extent, [channels, channels * 2], 1, 2));
            shapes.push(conv(extent, [channels, channels * 4], 1, 1));
            for (kernel, groups) in [(1, channels), (3, channels), (3, channels / 4)] {
                shapes.push(ConvShape { groups, ..conv(extent, [channels; 2], kernel, 1) });
            }
        }
        shapes
    }

    #[test]
    fn every_kernel_of_every_target_has_a_cost() {
        for target in Target::ALL {
            let Some(family) = KernelFamily::for_target(target) else { continue };
            let table = CostTable::for_target(target).unwrap();
            assert!(!table.unit.is_empty() && !table.source.is_empty());
            for shape in shapes() {
                for layout in WeightLayout::ALL {
                    let form = WeightForm { target, layout };
                    let Some(bytes) = layouts::weights_bytes(form, &shape) else { continue };
                    let kernel = family.conv_kernel(&shape, form);
                    if !kernel.computes(&shape, form) {
                        continue;
                    }
                    let cost = table.cost(kernel, layout, &shape, bytes as usize);
                    let what = format!("{} {} {}", target.name(), kernel.name(), layout.name());
                    assert!(cost.is_some_and(|cost| cost > 0.0), "{what}: {cost:?} for {shape:?}");
                }
            }
        }
    }

    #[test]
    fn every_target_has_a_table_and_every_table_a_target() {
        let packed = Target::ALL.into_iter().filter(|&target| target != Target::Portable);
        let mut expected: Vec<String> = packed.map(|t| format!("{}.toml", t.name())).collect();
        let name = |file: &include_dir::File<'_>| file.path().display().to_string();
        let mut found: Vec<String> = COSTS.files().map(name).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_line_of_every_table_names_another_kernel_and_layout() {
        for target in Target::ALL {
            let lines = CostTable::for_target(target).unwrap().cost;
            for (index, line) in lines.iter().enumerate() {
                let same = |l: &Cost| (&l.kernel, &l.layout) == (&line.kernel, &line.layout);
                assert_eq!(lines.iter().position(same), Some(index), "{}: twice", line.kernel);
                let kernel = ConvKernel::from_name(&line.kernel);
                let family = KernelFamily::for_target(target).unwrap();
                let known = family.conv_kernels().any(|known| kernel == Some(known));
                assert!(known, "{}: {}", target.name(), line.kernel);
                let layouts = WeightLayout::ALL.map(WeightLayout::name);
                assert!(layouts.contains(&line.layout.as_str()), "{}", line.layout);
            }
        }
    }
}
