//! How kernels divide what they are given: work into parts, and scratch into buffers.

use core::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `count` things in parts of one size, give or take one, of at most `most`.
#[inline(always)]
#[allow(dead_code, reason = "a build may know few rooms")]
pub(super) fn parts(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
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

/// The next buffer of the scratch, of so many bytes; `None` if there are fewer, or if they are no whole, aligned
/// values.
pub(super) fn buffer<'s, T: FromBytes + IntoBytes + KnownLayout + Immutable>(
    scratch: &mut &'s mut [u8],
    bytes: usize,
) -> Option<&'s mut [T]> {
    <[T]>::mut_from_bytes(scratch.split_off_mut(..bytes)?).ok()
}
