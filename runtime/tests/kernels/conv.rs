//! Convolutions against the oracle, with every kernel and every packed form of the weights.

use fixnet::error::{Buffer, Fault};
use fixnet::format::{Channels, Operator, Target, WeightForm, WeightLayout, Weights};
use fixnet::kernels::{ConvArgs, ConvKernel, ConvShape, Residual};
use fixnet::layouts;
use fixnet::numerics::{Channel, Requantization};
use fixnet::{AlignedBytes, KernelSet};

use crate::cases::*;
use crate::support::{Guarded, Random};

/// A convolution with all its data.
#[derive(Debug)]
pub struct Conv {
    pub shape: ConvShape,
    pub input: Vec<i8>,
    pub weights: Vec<i8>,
    pub bias: Vec<i32>,
    pub multipliers: Vec<i32>,
    pub rq: Requantization,
    pub shortcut: Shortcut,
    pub residual: Vec<i8>,
}

impl Conv {
    pub fn new(case: &ConvCase, constants: Constants) -> Self {
        let random = &mut Random::new(case.seed);
        let [y, x] = case.axes;
        let (in_c, out_c) = (case.groups * case.group_in, case.groups * case.group_out);
        // Few values, as behind a ReLU on seven bits, or all.
        let few = case.seed / 2 % 2 == 1;
        let low = if few { (random.i8() >> 1) - 64 } else { -128 };
        let value = |any: i8| if few { low + ((i16::from(any) + 128) / 2) as i8 } else { any };
        let shape = ConvShape {
            input: [y.extent, x.extent, in_c],
            output: [y.out(), x.out(), out_c],
            kernel: [y.kernel, x.kernel],
            strides: [y.stride, x.stride],
            pads: [y.pads.0, x.pads.0, y.pads.1, x.pads.1],
            dilations: [y.dilation, x.dilation],
            groups: case.groups,
            input_zero_point: value(random.i8()),
            input_range: (value(-128), value(127)),
        };
        let len = y.kernel * x.kernel * case.group_in;
        let input = case.fills.0.values(y.extent * x.extent * in_c, random);
        let mut input: Vec<i8> = input.into_iter().map(value).collect();
        let mut weights = case.fills.1.values(out_c * len, random);
        // As the quantizer makes them: some layouts take no others.
        if case.seed.is_multiple_of(2) {
            weights.iter_mut().for_each(|weight| *weight = (*weight).max(-127));
        }
        // As most trained weights are: few large ones. Some layouts have no room for more.
        if case.seed / 4 % 2 == 1 {
            let small = weights.iter_mut().enumerate().filter(|(index, _)| index % 37 != 0);
            small.for_each(|(_, weight)| *weight /= 2);
        }
        let mut bias: Vec<i32> = (0..out_c).map(|_| random.i32()).collect();
        let mut multipliers: Vec<i32> = (0..out_c).map(|_| random.i32() & i32::MAX & !1).collect();
        let mut shift = random.below(31) as u32;
        if constants == Constants::Proved {
            bias.iter_mut().for_each(|bias| *bias >>= 10);
            multipliers.iter_mut().for_each(|multiplier| *multiplier = random.multiplier());
            let worst = (128 * 128 * len as i64) + (1 << 21);
            shift = shift.min(30 - worst.ilog2());
        }
        let with_residual = case.shortcut != Shortcut::None;
        let rq = requantization(shift, with_residual, constants, random);
        let residual = random.int8(y.out() * x.out() * out_c);
        // What lies behind the map is none of it.
        if case.seed / 8 % 2 == 1 {
            input.extend(random.int8(2 * x.extent * in_c + 3));
        }
        Self { shape, input, weights, bias, multipliers, rq, shortcut: case.shortcut, residual }
    }

    /// Compares with the kernel that the set chooses, then with each of its convolution kernels, then
    /// with the weights packed in every way that the set reads.
    pub fn check(&self, kernels: KernelSet, want: &[i8]) {
        assert_eq!(self.run(kernels), want);
        for kernel in kernels.family().conv_kernels() {
            if kernel.computes(&self.shape, WeightForm::PORTABLE) {
                let forced = kernels.with_conv_kernel(kernel).expect("a kernel of the set");
                assert_eq!(self.run(forced), want, "{}", kernel.name());
            }
        }
        let targets = Target::ALL.into_iter().filter(|&target| kernels.family().runs(target));
        for target in targets {
            for layout in WeightLayout::ALL {
                let form = WeightForm { target, layout };
                let Some(packed) = layouts::pack(form, &self.shape, &self.weights) else {
                    continue;
                };
                let unpacked = layouts::unpack(form, &self.shape, &packed);
                assert_eq!(unpacked.as_deref(), Some(&*self.weights), "{form:?}");
                self.check_packed(kernels, form, &packed, want);
            }
        }
    }

    pub fn check_packed(&self, kernels: KernelSet, form: WeightForm, packed: &[u8], want: &[i8]) {
        let packed = AlignedBytes::from_slice(packed);
        let weights = Weights { form, bytes: &packed };
        let computes = |kernel: &ConvKernel| kernel.computes(&self.shape, form);
        let able = kernels.family().conv_kernels().filter(computes);
        let able: Vec<ConvKernel> = able.collect();
        let portable = form.layout == WeightLayout::Ohwi;
        assert!(!able.is_empty() || portable, "no kernel of {} reads {form:?}", kernels.name());
        for kernel in able {
            let forced = kernels.with_conv_kernel(kernel).expect("a kernel of the set");
            assert_eq!(self.run_with(forced, weights), want, "{} {form:?}", kernel.name());
        }
    }

