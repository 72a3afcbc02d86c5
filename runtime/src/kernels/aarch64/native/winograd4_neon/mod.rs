//! [`winograd4`](crate::kernels::winograd4) with NEON: eight channels a vector, weights as `[position][input channel][output
//! channel]`, for `SMLAL` by element.

mod input;
mod output;
mod stem;
mod weights;

use core::arch::aarch64::{vaddq_s32, vdupq_n_s32};
use core::ops::Range;

use super::requantize_block::{Requantizer, VECTORS};
use super::{Neon, conv_direct8_neon, outer_product};
use crate::error::Fault;
use crate::format::WeightLayout;
use crate::kernels::ConvArgs;
use crate::kernels::aarch64::winograd4::{GROUP, POSITIONS};
use crate::kernels::aarch64::winograd4::{PRODUCTS, Plan, STEM_TILE};
use crate::kernels::divide::{buffer, parts};
use crate::kernels::winograd4::{BLOCK, TILE, is_stem};

/// Elements of one vector of i16.
const LANES: usize = 8;

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_winograd4_neon(token: Neon, args: ConvArgs<'_>) -> Result<(), Fault> {
    let stored = args.weights.form.layout == WeightLayout::Winograd4;
    // SAFETY: the token proves that the CPU has NEON.
    unsafe {
        if is_stem(args.shape) {
            conv::<STEM_TILE>(args).ok_or(Fault::Plan)
        } else if stored || weights::sums_fit(args.weights.as_ohwi(), args.shape.patch_len()) {
            conv::<TILE>(args).ok_or(Fault::Plan)
        } else {
            conv_direct8_neon(token, args)
        }
    }
}

/// The buffers in the scratch.
struct Buffers<'s> {
    input: &'s mut [i16],
    weights: &'s mut [i16],
    products: &'s mut [[i32; PRODUCTS]],
    window: &'s mut [i8],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &mut &'s mut [u8], plan: &Plan) -> Option<Self> {
        Some(Self {
            input: buffer(scratch, plan.input_bytes())?,
            weights: buffer(scratch, plan.weights_bytes())?,
            products: buffer(scratch, plan.products_bytes())?,
            window: buffer(scratch, plan.window_bytes())?,
        })
    }
}

/// Some of the tiles of a band of output rows.
#[derive(Debug, Clone, Copy)]
struct TileBlock {
    /// The first tile's number in the band, row by row.
    first: usize,
    count: usize,
    /// Tiles of a row.
    columns: usize,
    /// Output rows of the band.
    rows: usize,
}

impl TileBlock {
    /// The first output pixel (row, column) of a tile of `T * T` pixels.
    fn corner<const T: usize>(&self, tile: usize) -> (usize, usize) {
        let number = self.first + tile;
        (number / self.columns * T, number % self.columns * T)
    }
}

/// In tiles of `T * T` output pixels. `None` if a slice is too short.
#[target_feature(enable = "neon")]
fn conv<const T: usize>(mut args: ConvArgs<'_>) -> Option<()> {
    let shape = args.shape;
    let [_, out_w, out_c] = shape.output;
    let plan = Plan::new(shape, args.weights.form.layout);
    let mut buffers = Buffers::new(&mut args.scratch, &plan)?;
    let rows = args.output.len() / out_w.saturating_mul(out_c).max(1);
    let columns = out_w.div_ceil(T).max(1);
    let tiles = rows.div_ceil(T).saturating_mul(columns);
    for Range { start: first, end } in parts(tiles, plan.tiles) {
        let block = TileBlock { first, count: end - first, columns, rows };
        for tile in 0..block.count {
            let (row, column) = block.corner::<T>(tile);
            let corner = (args.first_row + row, column);
            let to = buffers.input.get_mut(tile * plan.row..)?;
            let (window, stride) = (&mut *buffers.window, plan.input_stride);
            match T {
                STEM_TILE => stem::transform(shape, args.input, corner, window, stride, to)?,
                _ => input::transform(shape, args.input, corner, window, stride, to)?,
            }
        }
        for oc in (0..out_c).step_by(BLOCK) {
            channels::<T>(&mut args, &plan, &mut buffers, block, oc)?;
        }
    }
    Some(())
}

/// A block of output channels of some tiles, from the weights to the output.
#[target_feature(enable = "neon")]
fn channels<const T: usize>(
    args: &mut ConvArgs<'_>,
    plan: &Plan,
    buffers: &mut Buffers<'_>,
    block: TileBlock,
    oc: usize,
) -> Option<()> {
    let in_c = plan.depth;
    for from in (0..in_c).step_by(plan.part) {
        let part = from..in_c.min(from + plan.part);
        let weights = match args.weights.form.layout {
            WeightLayout::Winograd4 => args.weights.int16().get(oc * POSITIONS * in_c..)?,
            _ => {
                let (ohwi, stride) = (args.weights.as_ohwi(), plan.weights_stride);
                weights::transform(ohwi, in_c, oc, part.clone(), stride, buffers.weights)?;
                &*buffers.weights
            }
        };
        for (group, tiles) in parts(block.count, GROUP).enumerate() {
            let products = buffers.products.get_mut(group % plan.groups)?;
            let first = tiles.start * plan.row + part.start;
            for (position, products) in products.chunks_exact_mut(GROUP * BLOCK).enumerate() {
                let values = buffers.input.get(position * plan.input_stride + first..)?;
                let weights = weights.get(position * plan.weights_stride..)?;
                outer_product::multiply(
                    tiles.len(),
                    values,
                    plan.row,
                    weights,
                    part.len(),
                    part.start > 0,
                    products,
                )?;
            }
            if part.end == in_c {
                store::<T>(args, products, block, tiles, oc)?;
            }
        }
    }
    Some(())
}

/// From the products of a group of tiles to the output.
#[target_feature(enable = "neon")]
fn store<const T: usize>(
    args: &mut ConvArgs<'_>,
    products: &[i32; PRODUCTS],
    block: TileBlock,
    tiles: Range<usize>,
    oc: usize,
) -> Option<()> {
    let [_, out_w, out_c] = args.shape.output;
    let channels = args.channels.part(oc..oc + BLOCK)?;
    let requantizer = Requantizer::new(channels, args.requantization, args.residual)?;
    for (index, tile) in tiles.enumerate() {
        let mut sums = [[[vdupq_n_s32(0); VECTORS]; T]; T];
        output::transform(products, index, &mut sums);
        let (top, left) = block.corner::<T>(tile);
        for (row, sums) in (top..block.rows).zip(&mut sums) {
            for (column, sums) in (left..out_w).zip(sums) {
                for (sum, bias) in sums.iter_mut().zip(requantizer.bias) {
                    *sum = vaddq_s32(*sum, bias);
                }
                requantizer.store(*sums, (row * out_w + column) * out_c + oc, args.output)?;
            }
        }
    }
    Some(())
}
