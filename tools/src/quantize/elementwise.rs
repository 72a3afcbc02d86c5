//! Additions, products, tables of functions, and concatenations.

use fixnet::format::{StepKind, StepSpec};
use fixnet::numerics::{ADD_FRACTION_BITS, TABLE_ENTRIES};

use super::constants::{ChannelRange, accumulate_channels};
use super::fixed::FixedPoint;
use super::weights::QuantizedWeights;
use super::{QuantizeError, Quantizer};
use crate::calibrate::Range;
use crate::graph::Function;
use crate::lower::{Geometry, Layer, TensorId};

impl Quantizer<'_> {
    pub(super) fn add(&mut self, layer: &Layer) -> Result<StepSpec, QuantizeError> {
        let Some(operand) = layer.operand else {
            let what = "an addition without a second operand";
            return Err(self.refused(layer, what));
        };
        let (a, b) = (self.ranges[layer.input], self.ranges[operand]);
        loop {
            let output = self.ranges[layer.output];
            let ratio = |r: Range| f64::from(r.scale) / f64::from(output.scale);
            // 255 steps of each operand and the offset stay within an i32.
            if ratio(a) + ratio(b) > 14.0 {
                self.coarsen(layer)?;
                continue;
            }
            let one = f64::from(1u32 << ADD_FRACTION_BITS);
            let (ka, kb) = ((ratio(a) * one).round() as i32, (ratio(b) * one).round() as i32);
            let mut step = self.step(layer, StepKind::Add, &Geometry::POINT);
            step.record.input_multiplier = ka;
            step.record.operand_multiplier = kb;
            let zero = i32::from(output.zero_point) << ADD_FRACTION_BITS;
            step.record.offset = zero + (1 << (ADD_FRACTION_BITS - 1))
                - i32::from(a.zero_point) * ka
                - i32::from(b.zero_point) * kb;
            return Ok(step);
        }
    }

    /// The product of two distances from zero, and one constant for all channels.
    pub(super) fn multiply(&mut self, layer: &Layer) -> Result<StepSpec, QuantizeError> {
        let Some(operand) = layer.operand else {
            let what = "a multiplication without a second operand";
            return Err(self.refused(layer, what));
        };
        let (a, b) = (self.ranges[layer.input], self.ranges[operand]);
        let channel = product(a, b);
        loop {
            let output = self.ranges[layer.output];
            let factor = f64::from(a.scale) * f64::from(b.scale) / f64::from(output.scale);
            let Ok(fixed) = FixedPoint::choose(&[factor], &[channel], None, output) else {
                self.coarsen(layer)?;
                continue;
            };
            let mut step = self.step(layer, StepKind::Multiply, &Geometry::POINT);
            fixed.apply(&mut step);
            step.bias = vec![channel.bias];
            return Ok(step);
        }
    }

    /// One table, or one for each channel: the function of each value of the input's grid, rounded to the
    /// output's.
    pub(super) fn lookup(
        &mut self,
        layer: &Layer,
        function: &Function,
    ) -> Result<StepSpec, QuantizeError> {
        let channels = self.network.tensors[layer.input].shape[2];
        let tables = if function.is_per_channel() { channels } else { 1 };
        let (input, output) = (self.ranges[layer.input], self.ranges[layer.output]);
        let mut step = self.step(layer, StepKind::Lookup, &Geometry::POINT);
        for channel in 0..tables {
            for entry in 0..TABLE_ENTRIES {
                let x = input.dequantize((entry as i32 - 128) as i8);
                let value = self.function_value(layer, function, x, channel)?;
                step.weights.push(output.quantize(value as f32));
            }
        }
        let seen = &self.observed[layer.output].histogram;
        let varies = f64::from(seen.max) - f64::from(seen.min) > f64::from(output.scale);
        if varies && step.weights.iter().all(|value| *value == step.weights[0]) {
            let what = "its table has a single value, as its input ranges far beyond where its function varies; \
                        calibrate on other images, or with another --method";
            return Err(self.refused(layer, what));
        }
        Ok(step)
    }

    /// The function at `x`; where it is not a number, at the nearest value that was seen.
    fn function_value(
        &self,
        layer: &Layer,
        function: &Function,
        x: f32,
        channel: usize,
    ) -> Result<f64, QuantizeError> {
        let value = function.evaluate(f64::from(x), channel);
        if !value.is_nan() {
            return Ok(value);
        }
        let seen = &self.observed[layer.input].histogram;
        // Bounds of nothing seen are no bounds.
        let nearest = if seen.min <= seen.max { x.clamp(seen.min, seen.max) } else { x };
        let value = function.evaluate(f64::from(nearest), channel);
        if value.is_nan() {
            let what = "its function is not a number for some of its inputs";
            return Err(self.refused(layer, what));
        }
        Ok(value)
    }

    /// Each input keeps its own grid: its channels have their weights and constants.
    pub(super) fn concat(
        &mut self,
        layer: &Layer,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<StepSpec, QuantizeError> {
        self.finite(layer, weights, bias)?;
        let inputs: Vec<TensorId> = layer.inputs().collect();
        let mut parts = Vec::with_capacity(inputs.len());
        let mut first = 0;
        for &tensor in &inputs {
            let own = first..first + self.network.tensors[tensor].shape[2];
            first = own.end;
            let (Some(weights), Some(bias)) = (weights.get(own.clone()), bias.get(own)) else {
                let what = "its inputs have other channels than its output";
                return Err(self.refused(layer, what));
            };
            let range = self.ranges[tensor];
            parts.push((range, QuantizedWeights::new(weights, bias, range)));
        }
        let channels: Vec<ChannelRange> =
            parts.iter().flat_map(|(range, part)| accumulate_channels(part, *range)).collect();
        loop {
            let output = self.ranges[layer.output];
            let factors = parts.iter().flat_map(|(range, part)| part.factors(*range, output));
            let factors: Vec<f64> = factors.collect();
            let Ok(fixed) = FixedPoint::choose(&factors, &channels, None, output) else {
                self.coarsen(layer)?;
                continue;
            };
            let mut step = self.step(layer, StepKind::Concat, &Geometry::POINT);
            fixed.apply(&mut step);
            step.weights = parts.iter().flat_map(|(_, part)| part.values.clone()).collect();
            step.bias = channels.iter().map(|c| c.bias).collect();
            return Ok(step);
        }
    }
}

