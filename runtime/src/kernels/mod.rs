//! Kernels: the code that computes a step, one module per instruction set.
//!
//! [`reference`](mod@reference) is the specification, naive on purpose and never optimised; every
//! other kernel gives the same bytes for every input, every weight in [-128, 127] and every
//! geometry that the checker accepts. A kernel reads its arguments, writes its output and its
//! scratch, and nothing else. [`KernelSet`] is the one place where a kernel is chosen; the name of
//! the function is the name in the latency table.

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub mod aarch64;
pub mod generic;
pub mod reference;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
mod packed;
mod patch;
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
mod winograd4;

use crate::format::{ALIGNMENT, Activation, Channels, Operator, align_up};
use crate::numerics::{Addition, Channel, Requantization};

/// [`packed`] with NEON: known on every machine, for plans of boards. The bytes are no more than those
/// of transformed input and weights, which are there anyway.
const PACKED_NEON: packed::Form = packed::Form { step: 8, max_bytes: 600 << 10 };

/// Geometry of a convolution; extents are height, width, channels (HWC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    pub input: [usize; 3],
    pub output: [usize; 3],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [usize; 4],
    pub dilations: [usize; 2],
    pub groups: usize,
    /// The int8 value of real 0 in the input: what padding is made of.
    pub input_zero_point: i8,
}

impl ConvShape {
    /// Input channels that one output channel sees.
    #[must_use]
    pub const fn group_channels(&self) -> usize {
        match self.input[2].checked_div(self.groups) {
            Some(channels) => channels,
            None => 0,
        }
    }

    /// Elements of one window: the length of the sum behind one output.
    #[must_use]
    pub const fn patch_len(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1]).saturating_mul(self.group_channels())
    }
}

/// Geometry of a pooling window; extents are height, width, channels (HWC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolShape {
    pub input: [usize; 3],
    pub output: [usize; 3],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    /// Top, left, bottom, right.
    pub pads: [usize; 4],
    /// The int8 value of real 0 in the input: what the padding of an average is made of.
    pub input_zero_point: i8,
}

/// The second input of a convolution's residual addition.
#[derive(Debug, Clone, Copy)]
pub enum Residual<'a> {
    None,
    /// The output buffer holds the residual and is overwritten element by element.
    InPlace,
    /// A tensor of the output's shape.
    Separate(&'a [i8]),
}

impl Residual<'_> {
    /// The residual at `index`, given what the output holds there; 0 without a residual, which
    /// then has the multiplier 0.
    #[inline(always)]
    fn at(&self, index: usize, current: i8) -> i8 {
        match self {
            Self::None => 0,
            Self::InPlace => current,
            Self::Separate(values) => values.get(index).copied().unwrap_or(0),
        }
    }
}

/// Arguments of a convolution kernel.
#[derive(Debug)]
pub struct ConvArgs<'a> {
    pub shape: &'a ConvShape,
    /// HWC.
    pub input: &'a [i8],
    /// OHWI.
    pub weights: &'a [i8],
    pub channels: Channels<'a>,
    pub requantization: &'a Requantization,
    /// A separate residual holds the same rows as `output`.
    pub residual: Residual<'a>,
    /// The output row that `output` begins with; a kernel computes as many whole rows as fit.
    pub first_row: usize,
    /// HWC.
    pub output: &'a mut [i8],
    /// At least [`KernelSet::scratch_bytes`] bytes, aligned to [`ALIGNMENT`]; contents arbitrary.
    pub scratch: &'a mut [u8],
}

/// The way from accumulators to int8 in an instruction set, which convolutions of all forms share.
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
trait Requantize: Copy {
    /// Requantizes the accumulators of some channels of one pixel; `index` is the position of the first
    /// one in the output tensor.
    fn requantize(
        self,
        acc: &[i32],
        channels: Channels<'_>,
        rq: &Requantization,
        residual: Residual<'_>,
        index: usize,
        output: &mut [i8],
    );
}

/// Arguments of the classifier: `logits = W x + b`, weights `[out][in]`.
#[derive(Debug)]
pub struct LogitsArgs<'a> {
    pub input: &'a [i8],
    pub weights: &'a [i8],
    pub channels: Channels<'a>,
    pub shift: u32,
    pub output: &'a mut [i32],
}

/// Arguments of the option-A shortcut: every `strides`-th pixel, with zero channels around.
#[derive(Debug)]
pub struct SubsampleArgs<'a> {
    pub strides: [usize; 2],
    /// Zero channels in front of the copied ones; what is left follows behind.
    pub channels_before: usize,
    pub from: &'a Activation,
    pub to: &'a Activation,
    pub input: &'a [i8],
    pub output: &'a mut [i8],
}

