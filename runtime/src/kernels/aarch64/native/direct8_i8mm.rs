//! [`direct8`] with `SMMLA`: three pairs of windows times eight pairs of output channels in 24 accumulators,
//! each of them two windows' sums of two channels.
//!
//! Windows are woven in pairs and a block's weights are `[eight elements][output channel][element]`, so that
//! a vector holds eight elements of two windows, or of two output channels.

use core::arch::aarch64::{
    int8x16_t, int32x4_t, vld1q_s8, vreinterpretq_s8_s64, vreinterpretq_s32_s64,
    vreinterpretq_s64_s8, vreinterpretq_s64_s32, vst1q_s8, vzip1q_s64, vzip2q_s64,
};
use core::arch::asm;

use super::I8mm;
use super::direct8::{self, Block, Direct8Isa, Range8, Rows};
use super::requantize_block::{Requantizer, Sums, VECTORS};
use crate::error::Fault;
use crate::kernels::ConvArgs;
use crate::kernels::aarch64::direct8::{BLOCK, PAIR, STEP};

/// Elements of a vector.
const VECTOR: usize = 16;
/// Pairs of a block's output channels.
const CHANNELS: usize = BLOCK / PAIR;
/// Most pairs of output pixels of a tile.
const PIXELS: usize = 3;

/// The sums of a pair of output pixels and a block: `[pair of channels][pixel][channel]`.
type PairSums = [int32x4_t; CHANNELS];

/// See [`crate::kernels::portable::reference::conv`].
pub fn conv_direct8_i8mm(token: I8mm, args: ConvArgs<'_>) -> Result<(), Fault> {
    direct8::conv(token, args)
}

impl Direct8Isa for I8mm {
    const GROUP: usize = PAIR;

    fn weave(self, rows: Rows<'_>, to: &mut [i8]) -> Option<()> {
        // SAFETY: the token proves that the CPU has NEON.
        unsafe { weave::<1>(rows, to) }
    }

    fn pack(self, rows: &[i8], len: usize, padded: usize, to: &mut [i8]) -> Option<Range8> {
        let to = to.get_mut(..BLOCK * padded)?;
        for (pair, from) in rows.chunks_exact((PAIR * len).max(1)).enumerate() {
            // SAFETY: the token proves that the CPU has NEON.
            unsafe { pack_pair(from, len, to.get_mut(pair * VECTOR..)?)? }
        }
        Some(Range8::Whole)
    }

    fn block(self, block: Block<'_>, output: &mut [i8]) -> Option<()> {
        // SAFETY: the token proves that the CPU has this instruction.
        unsafe { compute(block, output) }
    }
}

#[target_feature(enable = "neon,i8mm")]
fn compute(block: Block<'_>, output: &mut [i8]) -> Option<()> {
    let rq = &Requantizer::new(block.channels, block.requantization, block.residual)?
        .with_channels(block.count);
    let bias: PairSums = core::array::from_fn(|pair| {
        let bias = vreinterpretq_s64_s32(rq.bias[pair / PAIR]);
        let twice = if pair % PAIR == 0 { vzip1q_s64(bias, bias) } else { vzip2q_s64(bias, bias) };
        vreinterpretq_s32_s64(twice)
    });
    for tile in block.tiles(PIXELS, PAIR) {
        match tile.len() {
            1 => some_pairs::<1>(rq, &bias, &block, tile.start * PAIR, output)?,
            2 => some_pairs::<2>(rq, &bias, &block, tile.start * PAIR, output)?,
            _ => some_pairs::<PIXELS>(rq, &bias, &block, tile.start * PAIR, output)?,
        }
    }
    Some(())
}

/// Multiplies some [`STEP`]s of windows and weights, from an element on; a loop over them would not be
/// unrolled.
macro_rules! multiply {
    ($sums:ident, $patches:ident, $padded:ident, $weights:ident, $element:ident: $($step:literal)*) => {{$(
        let element = $element + $step * STEP;
        let windows: [[int8x16_t; 2]; P] =
            core::array::from_fn(|pair| two($patches.add((pair * $padded + element) * PAIR)));
        for half in 0..2 {
            for channels in (0..CHANNELS).step_by(2) {
                let at = element * BLOCK + (half * CHANNELS + channels) * VECTOR;
                let [first, second] = two($weights.add(at));
                for (sums, &windows) in $sums.iter_mut().zip(&windows) {
                    sums[channels] = smmla(sums[channels], windows[half], first);
                    sums[channels + 1] = smmla(sums[channels + 1], windows[half], second);
                }
            }
        }
    )*}};
}

/// A tile of `P` pairs of windows, from pixel `first` on.
#[target_feature(enable = "neon,i8mm")]
fn some_pairs<const P: usize>(
    requantizer: &Requantizer<'_>,
    bias: &PairSums,
    block: &Block<'_>,
    first: usize,
    output: &mut [i8],
) -> Option<()> {
    let Block { padded, weights, out_c, .. } = *block;
    let (patches, at) = block.tile(first)?;
    let long = patches.len() >= P * PAIR * padded && weights.len() >= BLOCK * padded;
    if !long || !padded.is_multiple_of(STEP) {
        return None;
    }
    let mut sums = [*bias; P];
    let (patches, weights) = (patches.as_ptr(), weights.as_ptr());
    let fours = padded / (4 * STEP) * (4 * STEP);
    for element in (fours..padded).step_by(STEP) {
        // SAFETY: `element + STEP <= padded`; there are `P` pairs of windows and a block of weights.
        unsafe { multiply!(sums, patches, padded, weights, element: 0) };
    }
    for element in (0..fours).step_by(4 * STEP) {
        // SAFETY: `element + 4 * STEP <= padded`, and as above.
        unsafe { multiply!(sums, patches, padded, weights, element: 0 1 2 3) };
    }
    for (pair, sums) in sums.into_iter().enumerate() {
        let [even, odd] = apart(sums);
        let at = at + pair * PAIR * out_c;
        requantizer.store(even, at, output)?;
        // The last pair of all may have one pixel.
        if at + out_c < output.len() {
            requantizer.store(odd, at + out_c, output)?;
        }
    }
    Some(())
}

