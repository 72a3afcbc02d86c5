//! [`direct8`] with `SMULL`, `SMLAL2` and `SADALP`: four windows times four output channels, sixteen
//! elements at a time, in sixteen accumulators whose lanes are added at the end.
//!
//! Two products of bytes fit 16 bits where no weight is -128: 2 * 127 * 128 < 2^15. A block of weights
//! with a -128 in it, which fixnet's quantizer never makes, is multiplied one product at a time.
//!
//! A block's weights are `[four output channels][sixteen elements][output channel][element]`.

use core::arch::aarch64::{
    int8x16_t, int32x4_t, vaddq_s32, vdupq_n_s8, vdupq_n_s16, vdupq_n_s32, vget_low_s8,
    vld1q_lane_s32, vld1q_s8, vminq_s8, vminvq_s8, vmlal_high_s8, vmull_high_s8, vmull_s8,
    vpadalq_s16, vpaddq_s32, vreinterpretq_s8_s32, vst1q_s8,
};
use core::arch::asm;

use super::Neon;
use super::direct8::{self, Block, Direct8Isa, Range8};
use super::requantize_block::{Requantizer, VECTORS};
use crate::error::Fault;
use crate::kernels::aarch64::direct8::{BLOCK, STEP};
use crate::kernels::{ConvArgs, Residual};

/// Output channels that are multiplied at a time.
const QUAD: usize = 4;
/// Output pixels of a tile.
const PIXELS: usize = 4;

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_direct8_neon(token: Neon, args: ConvArgs<'_>) -> Result<(), Fault> {
    direct8::conv(token, args)
}

