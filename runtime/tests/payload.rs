//! The payload of bare-metal images: what is written is read, and no bytes lead outside of it.

use fixnet::AlignedBytes;
use fixnet::format::{CRC32, Payload, PayloadError, payload_flags, write_payload};
use proptest::prelude::*;

fn example() -> Vec<u8> {
    let model: Vec<u8> = (0..77).collect();
    let inputs = [[1u8; 12], [2; 12], [3; 12]];
    let inputs: Vec<&[u8]> = inputs.iter().map(<[u8; 12]>::as_slice).collect();
    write_payload(&model, &inputs, payload_flags::CHECKSUMS).expect("a small payload")
}

/// Sets a field of the header and its checksum.
fn set(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    let crc32 = CRC32.checksum(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc32.to_le_bytes());
}

fn refusal(bytes: &[u8]) -> PayloadError {
    Payload::new_checked(&AlignedBytes::from_slice(bytes)).expect_err("a refusal")
}

#[test]
fn what_is_written_is_read() {
    let mut bytes = example();
    bytes.extend_from_slice(b"whatever lies behind");
    let bytes = AlignedBytes::from_slice(&bytes);
    let payload = Payload::new_checked(&bytes).expect("a payload");
    assert!(!payload.tensors());
    let tensors = payload_flags::TENSORS;
    let of_tensors = write_payload(&[], &[&[1, 2]], tensors).map(|p| AlignedBytes::from_slice(&p));
    assert!(Payload::new_checked(&of_tensors.unwrap()).unwrap().tensors());
    assert_eq!(payload.model(), (0..77).collect::<Vec<u8>>());
    assert!((payload.model().as_ptr() as usize).is_multiple_of(16));
    let inputs: Vec<&[u8]> = payload.inputs().collect();
    assert_eq!(inputs, [&[1u8; 12][..], &[2; 12], &[3; 12]]);
    assert!(payload.checksums() && payload.layer_clock() && !payload.refused_arenas());
}

#[test]
fn inputs_of_different_lengths_are_not_written() {
    assert_eq!(write_payload(&[], &[&[1, 2], &[3]], 0), None);
}

#[test]
fn refusals_are_typed() {
    let good = example();
    let total = good.len();
    assert_eq!(refusal(&[]), PayloadError::Missing);
    assert_eq!(refusal(&good[..63]), PayloadError::Missing);
    assert_eq!(refusal(&[0xff; 4096]), PayloadError::Missing);
    let length = PayloadError::Length { needed: total, available: total - 1 };
    assert_eq!(refusal(&good[..total - 1]), length);
    let changed = |offset: usize, value: u32| {
        let mut bytes = good.clone();
        set(&mut bytes, offset, value);
        refusal(&bytes)
    };
    assert_eq!(changed(4, 2), PayloadError::Unsupported { version: 2, flags: 0 });
    assert_eq!(changed(4, 1 | 16 << 16), PayloadError::Unsupported { version: 1, flags: 16 });
    assert_eq!(changed(32, 1), PayloadError::Unsupported { version: 1, flags: 1 });
    assert_eq!(changed(12, 72), PayloadError::BadSection { offset: 72, bytes: 77 });
    assert_eq!(
        changed(12, 32),
        PayloadError::BadSection { offset: 32, bytes: 77 },
        "in the header"
    );
    assert_eq!(changed(16, u32::MAX), PayloadError::BadSection { offset: 64, bytes: u32::MAX });
    assert_eq!(changed(28, u32::MAX), PayloadError::BadSection { offset: 144, bytes: u32::MAX });
    let mut damaged = good.clone();
    damaged[20] ^= 1;
    assert!(matches!(refusal(&damaged), PayloadError::Checksum { .. }));
    let mut shifted = AlignedBytes::zeroed(good.len() + 1);
    shifted.as_mut_slice()[1..].copy_from_slice(&good);
    let error = Payload::new_checked(&shifted.as_slice()[1..]).expect_err("a refusal");
    assert!(matches!(error, PayloadError::Misaligned { needed: 16, .. }));
}

proptest! {
    /// Whatever the header says under a right checksum, sections lie within the bytes.
    #[test]
    fn no_header_leads_outside(
        fields in prop::collection::vec((1usize..8, prop_oneof![0u32..400, any::<u32>()]), 0..6),
        cut in 0usize..200,
    ) {
        let mut bytes = example();
        bytes.truncate(bytes.len().max(64) - cut.min(bytes.len() - 64));
        for (field, value) in fields {
            set(&mut bytes, field * 4, value);
        }
        let bytes = AlignedBytes::from_slice(&bytes);
        if let Ok(payload) = Payload::new_checked(&bytes) {
            let range = bytes.as_slice().as_ptr_range();
            for part in payload.inputs().chain([payload.model()]).filter(|part| !part.is_empty()) {
                let part = part.as_ptr_range();
                prop_assert!(range.start as usize + 64 <= part.start as usize);
                prop_assert!(part.end <= range.end);
            }
        }
    }
}
