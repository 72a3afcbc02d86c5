//! Little-endian f32, as tensors of files have them.

/// The bytes of some values.
#[must_use]
pub fn of_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The values of some bytes; what is left of less than one is ignored.
#[must_use]
pub fn to_f32(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}
