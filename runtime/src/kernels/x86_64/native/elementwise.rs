//! Additions, average pools and strided copies, sixteen values at a time.

use core::arch::x86_64::{__m128i, _mm_cvtsi32_si128, _mm_max_epi8, _mm_min_epi8, _mm_set1_epi8};

use super::few::{load, write};
use super::max_pool_avx2::taps;
use super::tiled::vector::{Block, Vectors};
use super::vnni::epilogue::Epilogue;
use super::{Avx2, Avx512Vnni};
use crate::error::Fault;
use crate::format::Channels;
use crate::kernels::x86_64::tiled::BLOCK;
use crate::kernels::{PoolShape, SubsampleArgs};
use crate::numerics::{ADD_FRACTION_BITS, Addition, Channel, Requantization};

/// Declares an operator by the instructions of a set.
macro_rules! operator {
    ($name:ident by $token:ident: $run:ident($($argument:ident: $type:ty),+)) => {
        /// See [`crate::kernels::portable::reference`].
        pub fn $name(_token: $token, $($argument: $type),+) -> Result<(), Fault> {
            // SAFETY: the token proves that this machine has the instructions.
            unsafe { $run::<$token>($($argument),+) }.ok_or(Fault::Plan)
        }
    };
}

pub(super) use operator;

operator! { add_avx2 by Avx2: sum(
    p: &Addition, a: &[i8], b: &[i8], output: &mut [i8]
) }
operator! { add_avx512 by Avx512Vnni: sum(
    p: &Addition, a: &[i8], b: &[i8], output: &mut [i8]
) }
operator! { add_in_place_avx2 by Avx2: sum_in_place(
    p: &Addition, a: &[i8], output: &mut [i8]
) }
operator! { add_in_place_avx512 by Avx512Vnni: sum_in_place(
    p: &Addition, a: &[i8], output: &mut [i8]
) }
operator! { average_pool_avx2 by Avx2: average(
    shape: &PoolShape, channel: Channel, rq: &Requantization, input: &[i8], output: &mut [i8]
) }
operator! { average_pool_avx512 by Avx512Vnni: average(
    shape: &PoolShape, channel: Channel, rq: &Requantization, input: &[i8], output: &mut [i8]
) }
operator! { average_pool_inside_avx2 by Avx2: average_inside(
    shape: &PoolShape, channels: Channels<'_>, rq: &Requantization, input: &[i8], output: &mut [i8]
) }
operator! { average_pool_inside_avx512 by Avx512Vnni: average_inside(
    shape: &PoolShape, channels: Channels<'_>, rq: &Requantization, input: &[i8], output: &mut [i8]
) }
operator! { subsample_avx2 by Avx2: copy(args: SubsampleArgs<'_>) }

/// # Safety
/// The CPU has the instructions.
unsafe fn sum<V: Vectors>(p: &Addition, a: &[i8], b: &[i8], output: &mut [i8]) -> Option<()> {
    let len = output.len();
    let (a, b) = (a.get(..len)?, b.get(..len)?);
    // SAFETY: the caller vouches for the instructions; there are so many values of each.
    unsafe { sums::<V>(p, a.as_ptr(), b.as_ptr(), output.as_mut_ptr(), len) }
    Some(())
}

/// # Safety
/// The CPU has the instructions.
unsafe fn sum_in_place<V: Vectors>(p: &Addition, a: &[i8], output: &mut [i8]) -> Option<()> {
    let len = output.len();
    let (a, output) = (a.get(..len)?, output.as_mut_ptr());
    // SAFETY: as above; each value is read before it is overwritten.
    unsafe { sums::<V>(p, a.as_ptr(), output.cast_const(), output, len) }
    Some(())
}

/// # Safety
/// The CPU has the instructions, and `len` values are readable at `a` and `b`, which may be the output, and
/// writable there.
unsafe fn sums<V: Vectors>(p: &Addition, a: *const i8, b: *const i8, to: *mut i8, len: usize) {
    // SAFETY: the caller vouches for the instructions and for the values.
    unsafe {
        V::run(
            #[inline(always)]
            || {
                let factors = (V::Block::splat(p.multipliers.0), V::Block::splat(p.multipliers.1));
                let (offset, bits) =
                    (V::Block::splat(p.offset), _mm_cvtsi32_si128(ADD_FRACTION_BITS as i32));
                for at in (0..len).step_by(BLOCK) {
                    let count = BLOCK.min(len - at);
                    let a = V::Block::widen(load(a.add(at), count)).product(factors.0);
                    let b = V::Block::widen(load(b.add(at), count)).product(factors.1);
                    // Saturation to int8 and then the clamp are the clamp.
                    let bytes = (a + b + offset).shifted_right(bits).narrow();
                    write(clamped(bytes, p.clamp), to.add(at), count);
                }
            },
        );
    }
}

/// # Safety
/// The CPU has the instructions.
unsafe fn average<V: Vectors>(
    shape: &PoolShape,
    channel: Channel,
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
) -> Option<()> {
    let padding = i32::from(shape.input_zero_point);
    let channels = Channels { bias: &[channel.bias], multipliers: &[channel.multiplier] };
    // SAFETY: the caller vouches for the instructions.
    unsafe { averages::<V>(shape, (padding, channels), rq, input, output, |_| 0) }
}

/// # Safety
/// The CPU has the instructions.
unsafe fn average_inside<V: Vectors>(
    shape: &PoolShape,
    channels: Channels<'_>,
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
) -> Option<()> {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        averages::<V>(shape, (0, channels), rq, input, output, |inside| inside.wrapping_sub(1))
    }
}

/// Averages, `padding` standing for each tap outside the map; `index` says which constants are those of so many
/// taps inside.
///
/// # Safety
/// The CPU has the instructions.
unsafe fn averages<V: Vectors>(
    shape: &PoolShape,
    (padding, constants): (i32, Channels<'_>),
    rq: &Requantization,
    input: &[i8],
    output: &mut [i8],
    index: impl Fn(usize) -> usize,
) -> Option<()> {
    let [in_h, in_w, channels] = shape.input;
    let (out_w, area) = (shape.output[1].max(1), shape.kernel[0].wrapping_mul(shape.kernel[1]));
    let input = input.get(..in_h.checked_mul(in_w)?.checked_mul(channels)?)?;
    // SAFETY: the caller vouches for the instructions; pixels of a window are inside the input, and so are their
    // channels.
    unsafe {
        V::run(
            #[inline(always)]
            || {
                for (pixel, output) in output.chunks_exact_mut(channels.max(1)).enumerate() {
                    let rows = taps(shape, 0, pixel / out_w);
                    let columns = taps(shape, 1, pixel % out_w);
                    let inside = rows.len() * columns.len();
                    let index = index(inside);
                    let (bias, multiplier) =
                        (constants.bias.get(index)?, *constants.multipliers.get(index)?);
                    let outside = padding.wrapping_mul(area.wrapping_sub(inside) as i32);
                    let (bias, multipliers) =
                        ([bias.wrapping_add(outside); BLOCK], [multiplier; BLOCK]);
                    let constants = Channels { bias: &bias, multipliers: &multipliers };
                    let epilogue = Epilogue::new([&[0; BLOCK * 4]], constants, rq)?;
                    for (block, to) in output.chunks_mut(BLOCK).enumerate() {
                        let mut sums: V::Block = epilogue.first[0];
                        for y in rows.clone() {
                            for x in columns.clone() {
                                let at = (y * in_w + x) * channels + block * BLOCK;
                                let values = load(input.as_ptr().add(at), to.len());
                                sums = sums + V::Block::widen(values);
                            }
                        }
                        let bytes = epilogue.round(sums, 0, None).narrow();
                        write(clamped(bytes, rq.clamp), to.as_mut_ptr(), to.len());
                    }
                }
                Some(())
            },
        )
    }
}

/// # Safety
/// The CPU has AVX2.
#[inline(always)]
pub(super) unsafe fn clamped(bytes: __m128i, (low, high): (i8, i8)) -> __m128i {
    // SAFETY: the caller vouches for the instructions.
    unsafe { _mm_min_epi8(_mm_max_epi8(bytes, _mm_set1_epi8(low)), _mm_set1_epi8(high)) }
}

/// # Safety
/// The CPU has the instructions.
unsafe fn copy<V: Vectors>(args: SubsampleArgs<'_>) -> Option<()> {
    let SubsampleArgs { strides, channels_before, from, to, input, output } = args;
    // SAFETY: the caller vouches for the instructions; both parts of a copy are as long as the other.
    unsafe {
        V::run(
            #[inline(always)]
            || {
                let (width, count) = (to.width.max(1), from.channels);
                for (pixel, out) in output.chunks_exact_mut(to.channels.max(1)).enumerate() {
                    let source =
                        pixel / width * strides[0] * from.width + pixel % width * strides[1];
                    let source = input.get(source * count..)?.get(..count)?;
                    out.fill(from.zero_point);
                    let copied = out.get_mut(channels_before..)?.get_mut(..count)?;
                    let blocks = copied.chunks_mut(BLOCK).zip(source.chunks(BLOCK));
                    for (to, from) in blocks {
                        write(load(from.as_ptr(), to.len()), to.as_mut_ptr(), to.len());
                    }
                }
                Some(())
            },
        )
    }
}
