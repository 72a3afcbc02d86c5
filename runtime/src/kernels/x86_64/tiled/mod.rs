//! Convolution in tiles: the one driver of the forms that [`crate::kernels::tiled`] describes.
//!
//! A block of tiles becomes rows once; then, for sixteen output channels at a time, rows meet weights,
//! a few tiles at a time, so that their products stay near, and [`Epilogue`] takes sums to the output
//! while they are in registers.
//!
//! What may not be broken: everything that is written or read through pointers lies inside what
//! [`Task::new`] has checked.

mod direct;
mod epilogue;
mod multiply;
mod ohwi;
mod stem;
mod strided4;
mod u8s8;
mod winograd2;
mod winograd4;

use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_cvtepi8_epi16, _mm256_loadu_si256,
    _mm256_setzero_si256,
};
use core::ops::Range;

use zerocopy::FromBytes;

use self::direct::{Direct, DirectOhwi};
use self::epilogue::Epilogue;
use self::multiply::{Operands, Weight};
use self::stem::{Stem, StemOhwi};
use self::strided4::Strided4;
use self::u8s8::U8s8;
use self::winograd2::Winograd2;
use self::winograd4::{Winograd4, Winograd4Int8, Winograd4Ohwi};
use super::Avx2;
use crate::kernels::tiled::{self, BLOCK, Form, GROUP, LANES, Plan};
use crate::kernels::{ConvArgs, ConvShape, Residual};

