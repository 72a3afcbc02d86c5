//! The table of a block of output channels: what sums begin with beside the bias, and the words of its weights.

use super::Task;
use super::words::{Block, Words};
use crate::format::Channels;
use crate::kernels::x86_64::grouped::BLOCK;
use crate::kernels::x86_64::native::vnni::epilogue;
use crate::numerics::Requantization;

/// The constants of a block.
pub(super) type Epilogue<W> = epilogue::Epilogue<Block<W>, 1>;

/// Writes the table of the block that begins with channel `first`; `None` if something is too short. Lanes behind
/// the last channel have weights of 0.
#[inline(always)]
pub(super) fn fill<W: Words>(task: &Task<'_>, first: usize, table: &mut [i32]) -> Option<()> {
    let (correction, words) = table.split_at_mut_checked(BLOCK)?;
    let [height, width] = task.shape.kernel;
    let (len, group) = (task.shape.patch_len(), task.shape.group_channels());
    let rows = task.weights.get(first * len..)?.chunks_exact(len.max(1)).take(BLOCK);
    if rows.len() < BLOCK {
        correction.fill(0);
        words.fill(0);
    }
    for (lane, row) in rows.enumerate() {
        let sum = row.iter().fold(0i32, |sum, &weight| sum.wrapping_add(weight.into()));
        *correction.get_mut(lane)? = sum.wrapping_mul(-W::EXCESS);
        let mut lanes = words.get_mut(lane..)?.iter_mut().step_by(BLOCK);
        if !task.plan.depthwise {
            let windows = row.chunks_exact(group.max(1));
            for (word, values) in lanes.zip(windows.flat_map(|taps| taps.chunks(W::VALUES))) {
                *word = W::weights(values);
            }
            continue;
        }
        for column in 0..width {
            for top in (0..height).step_by(W::VALUES) {
                let mut values = [0; 4];
                for (value, ky) in values.iter_mut().zip(top..height.min(top + W::VALUES)) {
                    *value = *row.get(ky * width + column)?;
                }
                *lanes.next()? = W::weights(&values);
            }
        }
    }
    Some(())
}

/// The constants of the block; `None` if there are fewer channels.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
pub(super) unsafe fn epilogue<W: Words>(
    table: &[i32],
    channels: Channels<'_>,
    first: usize,
    rq: &Requantization,
) -> Option<Epilogue<W>> {
    let (mut bias, mut multipliers) = ([0; BLOCK], [0; BLOCK]);
    for (to, from) in [(&mut bias, channels.bias), (&mut multipliers, channels.multipliers)] {
        to.iter_mut().zip(from.get(first..)?).for_each(|(to, &from)| *to = from);
    }
    let channels = Channels { bias: &bias, multipliers: &multipliers };
    // SAFETY: the caller vouches for the instructions.
    unsafe { Epilogue::<W>::new([zerocopy::IntoBytes::as_bytes(table)], channels, rq) }
}