/// What a product of two distances from zero may be.
fn product(a: Range, b: Range) -> ChannelRange {
    let ends = |range: Range| {
        let zero = i64::from(range.zero_point);
        [-128 - zero, i64::from(range.highest) - zero]
    };
    let products = ends(a).into_iter().flat_map(|a| ends(b).map(|b| a * b));
    let (low, high) = products.fold((0, 0), |(low, high), p| (p.min(low), p.max(high)));
    ChannelRange { bias: 0, low, high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::{Bits, Statistics};
    use crate::graph::{Binary, Unary};
    use crate::lower::{Kind, Network, Tensor};
    use crate::quantize::{QuantizeOptions, quantize};

    fn observed(low: f32, high: f32) -> Statistics {
        let mut observed = Statistics::default();
        observed.histogram.extend(&[low, high]);
        observed
    }

    /// A table of `function` between tensors that were seen in these ranges.
    fn table(
        function: Function,
        from: (f32, f32),
        to: (f32, f32),
    ) -> Result<(StepSpec, Vec<Range>), QuantizeError> {
        let tensor = |name: &str| Tensor { name: name.into(), shape: [2, 2, 3] };
        let layer = Layer {
            name: "table".into(),
            kind: Kind::Lookup { function },
            input: 0,
            operand: None,
            others: Vec::new(),
            output: 1,
            clip: (f32::NEG_INFINITY, f32::INFINITY),
        };
        let network = Network {
            tensors: vec![tensor("x"), tensor("y")],
            layers: vec![layer],
            input: 0,
            outputs: vec![1],
        };
        let observed = [observed(from.0, from.1), observed(to.0, to.1)];
        let quantized = quantize(&network, &observed, None, QuantizeOptions::default())?;
        Ok((quantized.steps[0].clone(), quantized.ranges))
    }

    /// Of every entry, against the function itself.
    #[test]
    fn every_entry_is_the_nearest_step() {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let function = Function::identity().then(Unary::Sigmoid);
        let (step, ranges) = table(function, (-6.0, 5.0), (0.0, 1.0)).unwrap();
        assert_eq!(step.weights.len(), TABLE_ENTRIES);
        for (entry, &value) in step.weights.iter().enumerate() {
            let x = f64::from(ranges[0].scale)
                * (entry as f64 - 128.0 - f64::from(ranges[0].zero_point));
            let exact = sigmoid(x) / f64::from(ranges[1].scale) + f64::from(ranges[1].zero_point);
            let off = (exact.clamp(-128.0, 127.0) - f64::from(value)).abs();
            assert!(off <= 0.5 + 1e-4, "entry {entry}: {value} for {exact}");
        }
    }

    #[test]
    fn channels_have_tables_of_their_own_where_constants_differ() {
        let slopes =
            Function::identity().with(Binary::Mul, &Function::per_channel(&[1.0, 2.0, 3.0]));
        let (step, _) = table(slopes, (-1.0, 1.0), (-3.0, 3.0)).unwrap();
        assert_eq!(step.weights.len(), 3 * TABLE_ENTRIES);
        assert!(step.weights[..TABLE_ENTRIES] != step.weights[TABLE_ENTRIES..2 * TABLE_ENTRIES]);
    }

    /// Where the square root is none, its table has the value at the least that was seen.
    #[test]
    fn what_is_no_number_takes_the_nearest_that_is() {
        let root = Function::identity().then(Unary::Sqrt);
        let shifted = Function::identity().with(Binary::Sub, &Function::constant(1.0));
        let (step, ranges) = table(root.of(&shifted).unwrap(), (1.0, 5.0), (0.0, 2.0)).unwrap();
        let zero = ranges[1].quantize(0.0);
        assert!(step.weights[..40].iter().all(|&value| value == zero), "{:?}", &step.weights[..60]);
        let never = Function::constant(-1.0).then(Unary::Sqrt);
        let error = table(never, (0.0, 1.0), (0.0, 1.0)).unwrap_err();
        assert!(error.to_string().contains("not a number"), "{error}");
    }

    #[test]
    fn a_table_that_lost_its_range_is_refused() {
        let gate = Function::identity()
            .with(Binary::Min, &Function::constant(1e-4))
            .with(Binary::Max, &Function::constant(0.0));
        let error = table(gate, (0.0, 0.0), (0.0, 1.0)).unwrap_err();
        assert!(error.to_string().contains("its table has a single value"), "{error}");
    }

    #[test]
    fn products_are_proved_for_the_ends_of_both_grids() {
        let full = Range::new(-1.0, 1.0, Bits::Eight);
        let low = Range::new(0.0, 1.0, Bits::Eight);
        assert_eq!(low.zero_point, -128);
        let channel = product(low, low);
        assert_eq!((channel.bias, channel.low, channel.high), (0, 0, 255 * 255));
        let mixed = product(full, low);
        assert!(mixed.low < -30_000 && mixed.high > 30_000, "{mixed:?}");
    }
}
