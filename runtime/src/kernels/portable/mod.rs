//! Kernels in portable Rust, for every machine: the specification, and what is left to no other kernel.

pub(crate) mod generic;
pub(crate) mod reference;

use super::KernelFamily;
use super::declare::{Grain, InstructionSet, Kernel, Named, Operators};
use super::layouts::Layouts;

/// Rows may be parted anywhere, channels not.
///
/// Portable kernels take 0.15 ms for a million multiply-accumulates where those of AVX2 take 0.02, so a
/// quarter of their least work is ample: two threads take 0.56 of the time of one at 1.18 million (measured
/// as in the room of x86-64).
const GRAIN: Grain = Grain { rows: 1, channels: 0, transforms: &[], least_work: 500_000 };

/// All operators but convolutions as a module computes them.
macro_rules! operators {
    ($module:ident: $($operator:ident $name:literal as $function:ident($($argument:ident),+),)+) => {
        Operators {
            $($operator: Named {
                name: concat!($name, "_", stringify!($module)),
                run: Some(|_, $($argument),+| $module::$function($($argument),+)),
            },)+
        }
    };
    ($module:ident) => {
        operators! { $module:
            max_pool "max_pool" as max_pool(shape, clamp, input, output),
            average_pool "average_pool" as average_pool(shape, channel, rq, input, output),
            average_pool_inside "average_pool_inside"
                as average_pool_inside(shape, channels, rq, input, output),
            add "add" as add(p, a, b, output),
            add_in_place "add" as add_in_place(p, a, output),
            subsample "subsample" as subsample(args),
            logits "logits" as logits(args),
            lookup "lookup" as lookup(tables, clamp, values),
            multiply "multiply" as multiply(p, a, b, output),
            multiply_in_place "multiply" as multiply_in_place(p, a, output),
            concat "concat" as concat(args),
        }
    };
}

/// What sets without code of their own compute with.
pub(crate) const OPERATORS: Operators = operators!(generic);

/// The specification: slow, for tests.
pub(crate) static REFERENCE: InstructionSet = InstructionSet {
    family: KernelFamily::Reference,
    base: Some(&GENERIC),
    kernels: &[Kernel {
        name: "conv_reference",
        run: Some(|_, args| reference::conv(args)),
        ..Kernel::with(GRAIN)
    }],
    layouts: Layouts::NONE,
    operators: operators!(reference),
    is_there: Some(|| true),
};

/// Portable Rust.
pub(crate) static GENERIC: InstructionSet = InstructionSet {
    family: KernelFamily::Generic,
    base: None,
    kernels: &[Kernel {
        name: "conv_generic",
        scratch_bytes: |shape, _| generic::conv_scratch_bytes(shape),
        run: Some(|_, args| generic::conv(args)),
        ..Kernel::with(GRAIN)
    }],
    layouts: Layouts::NONE,
    operators: OPERATORS,
    is_there: Some(|| true),
};
