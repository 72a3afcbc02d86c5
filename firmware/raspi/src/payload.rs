//! Where the model and its inputs lie: at the address of the board's data, else behind the image.

use core::ptr::with_exposed_provenance;
use core::slice;

use fixnet::format::{Payload, PayloadError};
use fixnet_raspi::board::{PAYLOAD_BYTES, PAYLOAD_ORIGIN};

unsafe extern "C" {
    /// Addresses that `link.ld` gives: the end of the image's file, and of what may follow it.
    static image_end: u8;
    static memory_begin: u8;
}

/// The memory that holds the payload, if there is one; not checked.
pub fn find() -> &'static [u8] {
    let loaded = memory(PAYLOAD_ORIGIN, PAYLOAD_BYTES);
    match Payload::new_checked(loaded) {
        Err(PayloadError::Missing) => {
            let origin = (&raw const image_end).addr();
            memory(origin, (&raw const memory_begin).addr() - origin)
        }
        _ => loaded,
    }
}

fn memory(origin: usize, bytes: usize) -> &'static [u8] {
    // SAFETY: both ranges are mapped, hold no variable of this program, and are written by nobody
    // after the loader; any bytes are good.
    unsafe { slice::from_raw_parts(with_exposed_provenance(origin), bytes) }
}
