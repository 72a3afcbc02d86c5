//! Every kernel set against formulas in wide integers, written here anew, and against the
//! reference kernels where constants make the arithmetic wrap.
//!
//! Outputs and scratch lie between guards, scratch has exactly the planned length and holds
//! garbage.

mod cases;
mod conv;
mod gates;
mod hostile;
mod others;
#[path = "../support/mod.rs"]
mod support;

use fixnet::KernelSet;
use proptest::prelude::*;

use cases::*;
use conv::Conv;
use others::*;

/// Cases of each property; fewer where the machine may be emulated.
const CASES: u32 = if cfg!(target_arch = "x86_64") { 300 } else { 40 };

macro_rules! kernel_suite {
    ($($set:ident),*) => {$(
        mod $set {
            use super::*;

            /// Runs a check if this machine has the kernels.
            fn with(check: impl Fn(KernelSet)) {
                match KernelSet::available().find(|set| set.name().replace('-', "_") == stringify!($set)) {
                    Some(kernels) => check(kernels),
                    None => println!("not run: this machine has no {}", stringify!($set)),
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig {
                    failure_persistence: None,
                    ..ProptestConfig::with_cases(CASES)
                })]

                #[test]
                fn conv_is_exact(case in conv_case()) {
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }

                #[test]
                fn conv_3x3_is_exact(case in conv_3x3_case()) {
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }

                #[test]
                fn conv_3x3_wraps_as_the_reference(case in conv_3x3_case()) {
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }

                #[test]
                fn conv_wraps_as_the_reference(case in conv_case()) {
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }

                #[test]
                fn strided_conv_is_exact(case in strided_case()) {
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }

                #[test]
                fn strided_conv_wraps_as_the_reference(case in strided_case()) {
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }

                #[test]
                fn grouped_conv_is_exact(case in grouped_case()) {
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }

                #[test]
                fn grouped_conv_wraps_as_the_reference(case in grouped_case()) {
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }

                #[test]
                fn max_pool_is_exact(case in pool_case()) {
                    with(|kernels| check_max_pool(kernels, &case));
                }

                #[test]
                fn average_pool_is_exact(case in pool_case()) {
                    with(|kernels| check_average_pool(kernels, &case, Constants::Proved));
                }

                #[test]
                fn average_pool_wraps_as_the_reference(case in pool_case()) {
                    with(|kernels| check_average_pool(kernels, &case, Constants::Accepted));
                }

                #[test]
                fn average_pool_inside_is_exact(case in pool_case()) {
                    with(|kernels| check_average_pool_inside(kernels, &case, Constants::Proved));
                }

                #[test]
                fn average_pool_inside_wraps_as_the_reference(case in pool_case()) {
                    with(|kernels| check_average_pool_inside(kernels, &case, Constants::Accepted));
                }

                #[test]
                fn add_is_exact(len in 1..100usize, a in fill(), b in fill(), seed: u64) {
                    with(|kernels| check_add(kernels, len, (a, b), Constants::Proved, seed));
                }

                #[test]
                fn add_wraps_as_the_reference(len in 1..100usize, a in fill(), b in fill(), seed: u64) {
                    with(|kernels| check_add(kernels, len, (a, b), Constants::Accepted, seed));
                }

                #[test]
                fn one_value_a_channel_is_added(size in (1..20usize, 1..70usize), seed: u64) {
                    with(|kernels| gates::check_add_by_channel(kernels, size.0, size.1, seed));
                }

                #[test]
                fn products_are_exact(
                    size in (1..20usize, 1..70usize), a in fill(), b in fill(), seed: u64,
                ) {
                    with(|kernels| {
                        gates::check_multiply(kernels, size, (a, b), Constants::Proved, seed);
                    });
                }

                #[test]
                fn products_wrap_as_the_reference(
                    size in (1..20usize, 1..70usize), a in fill(), b in fill(), seed: u64,
                ) {
                    with(|kernels| {
                        gates::check_multiply(kernels, size, (a, b), Constants::Accepted, seed);
                    });
                }

                #[test]
                fn tables_are_exact(size in (1..20usize, 1..70usize), seed: u64) {
                    with(|kernels| gates::check_lookup(kernels, size.0, size.1, seed));
                }

                #[test]
                fn concatenations_are_exact(
                    pixels in 1..20usize, channels in [0..9usize, 1..70, 0..9], seed: u64,
                ) {
                    with(|kernels| {
                        gates::check_concat(kernels, pixels, channels, Constants::Proved, seed);
                    });
                }

                #[test]
                fn concatenations_wrap_as_the_reference(
                    pixels in 1..20usize, channels in [0..9usize, 1..70, 0..9], seed: u64,
                ) {
                    with(|kernels| {
                        gates::check_concat(kernels, pixels, channels, Constants::Accepted, seed);
                    });
                }

                #[test]
                fn logits_are_exact(
                    size in (1..300usize, 1..40usize), a in fill(), b in fill(), seed: u64,
                ) {
                    with(|kernels| check_logits(kernels, size, (a, b), Constants::Proved, seed));
                }

                #[test]
                fn logits_wrap_as_the_reference(
                    size in (1..300usize, 1..40usize), a in fill(), b in fill(), seed: u64,
                ) {
                    with(|kernels| check_logits(kernels, size, (a, b), Constants::Accepted, seed));
                }

                #[test]
                fn subsample_is_exact(
                    y in axis(1), x in axis(1),
                    before in 0..5usize, copied in 1..9usize, after in 0..5usize, seed: u64,
                ) {
                    let channels = [before, copied, after];
                    with(|kernels| check_subsample(kernels, [y, x], channels, seed));
                }
            }

            #[test]
            fn gates_take_any_arguments() {
                with(gates::check_hostile);
            }

            /// 4,608 products, the longest sum of ResNet-34, of every pair of extreme values.
            #[test]
            fn conv_of_extreme_values_is_exact() {
                let fills = [Fill::Lowest, Fill::Highest, Fill::Alternating];
                for inputs in fills {
                    for weights in fills {
                        let case = square(3, 3, 512, 5, (inputs, weights));
                        let conv = Conv::new(&case, Constants::Proved);
                        with(|kernels| conv.check(kernels, &conv.oracle()));
                    }
                }
            }

            /// Stems: large windows at stride 2 over few channels, at every remainder of rows of pixels.
            #[test]
            fn conv_of_stems_is_exact() {
                for extent in 9..=20 {
                    let fills = [Fill::Random, Fill::Lowest, Fill::Highest, Fill::Alternating];
                    let fills = (fills[extent % 4], fills[extent / 4 % 4]);
                    let mut case = square(extent, 7, 3, 32, fills);
                    case.axes.iter_mut().for_each(|axis| axis.stride = 2);
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }
            }

            /// What fast algorithms for 3x3 windows serve: extents around whole tiles, channels of
            /// one chunk of sums and of more, with extreme values.
            #[test]
            fn conv_3x3_of_whole_vectors_is_exact() {
                let fills = [Fill::Random, Fill::Lowest, Fill::Highest, Fill::Alternating];
                let channels = [(16, 16), (48, 32), (128, 16), (144, 16), (272, 32)];
                for (index, extent) in [5, 7, 8, 9, 13, 17].into_iter().enumerate() {
                    for (in_c, out_c) in channels {
                        let pick = |n: usize| fills[(index * 5 + in_c / 16 + n) % fills.len()];
                        let case = square(extent, 3, in_c, out_c, (pick(0), pick(index / 3 + 1)));
                        let conv = Conv::new(&case, Constants::Proved);
                        with(|kernels| conv.check(kernels, &conv.oracle()));
                    }
                }
            }

            /// Inputs of at most 128 values: windows around whole vectors, every pair of extreme values.
            #[test]
            fn conv_of_few_values_is_exact() {
                let fills = [Fill::Random, Fill::Lowest, Fill::Highest, Fill::Alternating];
                for (index, in_c) in [1, 7, 8, 9, 16, 31, 32, 33, 64, 100].into_iter().enumerate() {
                    for kernel in [1, 3] {
                        let pick = |n: usize| fills[(index + n) % fills.len()];
                        let mut case = square(5, kernel, in_c, 32, (pick(kernel), pick(index / 4)));
                        // Seeds say which values and weights there are.
                        case.seed = if index % 2 == 0 { 2 } else { 6 };
                        let conv = Conv::new(&case, Constants::Proved);
                        with(|kernels| conv.check(kernels, &conv.oracle()));
                    }
                }
            }

            /// More pixels and more weights than kernels hold at a time, and an odd number of blocks of
            /// output channels.
            #[test]
            fn conv_in_several_blocks_is_exact() {
                for (extent, kernel, in_c) in [(17, 3, 144), (40, 1, 400)] {
                    let case = square(extent, kernel, in_c, 176, (Fill::Random, Fill::Random));
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }
            }

            /// Every remainder of tiles that are multiplied together, from plain and packed weights.
            #[test]
            fn conv_3x3_of_every_count_of_tiles_is_exact() {
                for tiles in 1..=34 {
                    let fills = (Fill::Random, [Fill::Random, Fill::Highest][tiles % 2]);
                    let in_c = if tiles % 3 == 0 { 48 } else { 16 };
                    let mut case = square(4 * tiles - tiles % 4, 3, in_c, 16, fills);
                    case.axes[0].extent = 3;
                    case.seed = 2;
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check(kernels, &conv.oracle()));
                }
            }

            /// Patch lengths around whole vectors, channel counts around whole tiles, one pixel.
            #[test]
            fn conv_of_every_remainder_is_exact() {
                for in_c in 1..=33 {
                    for out_c in 1..=17 {
                        let case = square(1, 1, in_c, out_c, (Fill::Random, Fill::Random));
                        let conv = Conv::new(&case, Constants::Proved);
                        with(|kernels| conv.check(kernels, &conv.oracle()));
                    }
                }
            }

            /// Channel for channel, every count around whole vectors: of wide maps, whose columns come in parts, and
            /// of single values.
            #[test]
            fn depthwise_conv_of_every_remainder_is_exact() {
                for channels in 1..=66 {
                    for kernel in [1, 3] {
                        let fills = (Fill::Random, [Fill::Random, Fill::Lowest][channels % 2]);
                        let mut case = square(4, kernel, 1, 1, fills);
                        case.groups = channels;
                        case.axes[1].extent = if channels % 9 == 0 { 150 } else { 6 };
                        let conv = Conv::new(&case, Constants::Proved);
                        with(|kernels| conv.check(kernels, &conv.oracle()));
                    }
                }
            }

            /// 2^14 * 140,000 does not fit 32 bits.
            #[test]
            fn conv_with_a_sum_that_overflows_wraps_as_the_reference() {
                for extent in [1, 2] {
                    let case = square(extent, 1, 140_000, 6, (Fill::Lowest, Fill::Lowest));
                    let conv = Conv::new(&case, Constants::Accepted);
                    with(|kernels| conv.check(kernels, &conv.run(KernelSet::REFERENCE)));
                }
            }

            #[test]
            fn hostile_arguments_are_refused_or_computed() {
                with(|kernels| {
                    hostile::check_conv(kernels);
                    hostile::check_pools(kernels);
                    hostile::check_others(kernels);
                });
            }

            /// A kernel without the scratch that it asked for says so, and writes nothing.
            #[test]
            fn conv_without_scratch_is_a_fault() {
                let case = square(5, 3, 16, 32, (Fill::Random, Fill::Random));
                let conv = Conv::new(&case, Constants::Proved);
                with(|kernels| conv.check_short_scratch(kernels));
            }

            /// Weights that are laid out for another instruction set are reported, not passed over.
            #[test]
            fn conv_of_weights_for_another_machine_is_a_fault() {
                for stride in [1, 2] {
                    let mut case = square(5, 3, 16, 32, (Fill::Random, Fill::Random));
                    case.axes.iter_mut().for_each(|axis| axis.stride = stride);
                    let conv = Conv::new(&case, Constants::Proved);
                    with(|kernels| conv.check_foreign_weights(kernels));
                }
            }
        }
    )*};
}

kernel_suite!(reference, generic);
#[cfg(target_arch = "x86_64")]
kernel_suite!(avx2, avx_vnni, avx512_vnni);
#[cfg(target_arch = "aarch64")]
kernel_suite!(neon, dotprod, i8mm);
#[cfg(all(target_arch = "arm", feature = "cortex-m"))]
kernel_suite!(cortex_m3, cortex_m4);