impl Direct8Isa for Neon {
    fn pack(self, rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<Range8> {
        // SAFETY: the token proves that the CPU has NEON.
        unsafe { pack(rows, len, padded, to) }
    }

    fn block(self, block: Block<'_>, output: &mut [i8]) -> Option<()> {
        // SAFETY: the token proves that the CPU has NEON.
        unsafe {
            match block.range {
                Range8::Symmetric => compute::<true>(block, output),
                Range8::Whole => compute::<false>(block, output),
            }
        }
    }
}

#[target_feature(enable = "neon")]
fn compute<const PAIRS: bool>(block: Block<'_>, output: &mut [i8]) -> Option<()> {
    let rq = Requantizer::new(block.channels, block.requantization, block.residual)?;
    let rq = &rq.with_channels(block.count);
    let pixels = block.patches.len() / block.padded.max(1);
    let tiles = pixels / PIXELS;
    let done = match rq.usual_zero_point() {
        _ if !PAIRS => 0,
        Some(_) => whole_tiles::<true>(rq, &block, tiles, output)? * PIXELS,
        None => whole_tiles::<false>(rq, &block, tiles, output)? * PIXELS,
    };
    let mut pixel = done;
    while pixel < pixels {
        pixel += match pixels - pixel {
            3.. if PAIRS => some_pixels::<3, true>(rq, &block, pixel, output)?,
            _ => some_pixels::<1, PAIRS>(rq, &block, pixel, output)?,
        };
    }
    Some(())
}

/// So many tiles of [`PIXELS`] windows, where no weight is -128, four channels at a time; how many it has computed:
/// none where channels are no whole quads. With `USUAL` sums are rounded as in nearly all steps without a residual;
/// otherwise there is one in any case, and where there is none it is multiplied by 0. A branch in here would be taken
/// out of the loops, and each way have its own copy of them.
#[target_feature(enable = "neon")]
#[inline(never)]
fn whole_tiles<const USUAL: bool>(
    rq: &Requantizer<'_>,
    block: &Block<'_>,
    tiles: usize,
    output: &mut [i8],
) -> Option<usize> {
    let Block { padded, weights, out_c, count, first, .. } = *block;
    let pixels = tiles * PIXELS;
    if pixels == 0 || !count.is_multiple_of(QUAD) || count > BLOCK {
        return Some(0);
    }
    let long = block.patches.len() >= pixels * padded && weights.len() >= count * padded;
    if !long || !padded.is_multiple_of(STEP) || padded == 0 {
        return None;
    }
    let len = (pixels - 1) * out_c + count;
    let outputs = output.get_mut(first..)?.get_mut(..len)?;
    let (mut from, mut row) = (block.patches.as_ptr(), outputs.as_mut_ptr());
    let mut residual = match block.residual {
        Residual::Separate(values) => values.get(first..)?.get(..len)?.as_ptr(),
        _ => row.cast_const(),
    };
    let zero_point = vdupq_n_s16(rq.usual_zero_point().unwrap_or_default());
    // What a quad's sums ask for lies together.
    let constants: [[int32x4_t; 2]; VECTORS] =
        core::array::from_fn(|quad| [rq.bias[quad], rq.halves[quad]]);
    for _ in 0..tiles {
        let (mut weights, mut constants) = (weights.as_ptr(), constants.as_ptr());
        let mut to = [0, 1, 2, 3].map(|pixel| row.wrapping_add(pixel * out_c));
        let mut values = residual;
        for _ in 0..count / QUAD {
            // SAFETY: there are at most VECTORS quads. Four windows, the weights of four channels and of the residual
            // four channels of each of four pixels are readable, and those of the output writable.
            unsafe {
                let (sums, half) = multiply_tile(from, &mut weights, padded, &mut constants);
                let halves = [half; VECTORS];
                let bytes = if USUAL {
                    rq.usual_bytes(sums, halves, zero_point)
                } else {
                    let lanes = vld1q_lane_s32::<0>(values.cast(), vdupq_n_s32(0));
                    let lanes = vld1q_lane_s32::<1>(values.add(out_c).cast(), lanes);
                    let lanes = vld1q_lane_s32::<2>(values.add(2 * out_c).cast(), lanes);
                    let lanes = vld1q_lane_s32::<3>(values.add(3 * out_c).cast(), lanes);
                    rq.bytes(sums, halves, Some(vreinterpretq_s8_s32(lanes)))
                };
                store_quad(bytes, &mut to);
            }
            values = values.wrapping_add(QUAD);
        }
        from = from.wrapping_add(PIXELS * padded);
        row = row.wrapping_add(PIXELS * out_c);
        residual = residual.wrapping_add(PIXELS * out_c);
    }
    Some(tiles)
}

/// Writes four channels of each of four pixels, and moves on.
///
/// # Safety
/// Four bytes are writable at each pointer.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn store_quad(bytes: int8x16_t, to: &mut [*mut i8; PIXELS]) {
    // SAFETY: the caller sees to it.
    unsafe {
        asm!(
            "str {bytes:s}, [{a}], #4",
            "st1 {{{bytes:v}.s}}[1], [{b}], #4",
            "st1 {{{bytes:v}.s}}[2], [{c}], #4",
            "st1 {{{bytes:v}.s}}[3], [{d}], #4",
            bytes = in(vreg) bytes,
            a = inout(reg) to[0], b = inout(reg) to[1], c = inout(reg) to[2], d = inout(reg) to[3],
            options(nostack, preserves_flags),
        );
    }
}

