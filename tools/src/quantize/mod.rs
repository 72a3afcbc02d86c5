//! From layers and observed ranges to the integers of a model file.
//!
//! What may not be broken: for every input the arithmetic of `fixnet::numerics` neither wraps nor
//! loses more than it documents; `fixed::FixedPoint` is where that is proved, per channel and
//! from the actual weights.

mod bits;
mod constants;
mod elementwise;
mod fixed;
mod input;
mod weights;

use fixnet::format::{NONE, StepKind, StepRecord, StepSpec, flags};

pub use input::input_range;

use crate::calibrate::{Bits, Method, Range, Statistics};
use crate::lower::{Geometry, Kind, Layer, Network};
use constants::{accumulate_channels, bias_correction};
use fixed::FixedPoint;
use weights::QuantizedWeights;

/// Choices of a quantization.
#[derive(Debug, Clone, Copy)]
pub struct QuantizeOptions {
    pub method: Method,
    /// Correct each channel's bias for the mean error that its rounded weights make.
    pub correct_bias: bool,
    /// Of tensors whose readers gain from fewer values.
    pub activation_bits: Bits,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self { method: Method::Mse, correct_bias: true, activation_bits: Bits::Eight }
    }
}

/// Why a network could not be quantized.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    #[error("layer {layer}, whose output is {height}x{width}x{channels}: {what}", height = shape[0], width = shape[1], channels = shape[2])]
    Layer { layer: String, shape: [usize; 3], what: &'static str },
    #[error("layer {layer}: a weight or bias is NaN or infinite")]
    NotFinite { layer: String },
    #[error("the network has {count} {what}; a model file holds at most {limit}")]
    TooMany { what: &'static str, count: usize, limit: usize },
}

/// The integers of a network, before it has a place in memory.
#[derive(Debug, Clone)]
pub struct QuantizedSteps {
    /// One a layer.
    pub steps: Vec<StepSpec>,
    /// What the integers of each tensor stand for; of logits the scale alone has a meaning.
    pub ranges: Vec<Range>,
}

/// Refuses a network of more layers or tensors than a model file holds.
///
/// # Errors
/// [`QuantizeError::TooMany`].
pub fn check_records(network: &Network) -> Result<(), QuantizeError> {
    let limit = fixnet::format::MAX_RECORDS;
    let counts = [("layers", network.layers.len()), ("tensors", network.tensors.len())];
    match counts.into_iter().find(|(_, count)| *count > limit) {
        Some((what, count)) => Err(QuantizeError::TooMany { what, count, limit }),
        None => Ok(()),
    }
}

/// Quantizes `network`; `observed` has one entry a tensor. `input` is the grid of the input where pixels
/// fill it ([`input_range`]); without one it is a tensor as any other.
///
/// # Errors
/// [`QuantizeError`] naming the layer.
pub fn quantize(
    network: &Network,
    observed: &[Statistics],
    input: Option<Range>,
    options: QuantizeOptions,
) -> Result<QuantizedSteps, QuantizeError> {
    check_records(network)?;
    let bits = bits::of_tensors(network, options.activation_bits);
    let choose = |(o, bits): (&Statistics, Bits)| Range::choose(&o.histogram, options.method, bits);
    let mut ranges: Vec<Range> = observed.iter().zip(bits).map(choose).collect();
    if let Some(range) = input {
        ranges[network.input] = range;
    }
    let mut quantizer = Quantizer { network, observed, ranges, options };
    let mut steps = Vec::with_capacity(network.layers.len());
    for layer in &network.layers {
        steps.push(quantizer.layer(layer)?);
    }
    Ok(QuantizedSteps { steps, ranges: quantizer.ranges })
}

struct Quantizer<'n> {
    network: &'n Network,
    observed: &'n [Statistics],
    ranges: Vec<Range>,
    options: QuantizeOptions,
}

