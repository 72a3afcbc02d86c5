//! Model files with their checksum put right, and changes to their fields.

use fixnet::format::{
    self, CRC32, Header, LayerRecord, ModelSpec, StepRecord, Target, TensorRecord,
};
use fixnet::{AlignedBytes, Model};
use zerocopy::FromBytes;

use crate::choices::{Choices, Random};
use crate::network;

/// Length and checksum as a reader asks for them.
pub fn seal(bytes: &mut [u8]) {
    let Ok((header, _)) = Header::read_from_prefix(bytes) else { return };
    let length = bytes.len() as u32;
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    let end = (header.plan_bytes as usize).clamp(16, bytes.len());
    let crc = CRC32.checksum(&bytes[16..end]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// Replaces one field of one record by a value that may mean something there.
pub fn change_field(bytes: &mut [u8], seed: u32) {
    let mut random = Random::new(seed.into());
    let Ok((header, _)) = Header::read_from_prefix(bytes) else { return };
    let tables = [
        (header.steps_offset, size_of::<StepRecord>(), header.step_count),
        (header.steps_offset, size_of::<StepRecord>(), header.step_count),
        (header.tensors_offset, size_of::<TensorRecord>(), header.tensor_count),
        (header.layers_offset, size_of::<LayerRecord>(), header.layer_count),
        (0, size_of::<Header>(), 1),
    ];
    let (offset, size, count) = random.pick(&tables);
    let width = random.pick(&[1, 2, 2, 4]);
    let field = random.below(size / width) * width;
    let at = offset as usize + random.below(usize::from(count.max(1))) * size + field;
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    let mut old = [0; 4];
    old[..width].copy_from_slice(place);
    let old = u32::from_le_bytes(old);
    let new = match random.below(8) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_add(16),
        3 => old / 2,
        4 => random.below(20) as u32,
        5 => random.below(64) as u32 * 16,
        6 => 1 << random.below(32),
        _ => (1u32 << random.below(32)).wrapping_neg(),
    };
    place.copy_from_slice(&new.to_le_bytes()[..width]);
}

/// Another model of at most `most` bytes: a fresh one, or this one packed for any target.
pub fn replace(bytes: &[u8], most: usize, seed: u32) -> Option<AlignedBytes> {
    let mut random = Random::new(seed.into());
    let drawn: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
    let choices = &mut Choices::new(&drawn);
    let spec = if random.below(4) == 0 {
        network::network(choices)
    } else {
        let file = AlignedBytes::from_slice(bytes);
        let spec = ModelSpec::from_model(&Model::new_checked(&file).ok()?);
        network::packed(&spec, random.pick(&Target::ALL), choices)?
    };
    format::write(&spec).ok().filter(|file| file.len() <= most)
}
