//! Where the parts of a file may lie: sections of the plan, and blobs behind it.
//!
//! What may not be broken: nothing outside of the file's bytes is given out, and no byte of a blob to two
//! readers.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{ALIGNMENT, Header, MAX_RECORDS};
use crate::error::ModelError;

/// A table of 1 to [`MAX_RECORDS`] records that lies inside the plan.
pub(super) fn table<'m, T: FromBytes + KnownLayout + Immutable>(
    bytes: &'m [u8],
    header: &Header,
    offset: u32,
    count: u16,
) -> Result<&'m [T], ModelError> {
    if count == 0 || usize::from(count) > MAX_RECORDS {
        return Err(ModelError::BadCount { count });
    }
    let len = u32::from(count) * size_of::<T>() as u32;
    let section = plan_section(bytes, header, offset, len)?;
    <[T]>::ref_from_bytes(section).map_err(|_| ModelError::BadSection { offset, bytes: len })
}

/// A section of the plan: aligned, behind the header, and inside the plan.
pub(super) fn plan_section<'m>(
    bytes: &'m [u8],
    header: &Header,
    offset: u32,
    len: u32,
) -> Result<&'m [u8], ModelError> {
    let error = ModelError::BadSection { offset, bytes: len };
    let end = offset.checked_add(len).filter(|&end| end <= header.plan_bytes).ok_or(error)?;
    let aligned = (offset as usize).is_multiple_of(ALIGNMENT);
    if !aligned || (offset as usize) < size_of::<Header>() {
        return Err(error);
    }
    bytes.get(offset as usize..end as usize).ok_or(error)
}

/// An empty blob has offset 0; any other lies aligned between the blobs before it (or the plan) and
/// the end of the file. No byte is read for two steps, which bounds the work of checking.
pub(super) fn blob_fits(header: &Header, offset: u32, len: u32, free: &mut u64) -> bool {
    if len == 0 {
        return offset == 0;
    }
    let end = u64::from(offset) + u64::from(len);
    let fits = (offset as usize).is_multiple_of(ALIGNMENT)
        && u64::from(offset) >= *free
        && end <= u64::from(header.file_bytes);
    *free = end;
    fits
}
