//! Forged model files, with every checksum right: they get a typed error, or run within their bounds
//! to the same bytes with every kernel set.

mod by_chance;
mod limits;
mod refused;
#[path = "../support/mod.rs"]
mod support;

use fixnet::format::CRC32;
use support::model::header;

/// Puts the checksum of the plan right, as an attacker would.
fn seal(bytes: &mut [u8]) {
    let end = (header(bytes).plan_bytes as usize).clamp(16, bytes.len());
    let crc = CRC32.checksum(&bytes[16..end]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}
