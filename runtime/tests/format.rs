//! The model file: stored bytes keep their meaning, and damaged ones get a typed error.

mod support;

use std::path::{Path, PathBuf};

use fixnet::{AlignedBytes, KernelSet, Model, ModelError, Session, SessionError};
use support::GARBAGE;
use support::model::{self, small};

// ---- Stored files -------------------------------------------------------------------------------

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The logits of the small model for its reproducible input.
fn logits(bytes: &[u8], kernels: KernelSet) -> Vec<i32> {
    let model = Model::new_checked(bytes).unwrap();
    let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
    let mut session = Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap();
    let input = session.input_mut();
    let len = input.len();
    input.copy_from_slice(&model::input(len));
    session.run().unwrap().to_vec()
}

/// Stored models are written as they were, are accepted, and give the logits that they gave.
///
/// `FIXNET_BLESS=1` stores them anew; a released format version must never need that.
#[test]
fn stored_models_keep_their_bytes_and_logits() {
    let mut streamed = small();
    streamed.tensors[1].rows = 4;
    let mean_image = model::small_with_mean_image();
    let models = [
        ("small", small()),
        ("mean-image", mean_image),
        ("streamed", streamed),
        ("long", model::long(1025)),
        ("gated", model::gated()),
        ("outputs", model::many_outputs()),
    ];
    for (name, spec) in models {
        let (file, text) = (golden(&format!("{name}.fxn")), golden(&format!("{name}.logits")));
        let written = model::file(&spec);
        let found: String =
            logits(&written, KernelSet::REFERENCE).iter().map(|l| format!("{l}\n")).collect();
        if std::env::var_os("FIXNET_BLESS").is_some() {
            std::fs::write(&file, &*written).unwrap();
            std::fs::write(&text, &found).unwrap();
        }
        let stored = AlignedBytes::from_slice(&std::fs::read(&file).unwrap());
        assert!(*stored == *written, "{name}: the writer's bytes have changed");
        let wanted = std::fs::read_to_string(&text).unwrap();
        Model::new_checked(&stored).unwrap().verify_weights().unwrap();
        for kernels in KernelSet::available() {
            let lines: String = logits(&stored, kernels).iter().map(|l| format!("{l}\n")).collect();
            assert_eq!(lines, wanted, "{name} with {} kernels", kernels.name());
        }
    }
}

/// `include_model!` aligns a file as the reader needs it.
#[test]
fn an_included_model_is_aligned() {
    static BYTES: &[u8] = fixnet::include_model!("golden/small.fxn");
    assert_eq!(Model::new_checked(BYTES).unwrap().name(), "small");
}

#[test]
fn a_model_tells_what_was_written() {
    let bytes = model::file(&small());
    let model = Model::new_checked(&bytes).unwrap();
    assert_eq!(model.name(), "small");
    assert_eq!(model.input().shape(), [8, 8, 3]);
    assert_eq!(model.output().shape(), [1, 1, 10]);
    assert!(model.layers().map(|layer| layer.name).eq(model::SMALL_LAYERS));
    assert_eq!(model.macs(), 13_824 + 9_216 + 9_216 + 864 + 120);
    assert_eq!(model.weight_bytes(), 216 + 576 + 576 + 216 + 120 + 8 * (8 * 3 + 12 + 1 + 10));
    assert_eq!(model.file_bytes(), bytes.len());
    assert_eq!(model.preprocess(), Some(&model::preprocess()));
    assert_eq!(model.pixel_offsets(), None);
}

// ---- Memory -------------------------------------------------------------------------------------

#[test]
fn the_planned_arena_suffices_and_one_byte_less_does_not() {
    let bytes = model::file(&small());
    let model = Model::new_checked(&bytes).unwrap();
    for kernels in KernelSet::available() {
        let needed = model.required(kernels).arena();
        let mut arena = AlignedBytes::zeroed(needed);
        assert!(Session::with_kernels(&model, arena.as_mut_slice(), kernels).is_ok());
        let less = &mut arena.as_mut_slice()[..needed - 1];
        let refused = Session::with_kernels(&model, less, kernels).unwrap_err();
        assert_eq!(refused, SessionError::ArenaTooSmall { needed, available: needed - 1 });
    }
    let reference = model.required(KernelSet::REFERENCE);
    assert_eq!((reference.activations, reference.scratch, reference.arena()), (844, 0, 844));
}

