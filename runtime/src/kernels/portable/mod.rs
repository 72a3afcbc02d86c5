//! Kernels in portable Rust, for every machine: the specification, and what is left to no other kernel.

pub(crate) mod generic;
pub(crate) mod reference;

use super::KernelFamily;
use super::declare::{Grain, InstructionSet, Kernel, Named, OHWI, Operators, always};
use super::layouts::Layouts;

/// Rows may be parted anywhere, channels not.
const GRAIN: Grain = Grain { rows: 1, channels: 0, transforms: &[], least_work: 500_000 };

/// The specification: slow, for tests.
pub(crate) static REFERENCE: InstructionSet = InstructionSet {
    family: KernelFamily::Reference,
    base: Some(KernelFamily::Generic),
    kernels: &[Kernel {
        name: "conv_reference",
        reads: OHWI,
        computes: always,
        pays: always,
        scratch_bytes: |_, _| 0,
        grain: GRAIN,
        run: Some(|_, args| {
            reference::conv(args);
            Ok(())
        }),
    }],
    layouts: Layouts::NONE,
    operators: Operators {
        max_pool: Named {
            name: "max_pool_reference",
            run: Some(|_, shape, clamp, input, output| {
                reference::max_pool(shape, clamp, input, output);
                Ok(())
            }),
        },
        average_pool: Named { name: "average_pool_reference", run: Some(reference::average_pool) },
        average_pool_inside: Named {
            name: "average_pool_inside_reference",
            run: Some(reference::average_pool_inside),
        },
        add: Named { name: "add_reference", run: Some(reference::add) },
        add_in_place: Named { name: "add_reference", run: Some(reference::add_in_place) },
        subsample: Named { name: "subsample_reference", run: Some(reference::subsample) },
        logits: Named {
            name: "logits_reference",
            run: Some(|_, args| {
                reference::logits(args);
                Ok(())
            }),
        },
    },
    is_there: Some(|| true),
};

/// Portable Rust.
pub(crate) static GENERIC: InstructionSet = InstructionSet {
    family: KernelFamily::Generic,
    base: None,
    kernels: &[Kernel {
        name: "conv_generic",
        reads: OHWI,
        computes: always,
        pays: always,
        scratch_bytes: |shape, _| generic::conv_scratch_bytes(shape),
        grain: GRAIN,
        run: Some(|_, args| generic::conv(args)),
    }],
    layouts: Layouts::NONE,
    operators: OPERATORS,
    is_there: Some(|| true),
};

/// What sets without code of their own compute with.
pub(crate) const OPERATORS: Operators = Operators {
    max_pool: Named {
        name: "max_pool_generic",
        run: Some(|_, shape, clamp, input, output| {
            generic::max_pool(shape, clamp, input, output);
            Ok(())
        }),
    },
    average_pool: Named { name: "average_pool_generic", run: Some(generic::average_pool) },
    average_pool_inside: Named {
        name: "average_pool_inside_generic",
        run: Some(generic::average_pool_inside),
    },
    add: Named { name: "add_generic", run: Some(generic::add) },
    add_in_place: Named { name: "add_generic", run: Some(generic::add_in_place) },
    subsample: Named { name: "subsample_generic", run: Some(generic::subsample) },
    logits: Named {
        name: "logits_generic",
        run: Some(|_, args| {
            generic::logits(args);
            Ok(())
        }),
    },
};
