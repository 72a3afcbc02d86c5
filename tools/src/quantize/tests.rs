use fixnet::{AlignedBytes, KernelSet, Model, Session};
use proptest::prelude::*;

use super::*;
use crate::calibrate::Histogram;
use crate::data::{ChannelOrder, MeanImage, Recipe, recipe_of};
use crate::lower::Tensor;
use crate::plan::{FloatParts, plan};

const SIDE: usize = 4;
const CHANNELS: usize = 3;
const OUTPUTS: usize = 5;

/// input -> conv (1x1 or 3x3, with the input as residual if `residual`) -> logits.
fn network(weights: Vec<f32>, bias: Vec<f32>, kernel: usize, residual: bool) -> Network {
    let outputs = bias.len();
    let tensor = |name: &str, shape| Tensor { name: name.into(), shape };
    let unbounded = (f32::NEG_INFINITY, f32::INFINITY);
    let pad = kernel / 2;
    let geometry = Geometry { kernel: [kernel; 2], pads: [pad; 4], ..Geometry::POINT };
    let classes = SIDE * SIDE * outputs;
    let conv = Layer {
        name: "conv".into(),
        kind: Kind::Conv { geometry, weights, bias },
        input: 0,
        operand: residual.then_some(0),
        others: Vec::new(),
        output: 1,
        clip: unbounded,
    };
    let logits = Layer {
        name: "fc".into(),
        kind: Kind::Logits { weights: vec![1.0; classes], bias: vec![0.0] },
        input: 1,
        operand: None,
        others: Vec::new(),
        output: 2,
        clip: unbounded,
    };
    Network {
        tensors: vec![
            tensor("input", [SIDE, SIDE, CHANNELS]),
            tensor("conv", [SIDE, SIDE, outputs]),
            tensor("fc", [1, 1, 1]),
        ],
        layers: vec![conv, logits],
        input: 0,
        outputs: vec![2],
    }
}

fn observed(low: f32, high: f32) -> Statistics {
    let mut observed = Statistics::default();
    let mut histogram = Histogram::default();
    histogram.extend(&[low, high]);
    observed.histogram = histogram;
    observed
}

fn model(network: &Network, output: (f32, f32)) -> AlignedBytes {
    let observed = [observed(0.0, 1.0), observed(output.0, output.1), observed(-1.0, 1.0)];
    let options = QuantizeOptions {
        method: Method::MinMax,
        correct_bias: false,
        ..QuantizeOptions::default()
    };
    let recipe = Recipe { std: [0.25; 3], ..Recipe::default() };
    planned(network, &observed, &recipe, options)
}

/// The bytes of a portable file.
fn planned(
    network: &Network,
    observed: &[Statistics],
    recipe: &Recipe,
    options: QuantizeOptions,
) -> AlignedBytes {
    let steps = quantize(network, observed, Some(input_range(recipe, CHANNELS)), options).unwrap();
    let spec = plan("test", network, steps, Some(recipe), FloatParts::default());
    fixnet::format::write(&spec).unwrap()
}

/// Runs step 0 on `input` and returns its output.
fn first_step(model: &Model<'_>, input: &[i8]) -> Vec<i8> {
    let mut arena = AlignedBytes::zeroed(model.required(KernelSet::REFERENCE).arena());
    let mut session =
        Session::with_kernels(model, arena.as_mut_slice(), KernelSet::REFERENCE).unwrap();
    session.input_mut().copy_from_slice(input);
    session.run_single(0).unwrap().iter().map(|&b| b as i8).collect()
}

/// Real value of the convolution at one output, in f64.
fn convolve(network: &Network, input: &[f64], (y, x, oc): (usize, usize, usize)) -> f64 {
    let Kind::Conv { geometry, weights, bias } = &network.layers[0].kind else { panic!() };
    let [kernel, _] = geometry.kernel;
    let mut sum = f64::from(bias[oc]);
    for ky in 0..kernel {
        for kx in 0..kernel {
            let (sy, sx) = ((y + ky).wrapping_sub(kernel / 2), (x + kx).wrapping_sub(kernel / 2));
            if sy >= SIDE || sx >= SIDE {
                continue;
            }
            for ic in 0..CHANNELS {
                let weight = weights[((oc * kernel + ky) * kernel + kx) * CHANNELS + ic];
                sum += f64::from(weight) * input[(sy * SIDE + sx) * CHANNELS + ic];
            }
        }
    }
    sum
}

