//! A convolution and the max-pool behind it, a few rows at a time: the map between them never exists
//! whole.
//!
//! The arena holds as many rows of it as the plan says. They are filled by the convolution, pooled as far
//! as whole windows are there, and the rows that later windows still need move to the front. What may not
//! be broken: the bytes are those of the two steps one after the other.

use zerocopy::FromBytes;

use crate::arena;
use crate::error::Fault;
use crate::format::{Operator, Step};
use crate::kernels::{ConvArgs, PoolShape, Residual};
use crate::parallel;

use super::{Hook, Session};

/// Rows of the map between the two steps.
#[derive(Debug, Clone, Copy)]
struct Rows {
    /// The row that lies first in the arena.
    first: usize,
    /// Rows that are there.
    count: usize,
    /// Rows that have room.
    room: usize,
    /// Rows of the whole map.
    height: usize,
}

impl Rows {
    const fn end(&self) -> usize {
        self.first + self.count
    }
}

/// Runs both steps of a streamed pair.
pub(super) fn run<'m>(
    session: &mut Session<'m, '_>,
    conv: &Step<'m>,
    pool: &Step<'m>,
    hook: &mut impl Hook,
) -> Result<(), Fault> {
    let Operator::MaxPool { shape, clamp } = pool.operator else { return Err(Fault::NoStep) };
    let map = conv.output;
    let mut rows = Rows { first: 0, count: 0, room: map.rows, height: map.height };
    let mut pooled = 0;
    while rows.end() < rows.height {
        let to = last_row(&shape, &rows);
        // The checker saw to it that a window fits, so there is always room for more.
        if to <= rows.end() {
            return Err(Fault::Plan);
        }
        let info = session.info(conv, rows.end(), to);
        hook.before(&info);
        let part = convolve(session, conv, rows, to)?;
        hook.after(&info, part);
        rows.count = to - rows.first;
        let until = complete_windows(&shape, &rows);
        if until > pooled {
            let info = session.info(pool, pooled, until);
            hook.before(&info);
            let part = max_pool(session, pool, (shape, clamp), rows, (pooled, until))?;
            hook.after(&info, part);
            pooled = until;
        }
        // Rows that no window sees are computed for whoever looks at the layer.
        let unseen = pooled == shape.output[0];
        let first = if unseen { rows.end() } else { first_row(&shape, pooled) };
        drop_rows(session, conv, &mut rows, first)?;
    }
    if pooled == shape.output[0] { Ok(()) } else { Err(Fault::Plan) }
}

/// The first row of the map that the window of output row `row` sees.
const fn first_row(shape: &PoolShape, row: usize) -> usize {
    (row * shape.strides[0]).saturating_sub(shape.pads[0])
}

/// The row up to which there is room, or fewer to where a window ends: a row behind it would only wait for
/// the next turn, in the room of a row of that.
fn last_row(shape: &PoolShape, rows: &Rows) -> usize {
    let to = rows.height.min(rows.first + rows.room);
    let windows = windows_above(shape, to);
    let end = (windows.saturating_sub(1) * shape.strides[0] + shape.kernel[0])
        .saturating_sub(shape.pads[0]);
    if to < rows.height && rows.end() < end && end < to { end } else { to }
}

/// Output rows whose windows end within the rows that are there.
fn complete_windows(shape: &PoolShape, rows: &Rows) -> usize {
    let all = rows.end() >= rows.height;
    if all { shape.output[0] } else { windows_above(shape, rows.end()) }
}

/// Output rows whose windows end above row `end` of the map.
fn windows_above(shape: &PoolShape, end: usize) -> usize {
    let padded = (end + shape.pads[0]).checked_sub(shape.kernel[0]);
    let windows = padded.map_or(0, |n| n / shape.strides[0].max(1) + 1);
    windows.min(shape.output[0])
}

/// Computes the map's rows from the last one that is there up to `to`, behind it, and returns them.
fn convolve<'s>(
    session: &'s mut Session<'_, '_>,
    step: &Step<'_>,
    rows: Rows,
    to: usize,
) -> Result<&'s [u8], Fault> {
    let row_bytes = step.output.width * step.output.channels;
    let within = rows.count * row_bytes..(to - rows.first) * row_bytes;
    let (input, output) = (step.input.range(), step.output.range());
    let (start, scratch) = (output.start, session.scratch.clone());
    let Operator::Conv { ref shape, weights, channels, ref requantization } = step.operator else {
        return Err(Fault::NoStep);
    };
    let views = arena::views(session.arena, input, None, output, scratch).ok_or(Fault::Arena)?;
    let output = views.output.get_mut(within.clone()).ok_or(Fault::Arena)?;
    let args = ConvArgs {
        shape,
        input: views.input,
        weights,
        channels,
        requantization,
        residual: Residual::None,
        first_row: rows.end(),
        output: FromBytes::mut_from_bytes(output).map_err(|_| Fault::Arena)?,
        scratch: views.scratch,
    };
    parallel::conv(session.kernels, session.threads, args)?;
    session.arena.get(start + within.start..start + within.end).ok_or(Fault::Arena)
}

/// Pools output rows `from..until` and returns them.
fn max_pool<'s>(
    session: &'s mut Session<'_, '_>,
    step: &Step<'_>,
    (shape, clamp): (PoolShape, (i8, i8)),
    rows: Rows,
    (from, until): (usize, usize),
) -> Result<&'s [u8], Fault> {
    let [_, width, channels] = shape.input;
    let part = shape.for_rows(from, until - from, rows.count);
    let row_bytes = shape.output[1] * channels;
    let within = from * row_bytes..until * row_bytes;
    let (input, output) = (step.input.range(), step.output.range());
    let (start, scratch) = (output.start, session.scratch.clone());
    let views = arena::views(session.arena, input, None, output, scratch).ok_or(Fault::Arena)?;
    let output = views.output.get_mut(within.clone()).ok_or(Fault::Arena)?;
    let output = FromBytes::mut_from_bytes(output).map_err(|_| Fault::Arena)?;
    let input = views.input.get(..rows.count * width * channels).ok_or(Fault::Arena)?;
    parallel::max_pool(session.kernels, session.threads, &part, clamp, input, output)?;
    session.arena.get(start + within.start..start + within.end).ok_or(Fault::Arena)
}

/// Forgets the rows in front of `first` and moves the others to the front.
fn drop_rows(
    session: &mut Session<'_, '_>,
    step: &Step<'_>,
    rows: &mut Rows,
    first: usize,
) -> Result<(), Fault> {
    let first = first.max(rows.first).min(rows.end());
    let row_bytes = step.output.width * step.output.channels;
    let (dropped, kept) = (first - rows.first, rows.end() - first);
    (rows.first, rows.count) = (first, kept);
    let distance = dropped * row_bytes;
    if distance == 0 {
        return Ok(());
    }
    let mut rest = session.arena.get_mut(step.output.range()).ok_or(Fault::Arena)?;
    while let Some((to, from)) = rest.split_at_mut_checked(distance) {
        to.iter_mut().zip(from.iter()).for_each(|(to, &from)| *to = from);
        rest = from;
    }
    Ok(())
}