    pub fn run(&self, kernels: KernelSet) -> Vec<i8> {
        self.run_with(kernels, Weights::ohwi(&self.weights))
    }

    pub fn run_with(&self, kernels: KernelSet, weights: Weights<'_>) -> Vec<i8> {
        let channels = Channels { bias: &self.bias, multipliers: &self.multipliers };
        let (shape, requantization) = (self.shape, self.rq);
        let operator = Operator::Conv { shape, weights, channels, requantization };
        let mut scratch = Guarded::new(kernels.scratch_bytes(&operator));
        let mut output = match self.shortcut {
            Shortcut::InPlace => Guarded::from_int8(&self.residual),
            _ => Guarded::new(self.residual.len()),
        };
        kernels
            .conv(ConvArgs {
                shape: &self.shape,
                input: &self.input,
                weights,
                channels,
                requantization: &self.rq,
                residual: match self.shortcut {
                    Shortcut::None => Residual::None,
                    Shortcut::Separate => Residual::Separate(&self.residual),
                    Shortcut::InPlace => Residual::InPlace,
                },
                first_row: 0,
                output: output.as_mut_int8(),
                scratch: scratch.as_mut_slice(),
            })
            .unwrap();
        output.assert_intact();
        scratch.assert_intact();
        output.as_mut_int8().to_vec()
    }

    /// Each kernel of the set, with one byte less of scratch than it needs.
    pub fn check_short_scratch(&self, kernels: KernelSet) {
        let weights = Weights::ohwi(&self.weights);
        let channels = Channels { bias: &self.bias, multipliers: &self.multipliers };
        for kernel in kernels.family().conv_kernels() {
            let needed = kernel.scratch_bytes(&self.shape, weights.form);
            let Some(available) = needed.checked_sub(1) else { continue };
            if !kernel.computes(&self.shape, weights.form) {
                continue;
            }
            let mut output = Guarded::from_int8(&self.residual);
            let mut scratch = Guarded::new(available);
            let result = kernels.with_conv_kernel(kernel).unwrap().conv(ConvArgs {
                shape: &self.shape,
                input: &self.input,
                weights,
                channels,
                requantization: &self.rq,
                residual: Residual::InPlace,
                first_row: 0,
                output: output.as_mut_int8(),
                scratch: scratch.as_mut_slice(),
            });
            let buffer = Buffer::Scratch;
            assert_eq!(
                result,
                Err(Fault::Length { buffer, needed, available }),
                "{}",
                kernel.name()
            );
            output.assert_intact();
            assert_eq!(output.as_mut_int8(), self.residual);
        }
    }

    /// The set, with weights in every form of which it has no kernel.
    pub fn check_foreign_weights(&self, kernels: KernelSet) {
        let channels = Channels { bias: &self.bias, multipliers: &self.multipliers };
        for (target, layout) in
            Target::ALL.into_iter().flat_map(|target| WeightLayout::ALL.map(|l| (target, l)))
        {
            let form = WeightForm { target, layout };
            let computes = |kernel: &ConvKernel| kernel.computes(&self.shape, form);
            let known = kernels.family().conv_kernels().any(|kernel| computes(&kernel));
            let Some(bytes) = layouts::weights_bytes(form, &self.shape) else { continue };
            if known || layout == WeightLayout::Ohwi {
                continue;
            }
            let bytes = AlignedBytes::zeroed(bytes as usize);
            let mut output = Guarded::from_int8(&self.residual);
            let mut scratch = Guarded::new(1 << 20);
            let result = kernels.conv(ConvArgs {
                shape: &self.shape,
                input: &self.input,
                weights: Weights { form, bytes: &bytes },
                channels,
                requantization: &self.rq,
                residual: Residual::InPlace,
                first_row: 0,
                output: output.as_mut_int8(),
                scratch: scratch.as_mut_slice(),
            });
            assert_eq!(result, Err(Fault::Weights { target, layout }), "{}", kernels.name());
            output.assert_intact();
        }
    }

    /// The sum behind output (`y`, `x`, `c`).
    pub fn sum(&self, y: usize, x: usize, c: usize) -> i64 {
        let s = &self.shape;
        let [in_h, in_w, in_c] = s.input.map(|n| n as i64);
        let group_in = s.input[2] / s.groups;
        let group = c / (s.output[2] / s.groups);
        let mut sum = 0;
        for ky in 0..s.kernel[0] {
            for kx in 0..s.kernel[1] {
                let iy = (y * s.strides[0] + ky * s.dilations[0]) as i64 - s.pads[0] as i64;
                let ix = (x * s.strides[1] + kx * s.dilations[1]) as i64 - s.pads[1] as i64;
                let inside = (0..in_h).contains(&iy) && (0..in_w).contains(&ix);
                for k in 0..group_in {
                    let value = if inside {
                        let channel = (group * group_in + k) as i64;
                        self.input[((iy * in_w + ix) * in_c + channel) as usize]
                    } else {
                        s.input_zero_point
                    };
                    let weight = ((c * s.kernel[0] + ky) * s.kernel[1] + kx) * group_in + k;
                    sum += i64::from(value) * i64::from(self.weights[weight]);
                }
            }
        }
        sum
    }

    pub fn oracle(&self) -> Vec<i8> {
        let [out_h, out_w, out_c] = self.shape.output;
        let mut output = Vec::new();
        for y in 0..out_h {
            for x in 0..out_w {
                for c in 0..out_c {
                    let channel = Channel { bias: self.bias[c], multiplier: self.multipliers[c] };
                    let residual = match self.shortcut {
                        Shortcut::None => 0,
                        _ => self.residual[output.len()],
                    };
                    output.push(exact(self.sum(y, x, c), residual, channel, &self.rq));
                }
            }
        }
        output
    }
}
