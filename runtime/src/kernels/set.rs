//! The one place where a kernel is chosen, and the one where it is called.

use super::{
    ConvArgs, ConvKernel, ConvShape, LogitsArgs, PoolShape, SubsampleArgs, check, generic,
    reference,
};
use crate::error::Fault;
use crate::format::{Channels, Operator, Target, WeightForm};
use crate::numerics::{Addition, Channel, Requantization};

/// The kernels of one machine. Holding a value proves that the machine can run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelSet {
    machine: Machine,
    /// The kernel of all convolutions that it computes.
    conv: Option<ConvKernel>,
}

/// What runs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    Reference,
    Generic,
    #[cfg(target_arch = "x86_64")]
    Avx2(super::x86_64::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(super::x86_64::Avx512Vnni),
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    Neon(super::aarch64::Neon),
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    Dotprod(super::aarch64::Dotprod),
    #[cfg(cortex_m4)]
    CortexM4(super::arm::CortexM4),
    #[cfg(cortex_m3)]
    CortexM3(super::arm::CortexM3),
}

/// The name of a [`KernelSet`], of this machine or another: what a plan for a board is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KernelFamily {
    Reference,
    Generic,
    Avx2,
    Avx512Vnni,
    Neon,
    Dotprod,
    CortexM4,
    CortexM3,
}

impl KernelFamily {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Reference,
        Self::Generic,
        Self::Avx2,
        Self::Avx512Vnni,
        Self::Neon,
        Self::Dotprod,
        Self::CortexM4,
        Self::CortexM3,
    ];

    /// The family of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// The family that files packed for `target` are for; none for portable files.
    #[must_use]
    pub const fn of(target: Target) -> Option<Self> {
        Some(match target {
            Target::Portable => return None,
            Target::X86_64Avx2 => Self::Avx2,
            Target::X86_64Avx512Vnni => Self::Avx512Vnni,
            Target::Armv8Neon => Self::Neon,
            Target::Armv8Dotprod => Self::Dotprod,
            Target::CortexM4 => Self::CortexM4,
            Target::CortexM3 => Self::CortexM3,
        })
    }

    /// Name of the set, as `--kernels` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Generic => "generic",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Neon => "neon",
            Self::Dotprod => "dotprod",
            Self::CortexM4 => "cortex-m4",
            Self::CortexM3 => "cortex-m3",
        }
    }

    /// Whether it runs files whose weights are laid out for `target`.
    #[must_use]
    pub const fn runs(self, target: Target) -> bool {
        match target {
            Target::Portable => true,
            Target::X86_64Avx2 => matches!(self, Self::Avx2 | Self::Avx512Vnni),
            Target::X86_64Avx512Vnni => matches!(self, Self::Avx512Vnni),
            Target::Armv8Neon => matches!(self, Self::Neon | Self::Dotprod),
            Target::Armv8Dotprod => matches!(self, Self::Dotprod),
            Target::CortexM4 => matches!(self, Self::CortexM4),
            Target::CortexM3 => matches!(self, Self::CortexM3),
        }
    }

    /// Name of the kernel that runs this operator.
    #[must_use]
    pub fn kernel_name(self, operator: &Operator<'_>) -> &'static str {
        match (operator, self) {
            (Operator::Conv { shape, weights, .. }, _) => {
                self.conv_kernel(shape, weights.form).name()
            }
            (Operator::MaxPool { .. }, Self::Reference) => "max_pool_reference",
            (Operator::MaxPool { .. }, Self::Avx2) => "max_pool_avx2",
            (Operator::MaxPool { .. }, Self::Avx512Vnni) => "max_pool_avx512",
            (Operator::MaxPool { .. }, _) => "max_pool_generic",
            (Operator::AveragePool { .. }, Self::Reference) => "average_pool_reference",
            (Operator::AveragePool { .. }, _) => "average_pool_generic",
            (Operator::AveragePoolInside { .. }, Self::Reference) => {
                "average_pool_inside_reference"
            }
            (Operator::AveragePoolInside { .. }, _) => "average_pool_inside_generic",
            (Operator::Add(_), Self::Reference) => "add_reference",
            (Operator::Add(_), _) => "add_generic",
            (Operator::Subsample { .. }, Self::Reference) => "subsample_reference",
            (Operator::Subsample { .. }, _) => "subsample_generic",
            (Operator::Logits { .. }, Self::Reference) => "logits_reference",
            (Operator::Logits { .. }, Self::Avx2) => "logits_avx2",
            (Operator::Logits { .. }, Self::Avx512Vnni) => "logits_vnni",
            (Operator::Logits { .. }, _) => "logits_generic",
        }
    }

    /// Scratch that the kernel for this operator needs, in bytes.
    #[must_use]
    pub fn scratch_bytes(self, operator: &Operator<'_>) -> usize {
        match operator {
            Operator::Conv { shape, weights, .. } => {
                self.conv_kernel(shape, weights.form).scratch_bytes(shape, weights.form)
            }
            _ => 0,
        }
    }
}