/// # Safety
/// `from` points to two readable vectors.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn two(from: *const i8) -> [int8x16_t; 2] {
    // SAFETY: the caller vouches for them.
    unsafe { [vld1q_s8(from), vld1q_s8(from.add(VECTOR))] }
}

/// The sums of each of two output pixels.
#[target_feature(enable = "neon")]
#[inline]
fn apart(sums: PairSums) -> [Sums; PAIR] {
    let wide = sums.map(|sums| vreinterpretq_s64_s32(sums));
    let even = |v: usize| vreinterpretq_s32_s64(vzip1q_s64(wide[v * 2], wide[v * 2 + 1]));
    let odd = |v: usize| vreinterpretq_s32_s64(vzip2q_s64(wide[v * 2], wide[v * 2 + 1]));
    const { assert!(VECTORS * PAIR == CHANNELS) };
    [core::array::from_fn(even), core::array::from_fn(odd)]
}

/// Adds the dot products of the two halves of `a` with those of `b`, those of the lower half of `a` first.
/// Not `pure`, so that the compiler keeps them in order: otherwise it moves loads ahead until registers spill.
#[target_feature(enable = "neon,i8mm")]
#[inline]
fn smmla(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction touches nothing but its operands, and the CPU has it.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Weaves the weights of two output channels, `len` each, and fills them up with zeros.
#[target_feature(enable = "neon")]
fn pack_pair(from: &[i8], len: usize, to: &mut [i8]) -> Option<()> {
    let whole = len / STEP * STEP;
    weave::<CHANNELS>(Rows { from, count: 1, len: whole, below: 0, beside: len }, to)?;
    if whole == len {
        return Some(());
    }
    let mut rest = [0; PAIR * STEP];
    for (to, row) in rest.chunks_exact_mut(STEP).zip(from.chunks_exact(len)) {
        to.iter_mut().zip(row.iter().skip(whole)).for_each(|(to, &from)| *to = from);
    }
    let rows = Rows { from: &rest, count: 1, len: STEP, below: 0, beside: STEP };
    weave::<CHANNELS>(rows, to.get_mut(whole * BLOCK..)?)
}

/// Writes eight elements of one window and eight of the other in turn, which is a vector of every `APART`.
#[target_feature(enable = "neon")]
fn weave<const APART: usize>(rows: Rows<'_>, to: &mut [i8]) -> Option<()> {
    const MANY: usize = 4;
    let Rows { from, count, len, below, beside } = rows;
    let last = count.saturating_sub(1).checked_mul(below)?.checked_add(beside)?;
    let vectors = count.checked_mul(len)? / STEP * PAIR;
    let room = (to.len() / VECTOR).div_ceil(APART);
    if from.len() < last.checked_add(len)? || !len.is_multiple_of(STEP) || room < vectors {
        return None;
    }
    let (mut from, mut to) = (from.as_ptr(), to.as_mut_ptr());
    let many = len / (MANY * STEP) * MANY;
    for _ in 0..count {
        let mut left = from;
        for _ in (0..many).step_by(MANY) {
            // SAFETY: of each window and of `to` as many steps are left.
            unsafe { weave_steps::<MANY, APART>(&mut left, beside, &mut to) };
        }
        for _ in many..len / STEP {
            // SAFETY: of each window and of `to` a step is left.
            unsafe { weave_steps::<1, APART>(&mut left, beside, &mut to) };
        }
        from = from.wrapping_add(below);
    }
    Some(())
}

/// Weaves the next `N` [`STEP`]s.
///
/// # Safety
/// They are readable at `from` and `beside` elements behind it, and `to` has room for `PAIR * N` vectors, of
/// every `APART` one.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn weave_steps<const N: usize, const APART: usize>(
    from: &mut *const i8,
    beside: usize,
    to: &mut *mut i8,
) {
    // SAFETY: the index is less than `N`.
    let load = |row: *const i8, index| unsafe { vld1q_s8(row.add(index * STEP)) };
    let windows = [*from, from.wrapping_add(beside)];
    let loaded: [[int8x16_t; PAIR]; N] =
        core::array::from_fn(|index| windows.map(|row| load(row, index)));
    for (index, pair) in loaded.into_iter().enumerate() {
        let [even, odd] = pair.map(|row| vreinterpretq_s64_s8(row));
        let woven = [vzip1q_s64(even, odd), vzip2q_s64(even, odd)];
        for (half, woven) in woven.into_iter().enumerate() {
            let at = (index * PAIR + half) * APART * VECTOR;
            // SAFETY: the caller vouches for room.
            unsafe { vst1q_s8(to.add(at), vreinterpretq_s8_s64(woven)) };
        }
    }
    *from = from.wrapping_add(N * STEP);
    *to = to.wrapping_add(N * PAIR * APART * VECTOR);
}