/// The sums of four windows and the next four channels with their bias, and the second of these channels' constants,
/// where no weight is -128. As assembly, which keeps sixteen
/// accumulators, eight vectors of windows and four of weights in registers and loads them in pairs and in fours.
///
/// # Safety
/// `patches` points to `PIXELS * padded` readable elements, `weights` to `QUAD * padded`, and `padded` is a
/// multiple of [`STEP`], one at least; `constants` to two readable vectors.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn multiply_tile(
    patches: *const i8,
    weights: &mut *const i8,
    padded: usize,
    constants: &mut *const [int32x4_t; 2],
) -> ([int32x4_t; PIXELS], int32x4_t) {
    /// Sixteen products of a window and a channel, added in pairs by `add`.
    macro_rules! products {
        ($add:literal $product:literal $weights:literal $window:literal $sum:literal) => {
            concat!(
                "smull v", $product, ".8h, v", $weights, ".8b, v", $window, ".8b\n", "smlal2 v",
                $product, ".8h, v", $weights, ".16b, v", $window, ".16b\n", $add, " v", $sum,
                ".4s, v", $product, ".8h\n",
            )
        };
    }
    /// A step of four windows and four channels.
    macro_rules! step {
        ($add:literal $a:literal $b:literal $c:literal $d:literal) => {
            concat!(
                "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{weights}], #64\n",
                products!($add "12" "0" $a "16"), products!($add "13" "0" $b "20"),
                products!($add "14" "0" $c "24"), products!($add "15" "0" $d "28"),
                products!($add "12" "1" $a "17"), products!($add "13" "1" $b "21"),
                products!($add "14" "1" $c "25"), products!($add "15" "1" $d "29"),
                products!($add "12" "2" $a "18"), products!($add "13" "2" $b "22"),
                products!($add "14" "2" $c "26"), products!($add "15" "2" $d "30"),
                products!($add "12" "3" $a "19"), products!($add "13" "3" $b "23"),
                products!($add "14" "3" $c "27"), products!($add "15" "3" $d "31"),
            )
        };
    }
    /// Loads the next two steps of windows.
    macro_rules! load {
        () => {
            concat!(
                "ldp q4, q8, [{p0}], #32\n",
                "ldp q5, q9, [{p1}], #32\n",
                "ldp q6, q10, [{p2}], #32\n",
                "ldp q7, q11, [{p3}], #32\n",
            )
        };
    }
    /// Adds up the lanes of four channels' accumulators.
    macro_rules! total {
        ($a:literal $b:literal $c:literal $d:literal) => {
            concat!(
                "addp v",
                $a,
                ".4s, v",
                $a,
                ".4s, v",
                $b,
                ".4s\n",
                "addp v",
                $c,
                ".4s, v",
                $c,
                ".4s, v",
                $d,
                ".4s\n",
                "addp v",
                $a,
                ".4s, v",
                $a,
                ".4s, v",
                $c,
                ".4s\n",
                "add v",
                $a,
                ".4s, v",
                $a,
                ".4s, v0.4s\n",
            )
        };
    }
    let half: int32x4_t;
    let mut sums = [vdupq_n_s32(0); PIXELS];
    // SAFETY: the caller sees to it that so much is readable; nothing is written.
    unsafe {
        asm!(
            // The first steps, an odd one alone, begin the sums.
            "tbz {steps}, #0, 20f",
            "ldr q4, [{p0}], #16", "ldr q5, [{p1}], #16",
            "ldr q6, [{p2}], #16", "ldr q7, [{p3}], #16",
            step!("saddlp" "4" "5" "6" "7"),
            "subs {steps}, {steps}, #1",
            "b.ne 30f",
            "b 40f",
            "20:",
            load!(),
            step!("saddlp" "4" "5" "6" "7"),
            "b 35f",
            "30:",
            load!(),
            step!("sadalp" "4" "5" "6" "7"),
            "35:",
            step!("sadalp" "8" "9" "10" "11"),
            "subs {steps}, {steps}, #2",
            "b.ne 30b",
            "40:",
            "ldp q0, q1, [{constants}], #32",
            total!("16" "17" "18" "19"),
            total!("20" "21" "22" "23"),
            total!("24" "25" "26" "27"),
            total!("28" "29" "30" "31"),
            p0 = inout(reg) patches => _,
            p1 = inout(reg) patches.wrapping_add(padded) => _,
            p2 = inout(reg) patches.wrapping_add(2 * padded) => _,
            p3 = inout(reg) patches.wrapping_add(3 * padded) => _,
            weights = inout(reg) *weights,
            steps = inout(reg) padded / STEP => _,
            constants = inout(reg) *constants,
            out("v0") _, out("v1") half, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") sums[0], out("v17") _, out("v18") _, out("v19") _,
            out("v20") sums[1], out("v21") _, out("v22") _, out("v23") _,
            out("v24") sums[2], out("v25") _, out("v26") _, out("v27") _,
            out("v28") sums[3], out("v29") _, out("v30") _, out("v31") _,
            options(pure, readonly, nostack),
        );
    }
    (sums, half)
}

