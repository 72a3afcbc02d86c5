//! A factor and a summand for every channel: depthwise convolution of single pixels, from the input as it lies.
//!
//! Channels of some pixels side by side are taken for channels of one, so that they come in blocks of sixteen.

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
        let task = Task { input, output, residual, period, len };
        let mut at = block;
        // SAFETY: the caller vouches for the instructions; values are read and written below `len` alone.
        unsafe {
            while at + (FOUR - 1) * period + BLOCK <= len {
                task.four::<D, true>(at, factors, &epilogue);
                at += FOUR * period;
            }
            while at < len {
                task.four::<D, false>(at, factors, &epilogue);
                at += FOUR * period;
            }
        }
    }
    Some(())
}

/// Where values come from and go to.
struct Task {
    input: *const i8,
    output: *mut i8,
    /// Null without a residual.
    residual: *const i8,
    period: usize,
    /// Values of each.
    len: usize,
}

impl Task {
    /// A block of values from `at` on and those one, two and three periods behind it, as far as there are any; all
    /// sixteen of each if `WHOLE`.
    ///
    /// # Safety
    /// The CPU has the instructions; `len` values are readable and writable, and there are so many that it is true
    /// that blocks are whole.
    #[inline(always)]
    unsafe fn four<D: Dots, const WHOLE: bool>(
        &self,
        at: usize,
        factors: dots::Block<D>,
        epilogue: &Epilogue<dots::Block<D>, 1>,
    ) {
        let place = |n: usize| {
            let at = at + n * self.period;
            (at, if WHOLE { BLOCK } else { self.len.saturating_sub(at).min(BLOCK) })
        };
        // SAFETY: the caller vouches for the same.
        unsafe {
            let mut steps = [dots::Block::<D>::splat(0); FOUR];
            for (n, steps) in steps.iter_mut().enumerate() {
                let (at, count) = place(n);
                let values = dots::Block::<D>::widen(load(self.input.wrapping_add(at), count));
                let mut shortcut = None;
                if !self.residual.is_null() {
                    shortcut = Some(load(self.residual.wrapping_add(at), count));
                }
                let sums = values.product(factors) + epilogue.first[0];
                *steps = epilogue.round(sums, 0, shortcut);
            }
            for (n, values) in D::narrow(steps, epilogue.clamp).into_iter().enumerate() {
                let (at, count) = place(n);
                write(values, self.output.wrapping_add(at), count);
            }
        }
    }
}