impl Quantizer<'_> {
    fn layer(&mut self, layer: &Layer) -> Result<StepSpec, QuantizeError> {
        match &layer.kind {
            Kind::Conv { geometry, weights, bias } => self.conv(layer, geometry, weights, bias),
            Kind::MaxPool(geometry) => Ok(self.max_pool(layer, geometry)),
            Kind::AveragePool { geometry, count_include_pad } => {
                self.average_pool(layer, geometry, *count_include_pad)
            }
            Kind::Add => self.add(layer),
            Kind::Multiply => self.multiply(layer),
            Kind::Lookup { function } => self.lookup(layer, function),
            Kind::Concat { weights, bias } => self.concat(layer, weights, bias),
            Kind::Pad { pads } => self.pad(layer, *pads),
            Kind::Subsample { strides, channels_before } => {
                Ok(self.subsample(layer, *strides, *channels_before))
            }
            Kind::Logits { weights, bias } => self.logits(layer, weights, bias),
        }
    }

    fn refused(&self, layer: &Layer, what: &'static str) -> QuantizeError {
        let shape = self.network.tensors[layer.output].shape;
        QuantizeError::Layer { layer: layer.name.clone(), shape, what }
    }

    /// A step without weights and constants.
    fn step(&self, layer: &Layer, kind: StepKind, geometry: &Geometry) -> StepSpec {
        let clamp = self.clamp(layer);
        let record = StepRecord {
            kind: kind as u8,
            flags: 0,
            clamp_min: clamp.0,
            clamp_max: clamp.1,
            input: layer.input as u16,
            operand: layer.operand.map_or(NONE, |t| t as u16),
            output: layer.output as u16,
            layer: 0,
            layer_count: 0,
            kernel: geometry.kernel.map(|v| v as u16),
            strides: geometry.strides.map(|v| v as u16),
            pads: geometry.pads.map(|v| v as u16),
            dilations: geometry.dilations.map(|v| v as u16),
            fraction_bits: 0,
            groups: geometry.groups as u32,
            channels_before: 0,
            shift: 0,
            offset: 0,
            operand_multiplier: 0,
            input_multiplier: 0,
            weights_offset: 0,
            weights_bytes: 0,
            channels_offset: 0,
            channels_bytes: 0,
            weights_crc32: 0,
            weight_layout: 0,
            reserved_b: 0,
        };
        StepSpec {
            record,
            layer_name: layer.name.clone(),
            macs: layer.macs(self.network),
            weights: Vec::new(),
            bias: Vec::new(),
            multipliers: Vec::new(),
            others: layer.others.iter().map(|&tensor| tensor as u16).collect(),
        }
    }

    /// The activation function on the output's grid.
    fn clamp(&self, layer: &Layer) -> (i8, i8) {
        let range = self.ranges[layer.output];
        let (low, high) = (range.quantize(layer.clip.0), range.quantize(layer.clip.1));
        (low.min(high), high)
    }

    fn conv(
        &mut self,
        layer: &Layer,
        geometry: &Geometry,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<StepSpec, QuantizeError> {
        self.finite(layer, weights, bias)?;
        let input = self.ranges[layer.input];
        let mut quantized = QuantizedWeights::new(weights, bias, input);
        self.correct_bias(layer, weights, &mut quantized);
        loop {
            let output = self.ranges[layer.output];
            let residual = layer.operand.map(|operand| self.ranges[operand]);
            let channels = accumulate_channels(&quantized, input);
            let factors = quantized.factors(input, output);
            let fixed = match FixedPoint::choose(&factors, &channels, residual, output) {
                Ok(fixed) => fixed,
                Err(overflowing) => {
                    // A bias beside small weights: they have a coarser grid. Otherwise the output is small
                    // against what the weights could add up to, and has one.
                    match quantized.coarser(&overflowing, input, output) {
                        Some(scales) => {
                            quantized = QuantizedWeights::with_scales(weights, bias, scales);
                            self.correct_bias(layer, weights, &mut quantized);
                        }
                        None => self.coarsen(layer)?,
                    }
                    continue;
                }
            };
            let mut step = self.step(layer, StepKind::Conv, geometry);
            fixed.apply(&mut step);
            step.weights = quantized.values;
            step.bias = channels.iter().map(|c| c.bias).collect();
            return Ok(step);
        }
    }

    fn logits(
        &mut self,
        layer: &Layer,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<StepSpec, QuantizeError> {
        self.finite(layer, weights, bias)?;
        let input = self.ranges[layer.input];
        let mut quantized = QuantizedWeights::new(weights, bias, input);
        self.correct_bias(layer, weights, &mut quantized);
        let channels = accumulate_channels(&quantized, input);
        let largest = quantized.scales.iter().copied().fold(0.0, f64::max);
        let scale = (largest * f64::from(input.scale) * 2.0 * (1.0 + 1e-6)) as f32;
        self.ranges[layer.output].scale = scale;
        let scale = f64::from(scale);
        let factor = |s: &f64| s * f64::from(input.scale) / scale;
        let mut step = self.step(layer, StepKind::Logits, &Geometry::POINT);
        (step.record.clamp_min, step.record.clamp_max) = (-128, 127);
        step.multipliers =
            quantized.scales.iter().map(|s| fixed::multiplier(factor(s), 0, 0)).collect();
        step.weights = quantized.values;
        step.bias = channels.iter().map(|c| c.bias).collect();
        Ok(step)
    }

    /// Corrects the biases for what rounding takes from the weights, where that is asked for.
    fn correct_bias(&self, layer: &Layer, weights: &[f32], quantized: &mut QuantizedWeights) {
        if self.options.correct_bias {
            let means = self.observed[layer.input].means();
            let area = self.network.tensors[layer.input].shape;
            bias_correction(layer, weights, &means, area, quantized);
        }
    }

    fn finite(&self, layer: &Layer, weights: &[f32], bias: &[f32]) -> Result<(), QuantizeError> {
        if weights.iter().chain(bias).all(|v| v.is_finite()) {
            return Ok(());
        }
        Err(QuantizeError::NotFinite { layer: layer.name.clone() })
    }

    fn coarsen(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let range = &mut self.ranges[layer.output];
        range.scale *= 1.25;
        if range.scale.is_finite() && range.scale < 1e30 {
            return Ok(());
        }
        let what = "its weights cannot be represented in fixed point";
        Err(self.refused(layer, what))
    }

    /// Maximum and copies keep the grid of their input.
    fn keep_range(&mut self, layer: &Layer) {
        self.ranges[layer.output] = self.ranges[layer.input];
    }

    fn max_pool(&mut self, layer: &Layer, geometry: &Geometry) -> StepSpec {
        self.keep_range(layer);
        self.step(layer, StepKind::MaxPool, geometry)
    }

    /// A depthwise convolution of one pixel and weights of 1, whose padding does the work. On one grid the
    /// factor is 1, up to less than half a step: every value stays as it is.
    fn pad(&mut self, layer: &Layer, pads: [usize; 4]) -> Result<StepSpec, QuantizeError> {
        self.keep_range(layer);
        let range = self.ranges[layer.input];
        let channels = self.network.tensors[layer.input].shape[2];
        let ones = QuantizedWeights::new(&vec![1.0; channels], &vec![0.0; channels], range);
        let accumulators = accumulate_channels(&ones, range);
        let factors = ones.factors(range, range);
        let Ok(fixed) = FixedPoint::choose(&factors, &accumulators, None, range) else {
            let what = "its padding cannot be represented in fixed point";
            return Err(self.refused(layer, what));
        };
        let geometry = Geometry { pads, groups: channels, ..Geometry::POINT };
        let mut step = self.step(layer, StepKind::Conv, &geometry);
        fixed.apply(&mut step);
        step.weights = ones.values;
        step.bias = accumulators.iter().map(|c| c.bias).collect();
        Ok(step)
    }

    fn subsample(
        &mut self,
        layer: &Layer,
        strides: [usize; 2],
        channels_before: usize,
    ) -> StepSpec {
        self.keep_range(layer);
        let geometry = Geometry { strides, ..Geometry::POINT };
        let mut step = self.step(layer, StepKind::Subsample, &geometry);
        step.record.channels_before = channels_before as u32;
        step
    }

    fn average_pool(
        &mut self,
        layer: &Layer,
        geometry: &Geometry,
        count_include_pad: bool,
    ) -> Result<StepSpec, QuantizeError> {
        let input = self.ranges[layer.input];
        let area = geometry.kernel[0] * geometry.kernel[1];
        // The numbers of taps that a sum may be of.
        let counts = if count_include_pad { area..=area } else { 1..=area };
        let channels: Vec<_> =
            counts.clone().map(|count| constants::average_channel(count, input)).collect();
        loop {
            let output = self.ranges[layer.output];
            let ratio = f64::from(input.scale) / f64::from(output.scale);
            let factors: Vec<f64> = counts.clone().map(|count| ratio / count as f64).collect();
            let Ok(fixed) = FixedPoint::choose(&factors, &channels, None, output) else {
                self.coarsen(layer)?;
                continue;
            };
            let mut step = self.step(layer, StepKind::AveragePool, geometry);
            if !count_include_pad {
                step.record.flags |= flags::EXCLUDE_PADDING;
            }
            fixed.apply(&mut step);
            step.bias = channels.iter().map(|channel| channel.bias).collect();
            return Ok(step);
        }
    }
}

#[cfg(test)]
mod tests;
