//! Products and concatenations, sixteen values at a time.

use super::elementwise::{clamped, operator};
use super::few::{load, write};
use super::tiled::vector::{Block, Vectors};
use super::vnni::epilogue::Epilogue;
use super::{Avx2, Avx512Vnni};
use crate::error::Fault;
use crate::format::Channels;
use crate::kernels::ConcatArgs;
use crate::kernels::x86_64::tiled::BLOCK;
use crate::numerics::Multiplication;

operator! { multiply_avx2 by Avx2: product(
    p: &Multiplication, a: &[i8], b: &[i8], output: &mut [i8]
) }
operator! { multiply_avx512 by Avx512Vnni: product(
    p: &Multiplication, a: &[i8], b: &[i8], output: &mut [i8]
) }
operator! { multiply_in_place_avx2 by Avx2: product_in_place(
    p: &Multiplication, a: &[i8], output: &mut [i8]
) }
operator! { multiply_in_place_avx512 by Avx512Vnni: product_in_place(
    p: &Multiplication, a: &[i8], output: &mut [i8]
) }
operator! { concat_avx2 by Avx2: channels(args: ConcatArgs<'_>) }
operator! { concat_avx512 by Avx512Vnni: channels(args: ConcatArgs<'_>) }

/// # Safety
/// The CPU has the instructions.
unsafe fn product<V: Vectors>(
    p: &Multiplication,
    a: &[i8],
    b: &[i8],
    output: &mut [i8],
) -> Option<()> {
    let len = output.len();
    let (a, b) = (a.get(..len)?, b.get(..len)?);
    // SAFETY: the caller vouches for the instructions; there are so many values of each.
    unsafe { products::<V>(p, a.as_ptr(), b.as_ptr(), output.as_mut_ptr(), len) }
}

/// # Safety
/// The CPU has the instructions.
unsafe fn product_in_place<V: Vectors>(
    p: &Multiplication,
    a: &[i8],
    output: &mut [i8],
) -> Option<()> {
    let len = output.len();
    let (a, output) = (a.get(..len)?, output.as_mut_ptr());
    // SAFETY: as above; each value is read before it is overwritten.
    unsafe { products::<V>(p, a.as_ptr(), output.cast_const(), output, len) }
}

/// # Safety
/// The CPU has the instructions, and `len` values are readable at `a` and `b`, which may be the output, and
/// writable there.
unsafe fn products<V: Vectors>(
    p: &Multiplication,
    a: *const i8,
    b: *const i8,
    to: *mut i8,
    len: usize,
) -> Option<()> {
    let (bias, multipliers) = ([p.channel.bias; BLOCK], [p.channel.multiplier; BLOCK]);
    let channels = Channels { bias: &bias, multipliers: &multipliers };
    // SAFETY: the caller vouches for the instructions and for the values.
    unsafe {
        V::run(
            #[inline(always)]
            || {
                let zeros = (
                    V::Block::splat(-i32::from(p.zero_points.0)),
                    V::Block::splat(-i32::from(p.zero_points.1)),
                );
                let epilogue = Epilogue::new([&[0; BLOCK * 4]], channels, &p.requantization)?;
                let bias: V::Block = epilogue.first[0];
                for at in (0..len).step_by(BLOCK) {
                    let count = BLOCK.min(len - at);
                    let a = V::Block::widen(load(a.add(at), count)) + zeros.0;
                    let b = V::Block::widen(load(b.add(at), count)) + zeros.1;
                    let bytes = epilogue.round(a.product(b) + bias, 0, None).narrow();
                    write(clamped(bytes, p.requantization.clamp), to.add(at), count);
                }
                Some(())
            },
        )
    }
}

/// # Safety
/// The CPU has the instructions.
unsafe fn channels<V: Vectors>(args: ConcatArgs<'_>) -> Option<()> {
    let ConcatArgs { input, first, total, weights, channels, requantization, output } = args;
    let own = weights.len();
    let pixels = output.len().checked_div(total)?;
    let input = input.get(..pixels.checked_mul(own)?)?;
    let channels = channels.part(0..own)?;
    if first.checked_add(own).is_none_or(|end| end > total) {
        return None;
    }
    // SAFETY: the caller vouches for the instructions; every pixel has so many channels, in the input from the
    // first on, in the output from `first` on.
    unsafe {
        V::run(
            #[inline(always)]
            || {
                for block in (0..own).step_by(BLOCK) {
                    let count = BLOCK.min(own - block);
                    let (mut bias, mut multipliers) = ([0; BLOCK], [0; BLOCK]);
                    let mut factors = [0; BLOCK];
                    for n in 0..count {
                        bias[n] = channels.bias[block + n];
                        multipliers[n] = channels.multipliers[block + n];
                        factors[n] = i32::from(weights[block + n]);
                    }
                    let part = Channels { bias: &bias, multipliers: &multipliers };
                    let epilogue = Epilogue::new([&[0; BLOCK * 4]], part, requantization)?;
                    let bias: V::Block = epilogue.first[0];
                    let factors = V::Block::load(factors.as_ptr());
                    for pixel in 0..pixels {
                        let from = input.as_ptr().add(pixel * own + block);
                        let values = V::Block::widen(load(from, count)).product(factors);
                        let bytes = epilogue.round(values + bias, 0, None).narrow();
                        let to = output.as_mut_ptr().add(pixel * total + first + block);
                        write(clamped(bytes, requantization.clamp), to, count);
                    }
                }
                Some(())
            },
        )
    }
}
