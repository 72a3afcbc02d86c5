//! The list of instruction sets: a line each, from which the rest follows. Their rooms have everything else.
//!
//! What may not be broken: codes of targets are part of the file format and never change their meaning.

#[cfg(has_aarch64)]
use super::aarch64;
#[cfg(any(has_cortex_m3, has_cortex_m4))]
use super::cortex_m;
use super::declare::InstructionSet;
use super::portable;
#[cfg(has_x86_64)]
use super::x86_64;

macro_rules! instruction_sets {
    ($(
        $(#[doc = $doc:literal])+
        $family:ident $name:literal: $record:path, if $built:meta
        $(=> $target:ident $target_name:literal = $code:literal since $since:literal)?;
    )+) => {
        /// The name of a [`KernelSet`](super::KernelSet), of this machine or another: what a plan for a board
        /// is made with. From the specification over portable code to the instruction sets, later ones
        /// of an architecture being faster.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum KernelFamily {
            $($(#[doc = $doc])+ $family,)+
        }

        impl KernelFamily {
            /// All of them.
            pub const ALL: [Self; [$(Self::$family),+].len()] = [$(Self::$family),+];

            /// Name of the set, as `--kernels` takes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$family => $name,)+
                }
            }

            /// The family that files packed for `target` are for; none for portable files.
            #[must_use]
            pub const fn for_target(target: Target) -> Option<Self> {
                match target {
                    Target::Portable => None,
                    $($(Target::$target => Some(Self::$family),)?)+
                }
            }

            /// The record; none where this build has no use for it.
            pub(crate) const fn set(self) -> Option<&'static InstructionSet> {
                match self {
                    $(
                        #[cfg($built)]
                        Self::$family => Some(&$record),
                    )+
                    #[allow(unreachable_patterns, reason = "builds with an operating system have all")]
                    _ => None,
                }
            }
        }

        /// The machine that a file's weights are laid out for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Target {
            /// Runs everywhere.
            Portable = 0,
            $($(
                #[doc = concat!("For [`KernelFamily::", stringify!($family), "`].")]
                $target = $code,
            )?)+
        }

        impl Target {
            /// All targets, in the order of their codes.
            pub const ALL: [Self; Self::LISTED.len()] = by_code(Self::LISTED);
            const LISTED: &[Self] = &[Self::Portable, $($(Self::$target,)?)+];

            /// The name, as `--target` takes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Portable => "portable",
                    $($(Self::$target => $target_name,)?)+
                }
            }

            /// The minor version of the format that it came with.
            pub(crate) const fn since(self) -> u16 {
                match self {
                    Self::Portable => 0,
                    $($(Self::$target => $since,)?)+
                }
            }
        }
    };
}

instruction_sets! {
    /// The specification. An image without an operating system has no use for it.
    Reference "reference": portable::REFERENCE, if feature = "std";
    /// Portable Rust.
    Generic "generic": portable::GENERIC, if all();
    /// x86-64 with AVX2.
    Avx2 "avx2": x86_64::AVX2, if has_x86_64
        => X86_64Avx2 "x86-64-avx2" = 1 since 2;
    /// x86-64 with AVX2 and its dot products of bytes (AVX-VNNI): Intel's 12th generation and later, Zen 5.
    AvxVnni "avx-vnni": x86_64::AVX_VNNI, if has_x86_64
        => X86_64AvxVnni "x86-64-avxvnni" = 7 since 5;
    /// x86-64 with AVX-512 and its dot products of bytes (VNNI).
    Avx512Vnni "avx512-vnni": x86_64::AVX512_VNNI, if has_x86_64
        => X86_64Avx512Vnni "x86-64-avx512vnni" = 6 since 3;
    /// AArch64 as of ARMv8.0: Cortex-A53, A57, A72.
    Neon "neon": aarch64::NEON, if has_aarch64
        => Armv8Neon "armv8-neon" = 2 since 2;
    /// AArch64 with dot products: Cortex-A55, A76 and later.
    Dotprod "dotprod": aarch64::DOTPROD, if has_dotprod
        => Armv8Dotprod "armv8-dotprod" = 3 since 2;
    /// AArch64 with products of matrices of bytes: Cortex-A510, A710, Neoverse V1 and later.
    I8mm "i8mm": aarch64::I8MM, if has_i8mm
        => Armv8I8mm "armv8-i8mm" = 8 since 5;
    /// Cortex-M3.
    CortexM3 "cortex-m3": cortex_m::M3, if has_cortex_m3
        => CortexM3 "cortex-m3" = 5 since 2;
    /// Cortex-M4 and M7: the DSP extension.
    CortexM4 "cortex-m4": cortex_m::M4, if has_cortex_m4
        => CortexM4 "cortex-m4" = 4 since 2;
}

impl Target {
    /// The target with this code.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|target| *target as u16 == code)
    }

    /// Whether this build knows how weights are laid out for it.
    pub(crate) fn is_known(self) -> bool {
        KernelFamily::for_target(self).is_none_or(|family| family.set().is_some())
    }
}

/// The targets in the order of their codes.
const fn by_code<const N: usize>(listed: &[Target]) -> [Target; N] {
    let mut sorted = [Target::Portable; N];
    let mut count = 0;
    while count < N {
        let mut at = count;
        while at > 0 && sorted[at - 1] as u16 > listed[count] as u16 {
            sorted[at] = sorted[at - 1];
            at -= 1;
        }
        sorted[at] = listed[count];
        count += 1;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;
    use crate::format::WeightLayout;
    use crate::kernels::ConvKernel;

    #[test]
    fn names_and_codes_are_told_apart() {
        let kernels: Vec<&str> = ConvKernel::all().map(ConvKernel::name).collect();
        assert_eq!(kernels.iter().collect::<BTreeSet<_>>().len(), kernels.len(), "{kernels:?}");
        for kernel in ConvKernel::all() {
            assert_eq!(ConvKernel::from_name(kernel.name()), Some(kernel));
        }
        let codes = Target::ALL.map(|target| target as u16);
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for family in KernelFamily::ALL {
            assert_eq!(KernelFamily::from_name(family.name()), Some(family));
            assert_eq!(family.set().map(|set| set.family), Some(family), "the row of another set");
        }
    }

    #[test]
    fn plain_weights_come_first_among_those_that_a_kernel_reads() {
        for kernel in
            KernelFamily::ALL.into_iter().filter_map(KernelFamily::set).flat_map(|set| set.kernels)
        {
            let mut others = kernel.reads.iter().skip(1);
            assert!(others.all(|form| form.layout != WeightLayout::Ohwi), "{}", kernel.name);
        }
    }
}
