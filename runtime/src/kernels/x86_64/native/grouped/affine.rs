//! A factor and a summand for every channel: depthwise convolution of single pixels, from the input as it lies.
//!
//! Channels of some pixels side by side are taken for channels of one, so that they come in blocks of sixteen.

use core::arch::x86_64::__m128i;

use crate::error::Fault;
use crate::format::Channels;
use crate::kernels::divide::buffer;
use crate::kernels::grouped::is_affine;
use crate::kernels::x86_64::grouped::{Affine, BLOCK};
use crate::kernels::x86_64::native::few::{load, write};
use crate::kernels::x86_64::native::tiled::vector::{Block, Vectors};
use crate::kernels::x86_64::native::vnni::Dots256;
use crate::kernels::x86_64::native::vnni::dots::{self, Dots};
use crate::kernels::x86_64::native::vnni::epilogue::Epilogue;
use crate::kernels::x86_64::native::{Avx2, Avx512Vnni};
use crate::kernels::{ConvArgs, Residual};

/// Blocks that become one vector of bytes.
const FOUR: usize = 4;

/// See [`crate::kernels::portable::reference::conv`]; windows of one value.
pub fn conv_affine_avx2(_token: Avx2, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has AVX2; of the dots, nothing but blocks of AVX2 is used.
    unsafe { conv::<Dots256<false>>(args) }
}

/// See [`conv_affine_avx2`].
pub fn conv_affine_avx512(_token: Avx512Vnni, args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the token proves that the CPU has the instructions.
    unsafe { conv::<Avx512Vnni>(args) }
}

/// # Safety
/// The CPU has the instructions of the blocks.
unsafe fn conv<D: Dots>(args: ConvArgs<'_>) -> Result<(), Fault> {
    // SAFETY: the caller vouches for the instructions.
    let done = unsafe {
        D::Vectors::run(
            #[inline(always)]
            || run::<D>(args),
        )
    };
    done.ok_or(Fault::Plan)
}

/// `None` if a slice is too short.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn run<D: Dots>(mut args: ConvArgs<'_>) -> Option<()> {
    let shape = args.shape;
    let [_, width, channels] = shape.output;
    let Affine { period } = Affine::new(shape);
    let bytes = period.checked_mul(4)?;
    let factors = buffer::<i32>(&mut args.scratch, bytes)?;
    let bias = buffer::<i32>(&mut args.scratch, bytes)?;
    let multipliers = buffer::<i32>(&mut args.scratch, bytes)?;
    let weights = args.weights.as_ohwi().get(..channels)?;
    for (c, factor) in factors.iter_mut().enumerate() {
        *factor = i32::from(*weights.get(c % channels)?);
    }
    for (to, from) in
        [(&mut *bias, args.channels.bias), (&mut *multipliers, args.channels.multipliers)]
    {
        for (c, to) in to.iter_mut().enumerate() {
            *to = *from.get(c % channels)?;
        }
    }
    let first = args.first_row.checked_mul(width)?.checked_mul(channels)?;
    let len = args.output.len();
    let input = args.input.get(first..)?.get(..len)?.as_ptr();
    let output = args.output.as_mut_ptr();
    let residual = match args.residual {
        Residual::None => core::ptr::null(),
        Residual::InPlace => output.cast_const(),
        Residual::Separate(values) => values.get(..len)?.as_ptr(),
    };
    if !is_affine(shape) || period == 0 {
        return None;
    }
    for block in (0..period).step_by(BLOCK) {
        let zero = [0u8; BLOCK * 4];
        let part = Channels { bias: bias.get(block..)?, multipliers: multipliers.get(block..)? };
        // SAFETY: the caller vouches for the instructions; sixteen factors are readable.
        let (epilogue, factors) = unsafe {
            let factors = factors.get(block..)?.first_chunk::<BLOCK>()?;
            (
                Epilogue::new([&zero], part, args.requantization)?,
                dots::Block::<D>::load(factors.as_ptr()),
            )
        };
        let mut at = block;
        while at < len {
            // SAFETY: the caller vouches for the instructions; values are read and written below `len` alone.
            unsafe {
                let mut steps = [dots::Block::<D>::splat(0); FOUR];
                let count = |n: usize| len.saturating_sub(at + n * period).min(BLOCK);
                for (n, steps) in steps.iter_mut().enumerate() {
                    let (at, count) = (at + n * period, count(n));
                    let values = dots::Block::<D>::widen(value(input, at, count));
                    let shortcut =
                        if residual.is_null() { None } else { Some(value(residual, at, count)) };
                    *steps =
                        epilogue.round(values.product(factors) + epilogue.first[0], 0, shortcut);
                }
                for (n, values) in D::narrow(steps, epilogue.clamp).into_iter().enumerate() {
                    write(values, output.wrapping_add(at + n * period), count(n));
                }
            }
            at += FOUR * period;
        }
    }
    Some(())
}

/// # Safety
/// So many values are readable there.
#[inline(always)]
unsafe fn value(from: *const i8, at: usize, count: usize) -> __m128i {
    // SAFETY: the caller vouches for the values.
    unsafe { load(from.wrapping_add(at), count) }
}