#[test]
fn a_misaligned_arena_is_refused() {
    let bytes = model::file(&small());
    let model = Model::new_checked(&bytes).unwrap();
    let mut arena = AlignedBytes::zeroed(65_536);
    for shift in 1..16 {
        let arena = &mut arena.as_mut_slice()[shift..];
        let address = arena.as_ptr() as usize;
        let refused = Session::new(&model, arena).unwrap_err();
        assert_eq!(refused, SessionError::ArenaMisaligned { needed: 16, address });
    }
}

/// The bytes of a larger arena beyond the planned ones are nobody's business.
#[test]
fn what_lies_beyond_the_planned_arena_stays_untouched() {
    let bytes = model::file(&small());
    let model = Model::new_checked(&bytes).unwrap();
    for kernels in KernelSet::available() {
        let needed = model.required(kernels).arena();
        let mut arena = AlignedBytes::zeroed(needed + 4096);
        arena.as_mut_slice().fill(GARBAGE);
        Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap().run().unwrap();
        assert!(arena[needed..].iter().all(|&byte| byte == GARBAGE));
    }
}

// ---- Damaged files ------------------------------------------------------------------------------

#[test]
fn a_file_cut_at_any_length_is_refused() {
    let bytes = model::file(&small());
    for available in 0..bytes.len() {
        let cut = AlignedBytes::from_slice(&bytes[..available]);
        let refused = Model::new_checked(&cut).unwrap_err();
        assert!(matches!(refused, ModelError::Length { available: a, .. } if a == available));
    }
    let longer = AlignedBytes::from_slice(&[&*bytes, &[0]].concat());
    let (needed, available) = (bytes.len(), bytes.len() + 1);
    assert_eq!(Model::new_checked(&longer).unwrap_err(), ModelError::Length { needed, available });
}

#[test]
fn a_flipped_bit_anywhere_in_the_plan_is_noticed() {
    let bytes = model::file(&small());
    let plan_bytes = model::header(&bytes).plan_bytes as usize;
    for at in 0..plan_bytes {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged.as_mut_slice()[at] ^= 1 << bit;
            let refused = Model::new_checked(&damaged).unwrap_err();
            let checksum = matches!(refused, ModelError::PlanChecksum { .. });
            assert!(checksum || at < 24, "byte {at}: {refused:?}");
        }
    }
}

#[test]
fn a_flipped_bit_in_any_weights_is_noticed() {
    let bytes = model::file(&small());
    let mut steps_seen = Vec::new();
    for at in model::header(&bytes).plan_bytes as usize..bytes.len() {
        let mut damaged = bytes.clone();
        damaged.as_mut_slice()[at] ^= 4;
        // Constants are range-checked; weights may be anything.
        let Ok(model) = Model::new_checked(&damaged) else { continue };
        match model.verify_weights() {
            Err(ModelError::WeightsChecksum { step, expected, found }) => {
                assert_ne!(expected, found);
                steps_seen.push(step);
            }
            // Between the sections.
            other => assert!(other.is_ok() && bytes[at] == 0),
        }
    }
    steps_seen.dedup();
    assert_eq!(steps_seen, [0, 2, 3, 5, 7, 8]);
}

#[test]
fn a_misaligned_file_is_refused() {
    let bytes = model::file(&small());
    for shift in 1..16 {
        let mut memory = AlignedBytes::zeroed(bytes.len() + 16);
        let moved = &mut memory.as_mut_slice()[shift..shift + bytes.len()];
        moved.copy_from_slice(&bytes);
        let address = moved.as_ptr() as usize;
        assert_eq!(
            Model::new_checked(moved).unwrap_err(),
            ModelError::Misaligned { needed: 16, address }
        );
    }
}