impl KernelSet {
    /// The specification: slow, for tests.
    pub const REFERENCE: Self = Self::of(Machine::Reference);
    /// Portable Rust.
    pub const GENERIC: Self = Self::of(Machine::Generic);

    const fn of(machine: Machine) -> Self {
        Self { machine, conv: None }
    }

    /// The fastest kernels that this machine runs.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self::GENERIC)
    }

    /// The kernel sets that this machine runs: the specification first, the fastest last.
    pub fn available() -> impl Iterator<Item = Self> {
        let portable = [Self::REFERENCE, Self::GENERIC].into_iter();
        #[cfg(target_arch = "x86_64")]
        let sets = portable
            .chain(super::x86_64::Avx2::detect().map(Machine::Avx2).map(Self::of))
            .chain(super::x86_64::Avx512Vnni::detect().map(Machine::Avx512Vnni).map(Self::of));
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        let sets = portable
            .chain([Self::of(Machine::Neon(super::aarch64::Neon::new()))])
            .chain(super::aarch64::Dotprod::detect().map(Machine::Dotprod).map(Self::of));
        #[cfg(cortex_m3)]
        let sets = portable.chain([Self::of(Machine::CortexM3(super::arm::CortexM3::new()))]);
        #[cfg(all(cortex_m4, not(cortex_m3)))]
        let sets = portable;
        #[cfg(cortex_m4)]
        let sets = sets.chain([Self::of(Machine::CortexM4(super::arm::CortexM4::new()))]);
        #[cfg(not(any(
            target_arch = "x86_64",
            all(target_arch = "aarch64", target_feature = "neon"),
            cortex_m3,
            cortex_m4
        )))]
        let sets = portable;
        sets
    }

    /// This set with `kernel` for all convolutions that it computes, whether it pays there or not;
    /// `None` if the set has no such kernel.
    #[must_use]
    pub fn with_conv_kernel(self, kernel: ConvKernel) -> Option<Self> {
        let known = self.family().conv_kernels().contains(&kernel) || kernel == ConvKernel::Generic;
        known.then_some(Self { conv: Some(kernel), ..self })
    }

    /// The set's name.
    #[must_use]
    pub const fn family(self) -> KernelFamily {
        match self.machine {
            Machine::Reference => KernelFamily::Reference,
            Machine::Generic => KernelFamily::Generic,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2(_) => KernelFamily::Avx2,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Vnni(_) => KernelFamily::Avx512Vnni,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Machine::Neon(_) => KernelFamily::Neon,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Machine::Dotprod(_) => KernelFamily::Dotprod,
            #[cfg(cortex_m4)]
            Machine::CortexM4(_) => KernelFamily::CortexM4,
            #[cfg(cortex_m3)]
            Machine::CortexM3(_) => KernelFamily::CortexM3,
        }
    }

    /// Name of the set, as `--kernels` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.family().name()
    }

    /// The kernel that computes a convolution.
    #[must_use]
    pub fn conv_kernel(self, shape: &ConvShape, form: WeightForm) -> ConvKernel {
        let chosen = self.conv.filter(|kernel| kernel.computes(shape, form));
        chosen.unwrap_or_else(|| self.family().conv_kernel(shape, form))
    }

    /// Name of the kernel that runs this operator.
    #[must_use]
    pub fn kernel_name(self, operator: &Operator<'_>) -> &'static str {
        match operator {
            Operator::Conv { shape, weights, .. } => self.conv_kernel(shape, weights.form).name(),
            _ => self.family().kernel_name(operator),
        }
    }

    /// Scratch that the kernel for this operator needs, in bytes.
    #[must_use]
    pub fn scratch_bytes(self, operator: &Operator<'_>) -> usize {
        match operator {
            Operator::Conv { shape, weights, .. } => {
                self.conv_kernel(shape, weights.form).scratch_bytes(shape, weights.form)
            }
            _ => self.family().scratch_bytes(operator),
        }
    }

    /// Runs a convolution.
    ///
    /// # Errors
    /// [`Fault`] if an argument does not fit the shape, if these kernels do not read the weights, or if one
    /// finds fault with its own work. The output then holds anything.
    pub fn conv(self, args: ConvArgs<'_>) -> Result<(), Fault> {
        let kernel = self.conv_kernel(args.shape, args.weights.form);
        check::conv(&args)?;
        check::readable(&args, kernel)?;
        check::scratch(&args, kernel)?;
        self.run(kernel, args)
    }

    /// Runs a convolution whose arguments were checked.
    fn run(self, kernel: ConvKernel, args: ConvArgs<'_>) -> Result<(), Fault> {
        match (kernel, self.machine) {
            (ConvKernel::Reference, _) => {
                reference::conv(args);
                Ok(())
            }
            (ConvKernel::Generic, _) => generic::conv(args),
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Direct8Vnni, Machine::Avx512Vnni(token)) => {
                super::x86_64::conv_direct8_vnni(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::PackedVnni, Machine::Avx512Vnni(token)) => {
                super::x86_64::conv_packed_vnni(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4Avx512, Machine::Avx512Vnni(token)) => {
                super::x86_64::conv_winograd4_avx512(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4StoredAvx512, Machine::Avx512Vnni(token)) => {
                super::x86_64::conv_winograd4_stored_avx512(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4Int8Avx512, Machine::Avx512Vnni(token)) => {
                super::x86_64::conv_winograd4_int8_avx512(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4Stride2Avx512, Machine::Avx512Vnni(token)) => {
                super::x86_64::conv_winograd4_stride2_avx512(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4StemAvx512, Machine::Avx512Vnni(token)) => {
                super::x86_64::conv_winograd4_stem_avx512(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (kernel, Machine::Avx512Vnni(token)) => {
                Self::of(Machine::Avx2(token.avx2())).run(kernel, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::DirectAvx2, Machine::Avx2(token)) => {
                super::x86_64::conv_direct_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::PackedAvx2, Machine::Avx2(token)) => {
                super::x86_64::conv_packed_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::StemAvx2, Machine::Avx2(token)) => {
                super::x86_64::conv_stem_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4Avx2, Machine::Avx2(token)) => {
                super::x86_64::conv_winograd4_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Direct8Avx2, Machine::Avx2(token)) => {
                super::x86_64::conv_direct8_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Direct16Avx2, Machine::Avx2(token)) => {
                super::x86_64::conv_direct16_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::U8s8Avx2, Machine::Avx2(token)) => {
                super::x86_64::conv_u8s8_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd2Avx2, Machine::Avx2(token)) => {
                super::x86_64::conv_winograd2_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4StoredAvx2, Machine::Avx2(token)) => {
                super::x86_64::conv_winograd4_stored_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4Int8Avx2, Machine::Avx2(token)) => {
                super::x86_64::conv_winograd4_int8_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4Stride2Avx2, Machine::Avx2(token)) => {
                super::x86_64::conv_winograd4_stride2_avx2(token, args)
            }
            #[cfg(target_arch = "x86_64")]
            (ConvKernel::Winograd4StemAvx2, Machine::Avx2(token)) => {
                super::x86_64::conv_winograd4_stem_avx2(token, args)
            }
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            (ConvKernel::Direct8Neon, Machine::Neon(_) | Machine::Dotprod(_)) => {
                super::aarch64::conv_direct8_neon(super::aarch64::Neon::new(), args)
            }
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            (
                ConvKernel::Winograd4Neon | ConvKernel::Winograd4StemNeon,
                Machine::Neon(_) | Machine::Dotprod(_),
            ) => super::aarch64::conv_winograd4_neon(super::aarch64::Neon::new(), args),
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            (ConvKernel::Direct8Dotprod, Machine::Dotprod(token)) => {
                super::aarch64::conv_direct8_dotprod(token, args)
            }
            #[cfg(cortex_m4)]
            (kernel, Machine::CortexM4(token)) => super::arm::conv_cortex_m4(token, kernel, args),
            #[cfg(cortex_m3)]
            (kernel, Machine::CortexM3(token)) => super::arm::conv_cortex_m3(token, kernel, args),
            // A kernel of another machine.
            _ => Err(Fault::Plan),
        }
    }

    /// Runs the classifier.
    ///
    /// # Errors
    /// [`Fault`] if a slice is shorter than inputs and classes ask for.
    pub fn logits(self, args: LogitsArgs<'_>) -> Result<(), Fault> {
        check::logits(&args)?;
        match self.machine {
            Machine::Reference => reference::logits(args),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2(token) => super::x86_64::logits_avx2(token, args)?,
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Vnni(token) => super::x86_64::logits_vnni(token, args)?,
            _ => generic::logits(args),
        }
        Ok(())
    }

    /// Runs a maximum pool, HWC to HWC; padding is ignored.
    ///
    /// # Errors
    /// [`Fault`] if a slice does not fit the shape, or a window is none.
    pub fn max_pool(
        self,
        shape: &PoolShape,
        clamp: (i8, i8),
        input: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::pool(shape, input, output)?;
        check::clamp(clamp)?;
        match self.machine {
            Machine::Reference => reference::max_pool(shape, clamp, input, output),
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2(token) => {
                super::x86_64::max_pool_avx2(token, shape, clamp, input, output)?;
            }
            #[cfg(target_arch = "x86_64")]
            Machine::Avx512Vnni(token) => {
                super::x86_64::max_pool_avx512(token, shape, clamp, input, output)?;
            }
            _ => generic::max_pool(shape, clamp, input, output),
        }
        Ok(())
    }

    /// Runs an average pool, HWC to HWC; padding counts as real 0.
    ///
    /// # Errors
    /// As [`KernelSet::max_pool`].
    pub fn average_pool(
        self,
        shape: &PoolShape,
        channel: Channel,
        requantization: &Requantization,
        input: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::pool(shape, input, output)?;
        check::requantization(requantization)?;
        let kernel = match self.machine {
            Machine::Reference => reference::average_pool,
            _ => generic::average_pool,
        };
        kernel(shape, channel, requantization, input, output);
        Ok(())
    }

    /// Runs an average pool whose padding does not count, HWC to HWC; there are constants for every number of
    /// taps that a window can have inside the map.
    ///
    /// # Errors
    /// As [`KernelSet::max_pool`], and [`Fault`] if constants are missing or a window could lie in the padding
    /// as a whole.
    pub fn average_pool_inside(
        self,
        shape: &PoolShape,
        channels: Channels<'_>,
        requantization: &Requantization,
        input: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::pool_inside(shape, channels, input, output)?;
        check::requantization(requantization)?;
        let kernel = match self.machine {
            Machine::Reference => reference::average_pool_inside,
            _ => generic::average_pool_inside,
        };
        kernel(shape, channels, requantization, input, output);
        Ok(())
    }

    /// Adds two tensors of one shape.
    ///
    /// # Errors
    /// [`Fault`] if they are not of one length.
    pub fn add(
        self,
        addition: &Addition,
        a: &[i8],
        b: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::add(addition, [a, b], output)?;
        match self.machine {
            Machine::Reference => reference::add(addition, a, b, output),
            _ => generic::add(addition, a, b, output),
        }
        Ok(())
    }

    /// Adds two tensors of one shape; `output` holds the second and is overwritten.
    ///
    /// # Errors
    /// As [`KernelSet::add`].
    pub fn add_in_place(
        self,
        addition: &Addition,
        a: &[i8],
        output: &mut [i8],
    ) -> Result<(), Fault> {
        check::add(addition, [a, output], output)?;
        match self.machine {
            Machine::Reference => reference::add_in_place(addition, a, output),
            _ => generic::add_in_place(addition, a, output),
        }
        Ok(())
    }

    /// Runs a strided copy with zero channels around.
    ///
    /// # Errors
    /// [`Fault`] if a slice does not fit its tensor, or one tensor the other.
    pub fn subsample(self, args: SubsampleArgs<'_>) -> Result<(), Fault> {
        check::subsample(&args)?;
        match self.machine {
            Machine::Reference => reference::subsample(args),
            _ => generic::subsample(args),
        }
        Ok(())
    }
}