/// A set of kernels for one machine. Holding a value proves that the machine can run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelSet {
    /// The specification: slow, for tests.
    Reference,
    /// Portable Rust.
    Generic,
    /// x86-64 with AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(x86_64::Avx2),
    /// AArch64.
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    Neon(aarch64::Neon),
}

/// The name of a [`KernelSet`], of this machine or another: what a plan for a board is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelFamily {
    Reference,
    Generic,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Neon,
}

/// The kernel of a convolution: the one table of which there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConvKernel {
    Reference,
    Generic,
    #[cfg(target_arch = "x86_64")]
    DirectAvx2,
    #[cfg(target_arch = "x86_64")]
    PackedAvx2,
    #[cfg(target_arch = "x86_64")]
    Winograd4Avx2,
    PackedNeon,
    Winograd4Neon,
}

impl ConvKernel {
    const fn name(self) -> &'static str {
        match self {
            Self::Reference => "conv_reference",
            Self::Generic => "conv_generic",
            #[cfg(target_arch = "x86_64")]
            Self::DirectAvx2 => "conv_direct_avx2",
            #[cfg(target_arch = "x86_64")]
            Self::PackedAvx2 => "conv_packed_avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Winograd4Avx2 => "conv_winograd4_avx2",
            Self::PackedNeon => "conv_packed_neon",
            Self::Winograd4Neon => "conv_winograd4_neon",
        }
    }

    fn scratch_bytes(self, shape: &ConvShape) -> usize {
        match self {
            Self::Reference => 0,
            Self::Generic => generic::conv_scratch_bytes(shape),
            #[cfg(target_arch = "x86_64")]
            Self::DirectAvx2 => x86_64::conv_direct_avx2_scratch_bytes(shape),
            #[cfg(target_arch = "x86_64")]
            Self::PackedAvx2 => x86_64::PACKED_AVX2.scratch_bytes(shape),
            #[cfg(target_arch = "x86_64")]
            Self::Winograd4Avx2 => winograd4::scratch_bytes(shape),
            Self::PackedNeon => PACKED_NEON.scratch_bytes(shape),
            Self::Winograd4Neon => winograd4::scratch_bytes(shape),
        }
    }
}

impl KernelFamily {
    /// Name of the set, as `--kernels` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Generic => "generic",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
        }
    }

    fn conv_kernel(self, shape: &ConvShape) -> ConvKernel {
        match self {
            Self::Reference => ConvKernel::Reference,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if winograd4::serves(shape) => ConvKernel::Winograd4Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if x86_64::PACKED_AVX2.serves(shape) => ConvKernel::PackedAvx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if x86_64::conv_direct_avx2_serves(shape) => ConvKernel::DirectAvx2,
            Self::Neon if winograd4::serves(shape) => ConvKernel::Winograd4Neon,
            Self::Neon if PACKED_NEON.serves(shape) => ConvKernel::PackedNeon,
            _ => ConvKernel::Generic,
        }
    }

    /// Name of the kernel that runs this operator.
    #[must_use]
    pub fn kernel_name(self, operator: &Operator<'_>) -> &'static str {
        match (operator, self) {
            (Operator::Conv { shape, .. }, _) => self.conv_kernel(shape).name(),
            (Operator::MaxPool { .. }, Self::Reference) => "max_pool_reference",
            (Operator::MaxPool { .. }, _) => "max_pool_generic",
            (Operator::AveragePool { .. }, Self::Reference) => "average_pool_reference",
            (Operator::AveragePool { .. }, _) => "average_pool_generic",
            (Operator::Add(_), Self::Reference) => "add_reference",
            (Operator::Add(_), _) => "add_generic",
            (Operator::Subsample { .. }, Self::Reference) => "subsample_reference",
            (Operator::Subsample { .. }, _) => "subsample_generic",
            (Operator::Logits { .. }, Self::Reference) => "logits_reference",
            (Operator::Logits { .. }, _) => "logits_generic",
        }
    }

    /// Scratch that the kernel for this operator needs, in bytes.
    #[must_use]
    pub fn scratch_bytes(self, operator: &Operator<'_>) -> usize {
        match operator {
            Operator::Conv { shape, .. } => self.conv_kernel(shape).scratch_bytes(shape),
            _ => 0,
        }
    }
}