/// A tile of `P` windows, from pixel `first` on: what whole tiles leave over. Gives `P`.
#[target_feature(enable = "neon")]
#[inline(never)]
fn some_pixels<const P: usize, const PAIRS: bool>(
    requantizer: &Requantizer<'_>,
    block: &Block<'_>,
    first: usize,
    output: &mut [i8],
) -> Option<usize> {
    let Block { padded, weights, out_c, .. } = *block;
    let (patches, at) = block.tile(first)?;
    let long = patches.len() >= P * padded && weights.len() >= BLOCK * padded;
    if !long || !padded.is_multiple_of(STEP) {
        return None;
    }
    let mut sums = [requantizer.bias; P];
    for quad in 0..VECTORS {
        // SAFETY: there are `P` windows, and weights for four quads.
        let products = unsafe {
            let weights = weights.as_ptr().add(quad * QUAD * padded);
            multiply::<P, PAIRS>(patches.as_ptr(), weights, padded)
        };
        for (sums, products) in sums.iter_mut().zip(products) {
            sums[quad] = vaddq_s32(sums[quad], products);
        }
    }
    for (pixel, sums) in sums.into_iter().enumerate() {
        requantizer.store_called(sums, at + pixel * out_c, output)?;
    }
    Some(P)
}

/// With `PAIRS` no weight is -128.
///
/// # Safety
/// `patches` points to `P * padded` readable elements, `weights` to `QUAD * padded`, and `padded` is a
/// multiple of [`STEP`].
#[target_feature(enable = "neon")]
#[inline]
unsafe fn multiply<const P: usize, const PAIRS: bool>(
    patches: *const i8,
    weights: *const i8,
    padded: usize,
) -> [int32x4_t; P] {
    let mut sums = [[vdupq_n_s32(0); QUAD]; P];
    for element in (0..padded).step_by(STEP) {
        let windows: [int8x16_t; P] = core::array::from_fn(|pixel| {
            // SAFETY: `element + STEP <= padded`, and there are `P` windows.
            unsafe { vld1q_s8(patches.add(pixel * padded + element)) }
        });
        for channel in 0..QUAD {
            // SAFETY: `element + STEP <= padded`, and the channel is less than QUAD.
            let weights = unsafe { vld1q_s8(weights.add(element * QUAD + channel * STEP)) };
            for (sums, &window) in sums.iter_mut().zip(&windows) {
                let low = vmull_s8(vget_low_s8(weights), vget_low_s8(window));
                sums[channel] = if PAIRS {
                    vpadalq_s16(sums[channel], vmlal_high_s8(low, weights, window))
                } else {
                    let high = vmull_high_s8(weights, window);
                    vpadalq_s16(vpadalq_s16(sums[channel], low), high)
                };
            }
        }
    }
    sums.map(|[a, b, c, d]| vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)))
}

/// See [`Direct8Isa::pack`].
#[target_feature(enable = "neon")]
fn pack(rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<Range8> {
    let (to, rows) = (to.get_mut(..BLOCK * padded)?, rows.get(..BLOCK * len)?);
    let mut lowest = vdupq_n_s8(0);
    let quads =
        rows.chunks_exact((QUAD * len).max(1)).zip(to.chunks_exact_mut((QUAD * padded).max(1)));
    for (rows, to) in quads {
        for (row, steps) in rows.chunks_exact(len.max(1)).enumerate() {
            for (element, to) in steps.chunks(STEP).zip(to.chunks_exact_mut(QUAD * STEP)) {
                let to = to.get_mut(row * STEP..(row + 1) * STEP)?;
                let mut values = [0; STEP];
                match element.first_chunk() {
                    Some(element) => values = *element,
                    None => values.iter_mut().zip(element).for_each(|(to, &from)| *to = from),
                }
                // SAFETY: `values` is sixteen readable bytes, and so many of `to` are writable.
                unsafe {
                    let values = vld1q_s8(values.as_ptr());
                    lowest = vminq_s8(lowest, values);
                    vst1q_s8(to.as_mut_ptr(), values);
                }
            }
        }
    }
    Some(if vminvq_s8(lowest) == i8::MIN { Range8::Whole } else { Range8::Symmetric })
}
