//! The one driver of all forms and instruction sets.
//!
//! A block of tiles becomes rows once; then, for sixteen output channels at a time, rows meet weights,
//! a few tiles at a time, so that their products stay near, and [`Epilogue`] takes sums to the output
//! while they are in registers.
//!
//! What may not be broken: everything that is written or read through pointers lies inside what
//! [`Task::new`] has checked. The driver itself is compiled for every CPU; vectors are only met within
//! [`Vectors::run`].

use core::arch::x86_64::{_mm_loadu_si128, _mm_storeu_si128};
use core::ops::Range;

use zerocopy::{FromBytes, IntoBytes};

use super::Tiles;
use super::epilogue::Epilogue;
use super::fused::{self, FUSED};
use super::multiply::{self, Operands, Weight};
use super::transform::{MAX_PIXELS, Outputs};
use super::u8s8;
use super::vector::{Block, Vector, Vectors};
use super::window::Window;
use crate::kernels::divide::{buffer, parts};
use crate::kernels::x86_64::tiled::{BLOCK, LANES, Plan};
use crate::kernels::{ConvArgs, ConvShape, Residual};

/// Where weights come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'w> {
    /// Blocks of `[filter][pair of values][output channel][2]`.
    Stored(&'w [i16]),
    /// The same in int8, widened as they are multiplied.
    Narrow(&'w [i8]),
    /// In an order that a function brings into that of stored ones.
    Transformed(&'w [i8], Transform),
    /// Blocks of `[pair of values][tap][output channel][2]`, transformed as they are multiplied.
    Taps(&'w [i8]),
    /// What a function interleaves into such blocks.
    Ohwi(&'w [i8], Transform),
    /// Blocks of [`crate::kernels::x86_64::u8s8`].
    Bytes(&'w [u8]),
}

/// Brings weights of the block of output channels that begins with the given one, for some values of a row, into
/// the order `[pair of values][filter][output channel][2]`; `None` if a slice is too short. It is unsafe by the
/// instructions that it takes.
pub(super) type Transform =
    unsafe fn(&ConvShape, &[i8], usize, Range<usize>, &mut [i16]) -> Option<()>;

/// The buffers in the scratch.
struct Buffers<'s> {
    /// `[position][tile][value]`.
    rows: &'s mut [i16],
    /// As a [`Transform`] writes them.
    weights: &'s mut [i16],
    /// `[position][tile][output channel]`.
    products: &'s mut [i32],
    padding: &'s mut [i8],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &'s mut [u8], plan: &Plan) -> Option<Self> {
        let unaligned = scratch.as_ptr().align_offset(plan.alignment);
        let scratch = &mut scratch.get_mut(unaligned..)?;
        Some(Self {
            rows: buffer(scratch, plan.rows_bytes())?,
            weights: buffer(scratch, plan.weights_bytes())?,
            products: buffer(scratch, plan.products_bytes())?,
            padding: buffer(scratch, plan.padding_bytes())?,
        })
    }
}

/// Some of the tiles of a band of output rows.
#[derive(Debug, Clone, Copy)]
struct TileBlock {
    /// The first tile's number in the band, row by row.
    first: usize,
    count: usize,
}

/// A convolution whose parts fit together.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    shape: ConvShape,
    plan: Plan,
    source: Source<'a>,
    input: &'a [i8],
    first_row: usize,
    output: *mut i8,
    /// Null without a residual.
    residual: *const i8,
    /// Output rows of the band, and tiles of a row.
    rows: usize,
    tile_cols: usize,
}

/// See [`crate::kernels::portable::reference::conv`]. `None` if a slice is too short.
///
/// # Safety
/// The CPU has the instructions of `V`, and those of the source's function.
pub(super) unsafe fn conv<V: Vectors, T: Tiles>(
    plan: Plan,
    source: Source<'_>,
    mut args: ConvArgs<'_>,
) -> Option<()> {
    let mut buffers = Buffers::new(core::mem::take(&mut args.scratch), &plan)?;
    buffers.padding.fill(args.shape.input_zero_point);
    let channels = args.channels;
    let rq = args.requantization;
    let task = Task::new::<T>(plan, source, &mut args)?;
    let [_, _, out_c] = task.shape.output;
    let tiles = task.rows.div_ceil(T::ALGORITHM.tile) * task.tile_cols;
    // Blocks of one size, give or take a tile.
    let blocks = tiles.div_ceil(plan.tiles);
    if plan.kept > 1 {
        let mut blocks = buffers.weights.chunks_exact_mut(plan.block_weights.max(1));
        for oc in (0..out_c).step_by(BLOCK) {
            let to = blocks.next()?;
            // SAFETY: the caller vouches for the instructions.
            unsafe { task.transform_weights(oc, 0..plan.depth, to)? };
        }
    }
    // SAFETY: the caller vouches for the instructions.
    let mut outputs = unsafe {
        V::run(
            #[inline(always)]
            || [[V::Sums::zero(); MAX_PIXELS]; 2],
        )
    };
    let mut first = 0;
    for block in 0..blocks {
        let count = (tiles - first).div_ceil(blocks - block).min(plan.tiles);
        let block = TileBlock { first, count };
        // SAFETY: the caller vouches for the instructions.
        unsafe { task.transform_input::<V, T>(&mut buffers, block)? };
        for oc in (0..out_c).step_by(BLOCK) {
            // SAFETY: the caller vouches for the instructions.
            unsafe {
                let epilogue = Epilogue::new::<V, T>(channels.part(oc..oc + BLOCK)?, rq)?;
                task.channels::<V, T>(&mut buffers, &mut outputs, block, oc, &epilogue)?;
            }
        }
        first += count;
    }
    Some(())
}

impl<'a> Task<'a> {
    /// Checks that all slices have the lengths that the shape asks for.
    fn new<T: Tiles>(plan: Plan, source: Source<'a>, args: &'a mut ConvArgs<'_>) -> Option<Self> {
        let shape = *args.shape;
        let [in_h, in_w, in_c] = shape.input;
        let [_, out_w, out_c] = shape.output;
        let row = out_w.checked_mul(out_c).filter(|&row| row > 0)?;
        let rows = args.output.len() / row;
        let input = args.input.get(..in_h.checked_mul(in_w)?.checked_mul(in_c)?)?;
        let blocks = (out_c % BLOCK == 0).then_some(out_c / BLOCK)?;
        let values = blocks * T::ALGORITHM.filters * plan.depth.next_multiple_of(2) * BLOCK;
        let enough = match source {
            Source::Stored(weights) => weights.len() >= values,
            Source::Narrow(weights) => weights.len() >= values,
            Source::Taps(weights) | Source::Ohwi(weights, _) => {
                weights.len() >= out_c * shape.patch_len()
            }
            Source::Bytes(weights) => {
                weights.len() >= blocks.checked_mul(u8s8::block_bytes(&shape)?)?
            }
            Source::Transformed(weights, _) => {
                plan.part > 0 && weights.len() >= out_c * shape.patch_len()
            }
        };
        let output = args.output.as_mut_ptr();
        let residual = match args.residual {
            Residual::None => core::ptr::null(),
            Residual::InPlace => output.cast_const(),
            Residual::Separate(values) => values.get(..rows * row)?.as_ptr(),
        };
        enough.then_some(Self {
            shape,
            plan,
            source,
            input,
            first_row: args.first_row,
            output,
            residual,
            rows,
            tile_cols: out_w.div_ceil(T::ALGORITHM.tile),
        })
    }

    /// The first output pixel of the tile behind that of `corner`.
    fn next_corner<T: Tiles>(&self, (top, left): (usize, usize)) -> (usize, usize) {
        let next = left + T::ALGORITHM.tile;
        if next < self.shape.output[1] { (top, next) } else { (top + T::ALGORITHM.tile, 0) }
    }

    /// The first output pixel of a tile of the band: row, column.
    fn corner<T: Tiles>(&self, tile: usize) -> (usize, usize) {
        (tile / self.tile_cols * T::ALGORITHM.tile, tile % self.tile_cols * T::ALGORITHM.tile)
    }

    /// Writes the rows of a block of tiles.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn transform_input<V: Vectors, T: Tiles>(
        &self,
        buffers: &mut Buffers<'_>,
        block: TileBlock,
    ) -> Option<()> {
        let Plan { row, stride, tiles, .. } = self.plan;
        let needed = (T::ALGORITHM.positions - 1) * stride + tiles * row + LANES;
        if buffers.rows.len() < needed || block.count > tiles {
            return None;
        }
        let (shape, input, padding) = (&self.shape, self.input, &*buffers.padding);
        let rows = buffers.rows.as_mut_ptr();
        // SAFETY: the caller vouches for the instructions; `tile < tiles`, so a row ends within `needed` at
        // every position, and what is behind the last one as well.
        unsafe {
            V::run(
                #[inline(always)]
                move || {
                    let mut next = self.corner::<T>(block.first);
                    for tile in 0..block.count {
                        let corner = (self.first_row + next.0, next.1);
                        next = self.next_corner::<T>(next);
                        let window = Window { shape, input, corner, padding };
                        T::input::<V>(&window, rows.add(tile * row), stride)?;
                    }
                    Some(())
                },
            )
        }
    }

    /// Nothing where weights are stored.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn transform_weights(
        &self,
        oc: usize,
        part: Range<usize>,
        to: &mut [i16],
    ) -> Option<()> {
        match self.source {
            Source::Transformed(weights, transform) | Source::Ohwi(weights, transform) => {
                // SAFETY: the caller vouches for the instructions.
                unsafe { transform(&self.shape, weights, oc, part, to) }
            }
            _ => Some(()),
        }
    }

    /// One block of tiles and of output channels, from the weights to the output.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn channels<V: Vectors, T: Tiles>(
        &self,
        buffers: &mut Buffers<'_>,
        outputs: &mut Outputs<V::Sums>,
        block: TileBlock,
        oc: usize,
        epilogue: &Epilogue<V::Block>,
    ) -> Option<()> {
        let Plan { depth, part, summed, kept, .. } = self.plan;
        let step = if part == 0 { depth } else { part };
        for held in parts(block.count, summed) {
            for from in (0..depth).step_by(step) {
                let part = from..depth.min(from + step);
                // Whole rows of weights serve all tiles of the block.
                if (step < depth || held.start == 0) && kept < 2 {
                    let to = &mut *buffers.weights;
                    // SAFETY: the caller vouches for the instructions.
                    unsafe { self.transform_weights(oc, part.clone(), to)? };
                }
                // SAFETY: the caller vouches for the instructions.
                unsafe { self.multiply::<V, T>(buffers, held.clone(), oc, part)? };
            }
            let tiles = TileBlock { first: block.first + held.start, count: held.len() };
            // SAFETY: the caller vouches for the instructions.
            unsafe { self.finish::<V, T>(buffers.products, outputs, tiles, oc, epilogue)? };
        }
        Some(())
    }

    /// Products of the tiles `held` of a block over `part` of their rows, added to those of earlier parts.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn multiply<V: Vectors, T: Tiles>(
        &self,
        buffers: &mut Buffers<'_>,
        held: Range<usize>,
        oc: usize,
        part: Range<usize>,
    ) -> Option<()> {
        let depth = self.plan.depth.next_multiple_of(2) * BLOCK;
        let first = oc / BLOCK * T::ALGORITHM.filters * depth;
        let Buffers { rows, weights: buffer, products, .. } = buffers;
        let rows = rows.get(part.start..)?;
        let kept = if self.plan.kept < 2 { 0 } else { oc / BLOCK * self.plan.block_weights };
        let weights = match self.source {
            Source::Taps(weights) => {
                let taps = weights.get(oc * self.shape.patch_len()..)?;
                // SAFETY: the caller vouches for the instructions.
                return unsafe { self.fused::<V>(rows, taps, held, products) };
            }
            Source::Ohwi(..) => {
                let taps = FromBytes::ref_from_bytes(buffer.get(kept..)?.as_bytes()).ok()?;
                // SAFETY: the caller vouches for the instructions.
                return unsafe { self.fused::<V>(rows, taps, held, products) };
            }
            Source::Bytes(weights) => {
                let rows = rows.get(held.start * self.plan.row..)?;
                let block = weights.get(oc / BLOCK * u8s8::block_bytes(&self.shape)?..)?;
                let (count, step) = (held.len(), self.plan.row);
                // SAFETY: the caller vouches for the instructions, AVX2 among them.
                return unsafe { u8s8::multiply(&self.shape, count, rows, step, block, products) };
            }
            Source::Narrow(weights) => {
                let weights = (weights.get(first..)?, BLOCK * 2, depth);
                // SAFETY: the caller vouches for the instructions.
                return unsafe { self.passes::<V, T, _>(rows, weights, held, part, products) };
            }
            Source::Stored(weights) => (weights.get(first..)?, BLOCK * 2, depth),
            Source::Transformed(..) => {
                (buffer.get(kept..)?, T::ALGORITHM.filters * BLOCK * 2, BLOCK * 2)
            }
        };
        // SAFETY: the caller vouches for the instructions.
        unsafe { self.passes::<V, T, _>(rows, weights, held, part, products) }
    }

    /// Multiplies some positions of all groups, then the next ones, so that their weights stay near.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn passes<V: Vectors, T: Tiles, W: Weight>(
        &self,
        rows: &[i16],
        (weights, weights_step, weights_stride): (&[W], usize, usize),
        held: Range<usize>,
        part: Range<usize>,
        products: &mut [i32],
    ) -> Option<()> {
        let Plan { row, stride, pass, .. } = self.plan;
        for from in (0..T::ALGORITHM.positions).step_by(pass) {
            let positions = from..T::ALGORITHM.positions.min(from + pass);
            for group in parts(held.len(), V::WIDTH.group) {
                let operands = Operands {
                    rows: rows.get((held.start + group.start) * row..)?,
                    step: row,
                    stride,
                    weights,
                    weights_step,
                    weights_stride,
                    pairs: part.len().div_ceil(2),
                    add: part.start > 0,
                    products: products.get_mut(group.start * BLOCK..)?,
                    products_stride: self.plan.products_stride(),
                };
                // SAFETY: the caller vouches for the instructions.
                unsafe { multiply::group::<V, T, W>(group.len(), positions.clone(), operands)? };
            }
        }
        Some(())
    }

    /// Multiplies all groups with filters that are transformed at the same time.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn fused<V: Vectors>(
        &self,
        rows: &[i16],
        taps: &[i8],
        held: Range<usize>,
        products: &mut [i32],
    ) -> Option<()> {
        let Plan { row, stride, depth, .. } = self.plan;
        for group in parts(held.len(), FUSED) {
            let operands = fused::Operands {
                rows: rows.get((held.start + group.start) * row..)?,
                step: row,
                stride,
                taps,
                pairs: depth / 2,
                products: products.get_mut(group.start * BLOCK..)?,
                products_stride: self.plan.products_stride(),
            };
            // SAFETY: the caller vouches for the instructions.
            unsafe { fused::group::<V>(group.len(), operands)? };
        }
        Some(())
    }

    /// From the products of some tiles to the output.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn finish<V: Vectors, T: Tiles>(
        &self,
        products: &[i32],
        outputs: &mut Outputs<V::Sums>,
        tiles: TileBlock,
        oc: usize,
        epilogue: &Epilogue<V::Block>,
    ) -> Option<()> {
        let stride = self.plan.products_stride();
        let needed = (T::ALGORITHM.positions - 1) * stride + tiles.count * BLOCK;
        let products = products.get(..needed)?.as_ptr();
        // SAFETY: the caller vouches for the instructions, and products of all tiles are there.
        unsafe {
            V::run(
                #[inline(always)]
                move || {
                    // Copies stay in registers, since no store can be meant for them.
                    let (task, epilogue) = (*self, &{ *epilogue });
                    let mut corner = task.corner::<T>(tiles.first);
                    for tile in 0..tiles.count {
                        T::output::<V::Sums>(products.add(tile * BLOCK), stride, outputs);
                        task.store::<V, T>(corner, oc, outputs, epilogue);
                        corner = task.next_corner::<T>(corner);
                    }
                },
            );
        };
        Some(())
    }

    /// Requantizes the pixels of a tile that the band has.
    ///
    /// # Safety
    /// The CPU has the instructions; the tile is one of the band's.
    #[inline(always)]
    unsafe fn store<V: Vectors, T: Tiles>(
        &self,
        (top, left): (usize, usize),
        oc: usize,
        outputs: &Outputs<V::Sums>,
        epilogue: &Epilogue<V::Block>,
    ) {
        let [_, out_w, out_c] = self.shape.output;
        let at = (top * out_w + left) * out_c + oc;
        if T::ALGORITHM.tile == 1 {
            // SAFETY: the pixel is one of the band's.
            return unsafe { self.store_pixel::<V>(outputs, 0, at, epilogue) };
        }
        let height = self.rows.saturating_sub(top).min(T::ALGORITHM.tile);
        let width = out_w.saturating_sub(left).min(T::ALGORITHM.tile);
        for y in 0..height {
            let at = at + y * out_w * out_c;
            for x in 0..width {
                let (pixel, at) = (y * T::ALGORITHM.tile + x, at + x * out_c);
                // SAFETY: `top + y < rows` and `left + x < out_w`, and `oc + BLOCK <= out_c`.
                unsafe { self.store_pixel::<V>(outputs, pixel, at, epilogue) };
            }
        }
    }

    /// Requantizes sixteen channels of one pixel.
    ///
    /// # Safety
    /// The CPU has the instructions. Sixteen bytes at `at` lie in the output; so they do in the residual,
    /// which is as long or null.
    #[inline(always)]
    unsafe fn store_pixel<V: Vectors>(
        &self,
        outputs: &Outputs<V::Sums>,
        pixel: usize,
        at: usize,
        epilogue: &Epilogue<V::Block>,
    ) {
        let sums = V::Block::from_sums([outputs[0][pixel], outputs[1][pixel]]);
        let mut residual = None;
        if !self.residual.is_null() {
            // SAFETY: the caller vouches for the bytes; the load needs no alignment.
            residual = Some(unsafe { _mm_loadu_si128(self.residual.add(at).cast()) });
        }
        let values = epilogue.apply(sums, residual);
        // SAFETY: the caller vouches for the bytes; the store needs no alignment.
        unsafe { _mm_storeu_si128(self.output.add(at).cast(), values) };
    }
}
