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
    ($module:ident) => {
        Operators {
            max_pool: Named {
                name: concat!("max_pool_", stringify!($module)),
                run: Some(|_, shape, clamp, input, output| {
                    $module::max_pool(shape, clamp, input, output);
                    Ok(())
                }),
            },
            average_pool: Named {
                name: concat!("average_pool_", stringify!($module)),
                run: Some($module::average_pool),
            },
            average_pool_inside: Named {
                name: concat!("average_pool_inside_", stringify!($module)),
                run: Some($module::average_pool_inside),
            },
            add: Named { name: concat!("add_", stringify!($module)), run: Some($module::add) },
            add_in_place: Named {
                name: concat!("add_", stringify!($module)),
                run: Some($module::add_in_place),
            },
            subsample: Named {
                name: concat!("subsample_", stringify!($module)),
                run: Some($module::subsample),
            },
            lookup: Named {
                name: concat!("lookup_", stringify!($module)),
                run: Some($module::lookup),
            },
            multiply: Named {
                name: concat!("multiply_", stringify!($module)),
                run: Some($module::multiply),
            },
            multiply_in_place: Named {
                name: concat!("multiply_", stringify!($module)),
                run: Some($module::multiply_in_place),
            },
            concat: Named {
                name: concat!("concat_", stringify!($module)),
                run: Some($module::concat),
            },
            logits: Named {
                name: concat!("logits_", stringify!($module)),
                run: Some(|_, args| {
                    $module::logits(args);
                    Ok(())
                }),
            },
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
        run: Some(|_, args| {
            reference::conv(args);
            Ok(())
        }),
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