/// See [`crate::kernels::reference::conv`]; weights in int8, widened as they are multiplied.
pub fn conv_direct8_avx2(token: Avx2, args: ConvArgs<'_>) {
    let (plan, source) = (Plan::direct(args.shape), Source::Narrow(args.weights.int8()));
    conv::<Direct>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; weights in 16 bits.
pub fn conv_direct16_avx2(token: Avx2, args: ConvArgs<'_>) {
    let (plan, source) = (Plan::direct(args.shape), Source::Stored(args.weights.int16()));
    conv::<Direct>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; F(2x2, 3x3) with stored weights.
pub fn conv_winograd2_avx2(token: Avx2, args: ConvArgs<'_>) {
    let (plan, source) = (Plan::winograd2(args.shape), Source::Stored(args.weights.int16()));
    conv::<Winograd2>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; F(4x4, 3x3) with stored weights.
pub fn conv_winograd4_stored_avx2(token: Avx2, args: ConvArgs<'_>) {
    let (plan, source) = (Plan::winograd4(args.shape), Source::Stored(args.weights.int16()));
    conv::<Winograd4>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; F(4x4, 3x3) with weights that are transformed while it runs.
pub fn conv_winograd4_int8_avx2(token: Avx2, args: ConvArgs<'_>) {
    let plan = Plan::winograd4_int8(args.shape);
    let source = Source::Transformed(args.weights.int8());
    conv::<Winograd4Int8>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; F(4x4, 3x3) at stride 2 with stored weights.
pub fn conv_winograd4_stride2_avx2(token: Avx2, args: ConvArgs<'_>) {
    let (plan, source) = (Plan::strided4(args.shape), Source::Stored(args.weights.int16()));
    conv::<Strided4>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; F(3x3, 4x4) over 2x2 pixels with stored weights.
pub fn conv_winograd4_stem_avx2(token: Avx2, args: ConvArgs<'_>) {
    let (plan, source) = (Plan::stem(args.shape), Source::Stored(args.weights.int16()));
    conv::<Stem>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; products of unsigned and signed bytes, added in 16 bits.
pub fn conv_u8s8_avx2(token: Avx2, args: ConvArgs<'_>) {
    let (plan, source) = (Plan::u8s8(args.shape), Source::Bytes(args.weights.bytes));
    conv::<U8s8>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; OHWI weights in 16 bits and pairs, turned while it runs.
pub fn conv_packed_avx2(token: Avx2, args: ConvArgs<'_>) {
    let plan = Plan::direct_ohwi(args.shape);
    let source = Source::Transformed(args.weights.as_ohwi());
    conv::<DirectOhwi>(token, plan, source, args);
}

/// See [`crate::kernels::reference::conv`]; F(4x4, 3x3) with OHWI weights that are transformed while it runs.
pub fn conv_winograd4_avx2(token: Avx2, args: ConvArgs<'_>) {
    let weights = args.weights.as_ohwi();
    // Where the sums need fewer bits than the division leaves, they may be of any size.
    if args.requantization.shift < Winograd4Ohwi::SHIFT && !tiled::sums_fit(args.shape, weights) {
        return conv_packed_avx2(token, args);
    }
    let plan = Plan::winograd4_int8(args.shape);
    conv::<Winograd4Ohwi>(token, plan, Source::Transformed(weights), args);
}

/// See [`crate::kernels::reference::conv`]; F(3x3, 4x4) over 2x2 pixels with OHWI weights.
pub fn conv_stem_avx2(token: Avx2, args: ConvArgs<'_>) {
    let plan = Plan::stem_ohwi(args.shape);
    let source = Source::Transformed(args.weights.as_ohwi());
    conv::<StemOhwi>(token, plan, source, args);
}

/// Most output pixels of a tile.
const MAX_PIXELS: usize = 16;

/// Sums of a tile's pixels for a block of output channels, times a power of two and a factor that
/// [`Tiles::INVERSE`] undoes.
type Pixels = [[__m256i; MAX_PIXELS]; 2];

/// A form in AVX2.
trait Tiles {
    const FORM: Form;
    /// What a pixel's sum is multiplied by, modulo 2^32, to be the convolution times `2^SHIFT`.
    const INVERSE: i32;
    const SHIFT: u32;

    /// Which of a filter's transformed weights a position takes.
    fn filter(position: usize) -> usize {
        position
    }

    /// Writes the rows of a window, positions `stride` values apart.
    ///
    /// # Safety
    /// The CPU has AVX2, and `to` has room for a row at each position and for [`LANES`] values behind the
    /// last, whose contents are arbitrary.
    unsafe fn input(window: &Window<'_>, to: *mut i16, stride: usize);

    /// Transforms `weights` of the block of output channels that begins with `oc`, for the values `part`
    /// of a row, to `[pair of values][filter][output channel][2]`.
    ///
    /// # Safety
    /// The CPU has AVX2.
    unsafe fn weights(
        _shape: &ConvShape,
        _weights: &[i8],
        _oc: usize,
        _part: Range<usize>,
        _to: &mut [i16],
    ) {
    }

    /// From the products of a tile of more than one pixel, positions `stride` sums apart, to its pixels.
    ///
    /// # Safety
    /// The CPU has AVX2, and [`BLOCK`] products are readable at each position.
    unsafe fn output(_products: *const i32, _stride: usize, _pixels: &mut Pixels) {}
}

/// Where weights come from.
#[derive(Debug, Clone, Copy)]
enum Source<'w> {
    /// Blocks of `[filter][pair of values][output channel][2]`.
    Stored(&'w [i16]),
    /// The same in int8, widened as they are multiplied.
    Narrow(&'w [i8]),
    /// In an order that [`Tiles::weights`] reads.
    Transformed(&'w [i8]),
    /// Blocks of [`crate::layouts::x86_64::u8s8`].
    Bytes(&'w [u8]),
}

/// A tile's window of the input.
#[derive(Debug, Clone, Copy)]
struct Window<'a> {
    shape: &'a ConvShape,
    input: &'a [i8],
    /// The first output pixel: row, column.
    corner: (usize, usize),
    /// Zero points, as many as a pixel has channels.
    padding: &'a [i8],
}

impl Window<'_> {
    /// Where the first pixel lies in the input, if the whole window of `extent` pixels a side is inside.
    fn inside(&self, extent: usize) -> Option<usize> {
        self.inside_rectangle(extent, extent)
    }

    /// The same of a window of any height and width.
    fn inside_rectangle(&self, height: usize, width: usize) -> Option<usize> {
        let [in_h, in_w, in_c] = self.shape.input;
        let top = (self.corner.0 * self.shape.strides[0]).checked_sub(self.shape.pads[0])?;
        let left = (self.corner.1 * self.shape.strides[1]).checked_sub(self.shape.pads[1])?;
        (top + height <= in_h && left + width <= in_w).then_some((top * in_w + left) * in_c)
    }

    /// Pixel (`y`, `x`) of the window: in the input, or padding.
    fn pixel(&self, y: usize, x: usize) -> *const i8 {
        let [in_h, in_w, in_c] = self.shape.input;
        let y = (self.corner.0 * self.shape.strides[0] + y).checked_sub(self.shape.pads[0]);
        let x = (self.corner.1 * self.shape.strides[1] + x).checked_sub(self.shape.pads[1]);
        match y.filter(|&y| y < in_h).zip(x.filter(|&x| x < in_w)) {
            Some((y, x)) => self.input[(y * in_w + x) * in_c..].as_ptr(),
            None => self.padding.as_ptr(),
        }
    }
}

/// The buffers in the scratch.
struct Buffers<'s> {
    /// `[position][tile][value]`.
    rows: &'s mut [i16],
    /// As [`Tiles::weights`] writes them.
    weights: &'s mut [i16],
    /// `[position][tile][output channel]`.
    products: &'s mut [i32],
    padding: &'s mut [i8],
}

impl<'s> Buffers<'s> {
    fn new(scratch: &'s mut [u8], plan: &Plan) -> Option<Self> {
        let (rows, rest) = scratch.split_at_mut_checked(plan.rows_bytes())?;
        let (weights, rest) = rest.split_at_mut_checked(plan.weights_bytes())?;
        let (products, rest) = rest.split_at_mut_checked(plan.products_bytes())?;
        let (padding, _) = rest.split_at_mut_checked(plan.padding_bytes())?;
        Some(Self {
            rows: FromBytes::mut_from_bytes(rows).ok()?,
            weights: FromBytes::mut_from_bytes(weights).ok()?,
            products: FromBytes::mut_from_bytes(products).ok()?,
            padding: FromBytes::mut_from_bytes(padding).ok()?,
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
struct Task<'a> {
    shape: &'a ConvShape,
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

/// See [`crate::kernels::reference::conv`]. Does nothing if a slice is too short.
fn conv<T: Tiles>(_token: Avx2, plan: Plan, source: Source<'_>, args: ConvArgs<'_>) {
    // SAFETY: the token proves that the CPU has AVX2.
    unsafe { run::<T>(plan, source, args) };
}

#[target_feature(enable = "avx2")]
fn run<T: Tiles>(plan: Plan, source: Source<'_>, mut args: ConvArgs<'_>) -> Option<()> {
    let mut buffers = Buffers::new(core::mem::take(&mut args.scratch), &plan)?;
    buffers.padding.fill(args.shape.input_zero_point);
    let channels = args.channels;
    let rq = args.requantization;
    let task = Task::new::<T>(plan, source, &mut args)?;
    let [_, _, out_c] = task.shape.output;
    let tiles = task.rows.div_ceil(T::FORM.tile) * task.tile_cols;
    // Blocks of one size, give or take a tile.
    let blocks = tiles.div_ceil(plan.tiles);
    if let (Source::Transformed(weights), true) = (source, plan.kept > 1) {
        let blocks = buffers.weights.chunks_exact_mut(plan.block_weights().max(1));
        for (oc, to) in (0..out_c).step_by(BLOCK).zip(blocks) {
            // SAFETY: this function has AVX2.
            unsafe { T::weights(task.shape, weights, oc, 0..plan.depth, to) };
        }
    }
    let mut pixels = [[_mm256_setzero_si256(); MAX_PIXELS]; 2];
    let mut first = 0;
    for block in 0..blocks {
        let count = (tiles - first).div_ceil(blocks - block).min(plan.tiles);
        let block = TileBlock { first, count };
        task.transform_input::<T>(&mut buffers, block);
        for oc in (0..out_c).step_by(BLOCK) {
            let epilogue = Epilogue::new::<T>(channels.part(oc..oc + BLOCK), rq)?;
            task.channels::<T>(&mut buffers, &mut pixels, block, oc, &epilogue)?;
        }
        first += count;
    }
    Some(())
}

impl<'a> Task<'a> {
    /// Checks that all slices have the lengths that the shape asks for.
    fn new<T: Tiles>(plan: Plan, source: Source<'a>, args: &'a mut ConvArgs<'_>) -> Option<Self> {
        let shape = args.shape;
        let [in_h, in_w, in_c] = shape.input;
        let [_, out_w, out_c] = shape.output;
        let row = out_w.checked_mul(out_c).filter(|&row| row > 0)?;
        let rows = args.output.len() / row;
        let input = args.input.get(..in_h.checked_mul(in_w)?.checked_mul(in_c)?)?;
        let blocks = (out_c % BLOCK == 0).then_some(out_c / BLOCK)?;
        let values = blocks * T::FORM.filters * plan.depth.next_multiple_of(2) * BLOCK;
        let enough = match source {
            Source::Stored(weights) => weights.len() >= values,
            Source::Narrow(weights) => weights.len() >= values,
            Source::Transformed(weights) => {
                plan.part > 0 && weights.len() >= out_c * shape.patch_len()
            }
            Source::Bytes(weights) => {
                weights.len() >= blocks.checked_mul(u8s8::block_bytes(shape)?)?
            }
        };
        let residual = match args.residual {
            Residual::None => core::ptr::null(),
            Residual::InPlace => args.output.as_ptr(),
            Residual::Separate(values) => values.get(..rows * row)?.as_ptr(),
        };
        enough.then_some(Self {
            shape,
            plan,
            source,
            input,
            first_row: args.first_row,
            output: args.output.as_mut_ptr(),
            residual,
            rows,
            tile_cols: out_w.div_ceil(T::FORM.tile),
        })
    }

    /// The first output pixel of the tile behind that of `corner`.
    fn next_corner<T: Tiles>(&self, (top, left): (usize, usize)) -> (usize, usize) {
        let next = left + T::FORM.tile;
        if next < self.shape.output[1] { (top, next) } else { (top + T::FORM.tile, 0) }
    }

    /// The first output pixel of a tile of the band: row, column.
    fn corner<T: Tiles>(&self, tile: usize) -> (usize, usize) {
        (tile / self.tile_cols * T::FORM.tile, tile % self.tile_cols * T::FORM.tile)
    }

    fn transform_input<T: Tiles>(&self, buffers: &mut Buffers<'_>, block: TileBlock) {
        let Plan { row, stride, tiles, .. } = self.plan;
        let needed = (T::FORM.positions - 1) * stride + tiles * row + LANES;
        if buffers.rows.len() < needed || block.count > tiles {
            return;
        }
        let mut next = self.corner::<T>(block.first);
        for tile in 0..block.count {
            let corner = (self.first_row + next.0, next.1);
            next = self.next_corner::<T>(next);
            let (shape, input, padding) = (self.shape, self.input, &*buffers.padding);
            let window = Window { shape, input, corner, padding };
            // SAFETY: the caller has AVX2; `tile < tiles`, so a row ends within `needed` at every
            // position, and what is behind the last one as well.
            unsafe { T::input(&window, buffers.rows.as_mut_ptr().add(tile * row), stride) };
        }
    }

    /// One block of tiles and of output channels, from the weights to the output.
    #[target_feature(enable = "avx2")]
    fn channels<T: Tiles>(
        &self,
        buffers: &mut Buffers<'_>,
        pixels: &mut Pixels,
        block: TileBlock,
        oc: usize,
        epilogue: &Epilogue,
    ) -> Option<()> {
        let Plan { depth, part, summed, .. } = self.plan;
        let step = if part == 0 { depth } else { part };
        let mut corner = self.corner::<T>(block.first);
        for held in parts(block.count, summed) {
            for from in (0..depth).step_by(step) {
                let part = from..depth.min(from + step);
                if let Source::Transformed(weights) = self.source
                    // Whole rows of weights serve all tiles of the block.
                    && (step < depth || held.start == 0)
                    && self.plan.kept < 2
                {
                    let to = &mut *buffers.weights;
                    // SAFETY: this function has AVX2.
                    unsafe { T::weights(self.shape, weights, oc, part.clone(), to) };
                }
                self.multiply::<T>(buffers, held.clone(), oc, part)?;
            }
            if T::FORM.tile == 1 {
                let first = block.first + held.start;
                let products = buffers.products.get(..held.len() * BLOCK)?;
                self.store_pixels::<T>(products, first, oc, epilogue);
                continue;
            }
            let stride = self.plan.products_stride();
            for index in 0..held.len() {
                let products = buffers.products.get(index * BLOCK..)?;
                if products.len() < (T::FORM.positions - 1) * stride + BLOCK {
                    return None;
                }
                // SAFETY: this function has AVX2, and the length was checked.
                unsafe { T::output(products.as_ptr(), stride, pixels) };
                self.store::<T>(corner, oc, pixels, epilogue);
                corner = self.next_corner::<T>(corner);
            }
        }
        Some(())
    }

    /// Products of the tiles `held` of a block over `part` of their rows, added to those of earlier parts.
    #[target_feature(enable = "avx2")]
    fn multiply<T: Tiles>(
        &self,
        buffers: &mut Buffers<'_>,
        held: Range<usize>,
        oc: usize,
        part: Range<usize>,
    ) -> Option<()> {
        let depth = self.plan.depth.next_multiple_of(2) * BLOCK;
        let first = oc / BLOCK * T::FORM.filters * depth;
        let Buffers { rows, weights: buffer, products, .. } = buffers;
        let rows = rows.get(part.start..)?;
        let weights = match self.source {
            Source::Narrow(weights) => {
                let weights = (weights.get(first..)?, BLOCK * 2, depth);
                return self.passes::<T, _>(rows, weights, held, part, products);
            }
            Source::Stored(weights) => (weights.get(first..)?, BLOCK * 2, depth),
            Source::Transformed(_) => {
                let first =
                    if self.plan.kept < 2 { 0 } else { oc / BLOCK * self.plan.block_weights() };
                (buffer.get(first..)?, T::FORM.filters * BLOCK * 2, BLOCK * 2)
            }
            Source::Bytes(weights) => {
                let rows = rows.get(held.start * self.plan.row..)?;
                let block = weights.get(oc / BLOCK * u8s8::block_bytes(self.shape)?..)?;
                return u8s8::multiply(
                    self.shape,
                    held.len(),
                    rows,
                    self.plan.row,
                    block,
                    products,
                );
            }
        };
        self.passes::<T, _>(rows, weights, held, part, products)
    }

    /// Multiplies some positions of all groups, then the next ones, so that their weights stay near.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn passes<T: Tiles, W: Weight>(
        &self,
        rows: &[i16],
        (weights, weights_step, weights_stride): (&[W], usize, usize),
        held: Range<usize>,
        part: Range<usize>,
        products: &mut [i32],
    ) -> Option<()> {
        let Plan { row, stride, pass, .. } = self.plan;
        for from in (0..T::FORM.positions).step_by(pass) {
            let positions = from..T::FORM.positions.min(from + pass);
            for group in parts(held.len(), GROUP) {
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
                multiply::group(group.len(), positions.clone(), T::filter, operands);
            }
        }
        Some(())
    }

    /// Requantizes sums of pixels one behind the other, of which `first` is one of the band's, and so are
    /// those behind it.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn store_pixels<T: Tiles>(&self, sums: &[i32], first: usize, oc: usize, epilogue: &Epilogue) {
        let [_, out_w, out_c] = self.shape.output;
        let count = (self.rows * out_w).saturating_sub(first);
        for (pixel, sums) in sums.chunks_exact(BLOCK).take(count).enumerate() {
            // SAFETY: sixteen sums are readable; `first + pixel` is less than the band's pixels, and
            // `oc + BLOCK <= out_c`.
            unsafe {
                let sums = [
                    _mm256_loadu_si256(sums.as_ptr().cast()),
                    _mm256_loadu_si256(sums.as_ptr().add(BLOCK / 2).cast()),
                ];
                self.store_pixel::<T>(sums, (first + pixel) * out_c + oc, epilogue);
            }
        }
    }

    /// Requantizes the pixels of a tile that the band has.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn store<T: Tiles>(
        &self,
        (top, left): (usize, usize),
        oc: usize,
        pixels: &Pixels,
        epilogue: &Epilogue,
    ) {
        let [_, out_w, out_c] = self.shape.output;
        let height = self.rows.saturating_sub(top).min(T::FORM.tile);
        let width = out_w.saturating_sub(left).min(T::FORM.tile);
        for y in 0..height {
            let at = ((top + y) * out_w + left) * out_c + oc;
            for x in 0..width {
                let at = at + x * out_c;
                let pixel = y * T::FORM.tile + x;
                let sums = [pixels[0][pixel], pixels[1][pixel]];
                // SAFETY: `top + y < rows` and `left + x < out_w`, and `oc + BLOCK <= out_c`.
                unsafe { self.store_pixel::<T>(sums, at, epilogue) };
            }
        }
    }

    /// Requantizes sixteen channels of one pixel.
    ///
    /// # Safety
    /// Sixteen bytes at `at` lie in the output; so they do in the residual, which is as long or null.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn store_pixel<T: Tiles>(&self, sums: [__m256i; 2], at: usize, epilogue: &Epilogue) {
        // SAFETY: the caller vouches for the bytes; neither access needs alignment.
        unsafe {
            let residual = (!self.residual.is_null()).then(|| load(self.residual.add(at)));
            let values = epilogue.apply::<T>(sums, residual);
            _mm_storeu_si128(self.output.add(at).cast(), values);
        }
    }
}

/// `count` things in parts of one size, give or take one, of at most `most`.
#[inline(always)]
fn parts(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let (parts, least, longer) = if count <= most {
        (1, count, 0)
    } else {
        let parts = count.div_ceil(most.max(1));
        (parts, count / parts, count % parts)
    };
    let mut start = 0;
    (0..parts).map(move |part| {
        let first = start;
        start += least + usize::from(part < longer);
        first..start
    })
}

/// # Safety
/// `from` points to sixteen readable bytes.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(from: *const i8) -> __m128i {
    // SAFETY: the caller vouches for the bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// Sixteen int8 values in 16 bits.
///
/// # Safety
/// `from` points to sixteen readable bytes.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn widen(from: *const i8) -> __m256i {
    // SAFETY: the caller vouches for the bytes.
    _mm256_cvtepi8_epi16(unsafe { load(from) })
}
