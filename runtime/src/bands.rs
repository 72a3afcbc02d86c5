//! A convolution split into bands of output rows, one a thread.
//!
//! What may not be broken: the bytes do not depend on the number of bands or on the order in which
//! they run, because bands share nothing but what they read, and each has scratch of its own.

use crate::kernels::{ConvArgs, KernelSet, Residual};

/// Runs a convolution in at most `threads` bands. `args.scratch` holds one kernel's scratch, rounded
/// up to the arena's alignment, per thread.
pub(crate) fn conv(kernels: KernelSet, threads: usize, args: ConvArgs<'_>) {
    let [height, width, channels] = args.shape.output;
    let threads = threads.max(1);
    let rows = height.div_ceil(threads).max(1);
    if rows >= height {
        return kernels.conv(args);
    }
    let ConvArgs { shape, input, weights, channels: constants, requantization, .. } = args;
    let len = rows.saturating_mul(width).saturating_mul(channels).max(1);
    let share = (args.scratch.len() / threads).max(1);
    let mut scratch = args.scratch.chunks_exact_mut(share);
    let bands = args.output.chunks_mut(len).enumerate().map(|(band, output)| ConvArgs {
        shape,
        input,
        weights,
        channels: constants,
        requantization,
        residual: match args.residual {
            Residual::Separate(values) => {
                Residual::Separate(values.get(band.saturating_mul(len)..).unwrap_or(&[]))
            }
            other => other,
        },
        first_row: band.saturating_mul(rows),
        output,
        scratch: scratch.next().unwrap_or_default(),
    });
    run(bands, |band| kernels.conv(band));
}

#[cfg(not(feature = "threads"))]
fn run<'a>(bands: impl Iterator<Item = ConvArgs<'a>>, conv: impl Fn(ConvArgs<'a>)) {
    bands.for_each(conv);
}

#[cfg(feature = "threads")]
fn run<'a>(bands: impl Iterator<Item = ConvArgs<'a>>, conv: impl Fn(ConvArgs<'a>) + Sync) {
    let conv = &conv;
    rayon::in_place_scope(|scope| {
        for band in bands {
            scope.spawn(move |_| conv(band));
        }
    });
}