/// Memory that a session needs: the arena is `activations + scratch` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
    /// Bytes of activations, from the file and the same on every target.
    pub activations: usize,
    /// Bytes of scratch of the kernel set.
    pub scratch: usize,
}

impl Required {
    /// Alignment of the arena's first byte.
    pub const ALIGNMENT: usize = ALIGNMENT;

    /// Bytes of the whole arena.
    #[must_use]
    pub const fn arena(&self) -> usize {
        // Without scratch the last tensor may end anywhere.
        if self.scratch == 0 {
            return self.activations;
        }
        align_up(self.activations).saturating_add(self.scratch)
    }
}

impl KernelSet {
    /// The fastest kernels that this machine runs.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        if let Some(avx2) = x86_64::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        return Self::Neon(aarch64::Neon::new());
        #[cfg(not(all(target_arch = "aarch64", target_feature = "neon")))]
        Self::Generic
    }

    /// The kernel sets that this machine runs, the specification first.
    pub fn available() -> impl Iterator<Item = Self> {
        let best = Self::detect();
        let portable = [Self::Reference, Self::Generic];
        portable.into_iter().chain((best != Self::Generic).then_some(best))
    }

    /// The set's name.
    #[must_use]
    pub const fn family(self) -> KernelFamily {
        match self {
            Self::Reference => KernelFamily::Reference,
            Self::Generic => KernelFamily::Generic,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => KernelFamily::Avx2,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Self::Neon(_) => KernelFamily::Neon,
        }
    }

    /// Name of the set, as `--kernels` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.family().name()
    }

    /// Name of the kernel that runs this operator.
    #[must_use]
    pub fn kernel_name(self, operator: &Operator<'_>) -> &'static str {
        self.family().kernel_name(operator)
    }

    /// Scratch that the kernel for this operator needs, in bytes.
    #[must_use]
    pub fn scratch_bytes(self, operator: &Operator<'_>) -> usize {
        self.family().scratch_bytes(operator)
    }

    /// Runs a convolution.
    pub fn conv(self, args: ConvArgs<'_>) {
        match (self.family().conv_kernel(args.shape), self) {
            (ConvKernel::Reference, _) => reference::conv(args),
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::DirectAvx2, Self::Avx2(token)) => x86_64::conv_direct_avx2(token, args),
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::PackedAvx2, Self::Avx2(token)) => x86_64::conv_packed_avx2(token, args),
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4Avx2, Self::Avx2(token)) => {
                x86_64::conv_winograd4_avx2(token, args);
            }
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            (ConvKernel::PackedNeon, Self::Neon(token)) => aarch64::conv_packed_neon(token, args),
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            (ConvKernel::Winograd4Neon, Self::Neon(token)) => {
                aarch64::conv_winograd4_neon(token, args);
            }
            _ => generic::conv(args),
        }
    }

    /// Runs the classifier.
    pub fn logits(self, args: LogitsArgs<'_>) {
        match self {
            Self::Reference => reference::logits(args),
            _ => generic::logits(args),
        }
    }

    /// Runs a maximum pool, HWC to HWC; padding is ignored.
    pub fn max_pool(self, shape: &PoolShape, clamp: (i8, i8), input: &[i8], output: &mut [i8]) {
        match self {
            Self::Reference => reference::max_pool(shape, clamp, input, output),
            _ => generic::max_pool(shape, clamp, input, output),
        }
    }

    /// Runs an average pool, HWC to HWC; padding counts as real 0.
    pub fn average_pool(
        self,
        shape: &PoolShape,
        channel: Channel,
        requantization: &Requantization,
        input: &[i8],
        output: &mut [i8],
    ) {
        let kernel = match self {
            Self::Reference => reference::average_pool,
            _ => generic::average_pool,
        };
        kernel(shape, channel, requantization, input, output);
    }

    /// Adds two tensors of one shape.
    pub fn add(self, addition: &Addition, a: &[i8], b: &[i8], output: &mut [i8]) {
        match self {
            Self::Reference => reference::add(addition, a, b, output),
            _ => generic::add(addition, a, b, output),
        }
    }

    /// Adds two tensors of one shape; `output` holds the second and is overwritten.
    pub fn add_in_place(self, addition: &Addition, a: &[i8], output: &mut [i8]) {
        match self {
            Self::Reference => reference::add_in_place(addition, a, output),
            _ => generic::add_in_place(addition, a, output),
        }
    }

    /// Runs a strided copy with zero channels around.
    pub fn subsample(self, args: SubsampleArgs<'_>) {
        match self {
            Self::Reference => reference::subsample(args),
            _ => generic::subsample(args),
        }
    }
}