/// Checks each output against real arithmetic on the dequantized input, in output steps.
fn within_half_a_step(network: &Network, range: (f32, f32), input: &[i8], limit: f64) {
    let bytes = model(network, range);
    let model = Model::new_checked(&bytes).unwrap();
    let step = model.step(0).unwrap();
    let (from, to) = (step.input, step.output);
    let real = |q: i8| (f64::from(q) - f64::from(from.zero_point)) * f64::from(from.scale);
    let reals: Vec<f64> = input.iter().map(|&q| real(q)).collect();
    let output = first_step(&model, input);
    for (index, &got) in output.iter().enumerate() {
        let (pixel, oc) = (index / to.channels, index % to.channels);
        let mut want = convolve(network, &reals, (pixel / SIDE, pixel % SIDE, oc));
        if step.operand.is_some() {
            want += reals[index];
        }
        let want = want / f64::from(to.scale) + f64::from(to.zero_point);
        let error = (f64::from(got) - want.clamp(-128.0, 127.0)).abs();
        assert!(error <= limit, "output {index}: {got} for {want}");
    }
}

fn grid_weights(count: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-127i8..=127, count)
        .prop_map(|w| w.into_iter().map(|w| f32::from(w) / 1024.0).collect())
}

fn image() -> impl Strategy<Value = Vec<i8>> {
    prop::collection::vec(any::<i8>(), SIDE * SIDE * CHANNELS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Weights that int8 represents exactly leave nothing but the rounding of bias and result.
    #[test]
    fn weights_on_the_grid_cost_half_a_step(
        mut weights in grid_weights(OUTPUTS * 9 * CHANNELS), input in image(),
        bias in prop::collection::vec(-1f32..1.0, OUTPUTS), high in 0.5f32..4.0,
    ) {
        weights.chunks_exact_mut(9 * CHANNELS).for_each(|row| row[0] = 127.0 / 1024.0);
        within_half_a_step(&network(weights, bias, 3, false), (-high, high), &input, 0.53);
    }

    #[test]
    fn a_residual_is_added_before_the_only_rounding(
        mut weights in grid_weights(CHANNELS * CHANNELS), input in image(),
        bias in prop::collection::vec(-1f32..1.0, CHANNELS), high in 1f32..8.0,
    ) {
        weights.chunks_exact_mut(CHANNELS).for_each(|row| row[0] = 127.0 / 1024.0);
        within_half_a_step(&network(weights, bias, 1, true), (-high, high), &input, 0.54);
    }

    /// Channels without weights, or with tiny ones, still give their biases.
    #[test]
    fn a_bias_survives_weights_of_zero_or_next_to_it(
        exponent in -300i32..0, bias in -4f32..4.0, input in image(), all: bool,
    ) {
        let tiny = 10f64.powi(exponent) as f32;
        let mut weights = vec![tiny; OUTPUTS * CHANNELS];
        if !all {
            weights[0] = 0.1;
        }
        within_half_a_step(&network(weights, vec![bias; OUTPUTS], 1, false), (-4.0, 4.0), &input, 0.7);
    }
}

#[test]
fn weights_that_dwarf_the_output_coarsen_its_grid_and_do_not_overflow() {
    let weights = vec![1e6; OUTPUTS * CHANNELS];
    let network = network(weights, vec![0.0; OUTPUTS], 1, false);
    let bytes = model(&network, (-1e-3, 1e-3));
    let model = Model::new_checked(&bytes).unwrap();
    let output = first_step(&model, &[127; SIDE * SIDE * CHANNELS]);
    assert!(output.iter().all(|&q| q == 127));
    let output = first_step(&model, &[-128; SIDE * SIDE * CHANNELS]);
    let zero = model.step(0).unwrap().output.zero_point;
    assert!(output.iter().all(|&q| q == zero), "real 0 stays exact: {output:?}");
}

#[test]
fn a_bias_beside_weights_of_nothing_leaves_the_outputs_grid_as_it_is() {
    for (small, residual) in [(0.0, false), (0.0, true), (1e-5, false), (1e-5, true)] {
        let mut weights = vec![1.0; CHANNELS * CHANNELS];
        weights[..CHANNELS].fill(small);
        let network = network(weights, vec![2.5, 0.0, 0.0], 1, residual);
        let bytes = model(&network, (-1.0, 3.0));
        let scale = Model::new_checked(&bytes).unwrap().step(0).unwrap().output.scale;
        assert_eq!(scale, 4.0 / 255.0, "{small} {residual}");
        let input: Vec<i8> =
            (0..SIDE * SIDE * CHANNELS).map(|i| (i * 37 % 256) as u8 as i8).collect();
        within_half_a_step(&network, (-1.0, 3.0), &input, 0.76);
    }
}

#[test]
fn a_weight_that_is_not_finite_is_refused_by_name() {
    let mut weights = vec![0.5; OUTPUTS * CHANNELS];
    weights[3] = f32::NAN;
    let network = network(weights, vec![0.0; OUTPUTS], 1, false);
    let observed = [observed(0.0, 1.0), observed(0.0, 1.0), observed(0.0, 1.0)];
    let result = quantize(&network, &observed, None, QuantizeOptions::default());
    assert_eq!(result.unwrap_err(), QuantizeError::NotFinite { layer: "conv".into() });
}

/// The integer preprocessor follows the recipe that the float network gets, to one step of rounding.
fn preprocesses(recipe: &Recipe) {
    let network = network(vec![0.1; OUTPUTS * CHANNELS], vec![0.0; OUTPUTS], 1, false);
    let observed = [observed(0.0, 1.0), observed(0.0, 1.0), observed(0.0, 1.0)];
    let bytes = planned(&network, &observed, recipe, QuantizeOptions::default());
    let model = Model::new_checked(&bytes).unwrap();
    assert_eq!(recipe_of(&model).as_ref(), Some(recipe));
    let input = model.input();
    let pixels = crate::data::Pixels {
        width: SIDE,
        height: SIDE,
        channels: CHANNELS,
        data: (0..SIDE * SIDE * 3).map(|i| (i * 5) as u8).collect(),
    };
    let mut arena = AlignedBytes::zeroed(model.required(KernelSet::REFERENCE).arena());
    let mut session =
        Session::with_kernels(&model, arena.as_mut_slice(), KernelSet::REFERENCE).unwrap();
    session.set_pixels(&pixels.data).unwrap();
    let real = recipe.float_input(&pixels, crate::graph::InputLayout::Nhwc);
    // What a float head would get, on a board, too.
    let mut on_board = vec![0.0; real.len()];
    fixnet::preprocess::pixels_to_real(&model, &pixels.data, &mut on_board).unwrap();
    assert_eq!(on_board, real);
    for (&q, real) in session.input_mut().iter().zip(real) {
        let want = real / input.scale + f32::from(input.zero_point);
        assert!((f32::from(q) - want).abs() <= 0.51, "{q} for {want}");
    }
}

#[test]
fn the_integer_preprocessor_follows_the_recipe() {
    let plain = Recipe {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        resize: Some(8),
        crop: Some(4),
        ..Recipe::default()
    };
    preprocesses(&plain);
    preprocesses(&Recipe { channel_order: ChannelOrder::Bgr, ..plain.clone() });
    let data = (0..SIDE * SIDE * 3).map(|i| 100.0 + i as f32 * 0.7).collect();
    let mean_image = Some(MeanImage { width: SIDE, height: SIDE, channels: CHANNELS, data });
    let with_mean = Recipe { mean_image, ..Recipe::default() };
    preprocesses(&with_mean);
    preprocesses(&Recipe { channel_order: ChannelOrder::Bgr, ..with_mean });
}

#[test]
fn padding_keeps_every_value_and_puts_zero_points_around() {
    let pads = [2, 1, 1, 3];
    let shape = [SIDE + 3, SIDE + 4, CHANNELS];
    let mut network = network(vec![0.0; 9], vec![0.0; 3], 1, false);
    network.layers[0].kind = Kind::Pad { pads };
    network.tensors[1].shape = shape;
    network.layers[1].kind =
        Kind::Logits { weights: vec![1.0; shape.iter().product()], bias: vec![0.0] };
    // The range that was seen of the output does not count.
    let bytes = model(&network, (-3.0, 0.1));
    let model = Model::new_checked(&bytes).unwrap();
    let [input, output] = [model.input(), model.step(0).unwrap().output];
    assert_eq!((input.scale, input.zero_point), (output.scale, output.zero_point));
    for first in 0..6 {
        let value = |i: usize| (i * 5 + first * 48) as u8 as i8;
        let values: Vec<i8> = (0..SIDE * SIDE * CHANNELS).map(value).collect();
        let padded = first_step(&model, &values);
        for (at, found) in padded.into_iter().enumerate() {
            let (pixel, c) = (at / CHANNELS, at % CHANNELS);
            let (y, x) = ((pixel / shape[1]).wrapping_sub(2), (pixel % shape[1]).wrapping_sub(1));
            let inside = y < SIDE && x < SIDE;
            let want =
                if inside { values[(y * SIDE + x) * CHANNELS + c] } else { input.zero_point };
            assert_eq!(found, want, "{y} {x} {c}");
        }
    }
}

#[test]
fn an_average_without_its_padding_is_within_half_a_step() {
    for (kernel, pads) in [([3, 3], [1, 1, 1, 1]), ([2, 3], [1, 2, 0, 1]), ([4, 2], [3, 0, 3, 1])] {
        let geometry = Geometry { kernel, pads, ..Geometry::POINT };
        let [height, width] =
            [0, 1].map(|axis| SIDE + pads[axis] + pads[axis + 2] + 1 - kernel[axis]);
        let shape = [height, width, CHANNELS];
        let mut network = network(vec![0.0; 9], vec![0.0; 3], 1, false);
        network.layers[0].kind = Kind::AveragePool { geometry, count_include_pad: false };
        network.tensors[1].shape = shape;
        network.layers[1].kind =
            Kind::Logits { weights: vec![1.0; shape.iter().product()], bias: vec![0.0] };
        for range in [(-2.0, 4.0), (-0.25, 0.5), (0.0, 0.01)] {
            let bytes = model(&network, range);
            let model = Model::new_checked(&bytes).unwrap();
            assert_eq!(model.version(), (1, 4));
            let (input, output) = (model.input(), model.step(0).unwrap().output);
            for seed in 0..4usize {
                let value = |i: usize| (i * 37 + seed * 91 + i * i * seed) as u8 as i8;
                let values: Vec<i8> = (0..SIDE * SIDE * CHANNELS).map(value).collect();
                for (at, found) in first_step(&model, &values).into_iter().enumerate() {
                    let (pixel, c) = (at / CHANNELS, at % CHANNELS);
                    let corner = [pixel / width, pixel % width];
                    let taps = (0..kernel[0] * kernel[1]).filter_map(|tap| {
                        let y = (corner[0] + tap / kernel[1]).checked_sub(pads[0])?;
                        let x = (corner[1] + tap % kernel[1]).checked_sub(pads[1])?;
                        let inside = y < SIDE && x < SIDE;
                        inside.then(|| values[(y * SIDE + x) * CHANNELS + c])
                    });
                    let steps = |q: i8| f64::from(q) - f64::from(input.zero_point);
                    let taps: Vec<f64> = taps.map(steps).collect();
                    let mean = taps.iter().sum::<f64>() / taps.len() as f64;
                    let ratio = f64::from(input.scale) / f64::from(output.scale);
                    let want = mean * ratio + f64::from(output.zero_point);
                    let error = (f64::from(found) - want.clamp(-128.0, 127.0)).abs();
                    assert!(error <= 0.51, "{kernel:?} {range:?} {at}: {found} {want}");
                }
            }
        }
    }
}
