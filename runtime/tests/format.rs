//! The model file: stored bytes keep their meaning, and hostile bytes get a typed error or run
//! within their bounds.

mod support;

use std::path::{Path, PathBuf};

use fixnet::format::{
    self, CRC32, Header, LayerRecord, MAX_MACS, ModelSpec, Operator, StepKind, StepRecord,
    TensorRecord, flags,
};
use fixnet::profile::Checksums;
use fixnet::{AlignedBytes, KernelSet, Model, ModelError, Session, SessionError};
use proptest::prelude::*;
use support::model::{self, small};
use support::{GARBAGE, Guarded};

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
    session.run().to_vec()
}

/// Stored models are written as they were, are accepted, and give the logits that they gave.
///
/// `FIXNET_BLESS=1` stores them anew; a released format version must never need that.
#[test]
fn stored_models_keep_their_bytes_and_logits() {
    let mut streamed = small();
    streamed.tensors[1].rows = 4;
    let mean_image = model::small_with_mean_image();
    let models = [("small", small()), ("mean-image", mean_image), ("streamed", streamed)];
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
        Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap().run();
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
    let plan_bytes = header(&bytes).plan_bytes as usize;
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
    for at in header(&bytes).plan_bytes as usize..bytes.len() {
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

// ---- Forged files: every checksum is right ------------------------------------------------------

fn header(bytes: &[u8]) -> Header {
    zerocopy::FromBytes::read_from_prefix(bytes).map(|(header, _)| header).unwrap()
}

/// Puts the checksum of the plan right, as an attacker would.
fn seal(bytes: &mut [u8]) {
    let end = (header(bytes).plan_bytes as usize).clamp(16, bytes.len());
    let crc = CRC32.checksum(&bytes[16..end]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// The small model with its header changed.
fn forged(change: impl FnOnce(&mut Header)) -> Result<(), ModelError> {
    let mut bytes = model::file(&small());
    let mut changed = header(&bytes);
    change(&mut changed);
    let size = size_of::<Header>();
    bytes.as_mut_slice()[..size].copy_from_slice(zerocopy::IntoBytes::as_bytes(&changed));
    seal(bytes.as_mut_slice());
    Model::new_checked(&bytes).map(|_| ())
}

/// The small model with its specification changed.
fn refused(change: impl FnOnce(&mut ModelSpec)) -> ModelError {
    let mut spec = small();
    change(&mut spec);
    format::write(&spec).map(|_| ()).expect_err("an inconsistent model was accepted")
}

/// The small model with one layer's record changed.
fn refused_layer(change: impl FnOnce(&mut LayerRecord)) -> ModelError {
    let mut bytes = model::file(&small());
    let at = header(&bytes).layers_offset as usize + 2 * size_of::<LayerRecord>();
    let end = at + size_of::<LayerRecord>();
    let mut layer: LayerRecord = zerocopy::FromBytes::read_from_bytes(&bytes[at..end]).unwrap();
    change(&mut layer);
    bytes.as_mut_slice()[at..end].copy_from_slice(zerocopy::IntoBytes::as_bytes(&layer));
    seal(bytes.as_mut_slice());
    Model::new_checked(&bytes).map(|_| ()).expect_err("a false layer was accepted")
}

/// The small model with one step's record changed, offsets and lengths included.
fn refused_step(step: usize, change: impl FnOnce(&mut StepRecord)) -> ModelError {
    let mut bytes = model::file(&small());
    let at = header(&bytes).steps_offset as usize + step * size_of::<StepRecord>();
    let end = at + size_of::<StepRecord>();
    let mut record: StepRecord = zerocopy::FromBytes::read_from_bytes(&bytes[at..end]).unwrap();
    change(&mut record);
    bytes.as_mut_slice()[at..end].copy_from_slice(zerocopy::IntoBytes::as_bytes(&record));
    seal(bytes.as_mut_slice());
    Model::new_checked(&bytes).map(|_| ()).expect_err("a false step was accepted")
}

#[test]
fn other_versions_and_targets_are_refused() {
    assert_eq!(forged(|_| ()), Ok(()));
    let version =
        |major, minor| forged(|h| (h.version_major, h.version_minor) = (major, minor)).unwrap_err();
    for (major, minor) in [(0, 0), (2, 0), (1, 1), (1, 2), (1, 3), (1, 4), (u16::MAX, u16::MAX)] {
        assert_eq!(version(major, minor), ModelError::UnsupportedVersion { major, minor });
    }
    let target = forged(|h| h.target = 9).unwrap_err();
    assert_eq!(target, ModelError::UnsupportedTarget { target: 9 });
    assert_eq!(forged(|h| h.reserved[5] = 1), Err(ModelError::ReservedNotZero));
    assert_eq!(forged(|h| h.magic = *b"ELF\x1a"), Err(ModelError::BadMagic));
}

#[test]
fn tables_outside_the_plan_are_refused() {
    let section = |change: fn(&mut Header)| {
        let refused = forged(change).unwrap_err();
        assert!(matches!(refused, ModelError::BadSection { .. }), "{refused:?}");
    };
    section(|h| h.tensors_offset = h.plan_bytes);
    section(|h| h.tensors_offset = u32::MAX - 15);
    section(|h| h.tensors_offset = 0);
    section(|h| h.steps_offset += 4);
    section(|h| h.layers_offset = h.file_bytes - 16);
    section(|h| h.names_offset = 0);
    section(|h| h.names_bytes = u32::MAX);
    section(|h| h.names_bytes -= 1);
    section(|h| h.names_bytes += 1);
    section(|h| h.model_name_bytes += 1);
    section(|h| h.preprocess_offset = h.plan_bytes - 16);
    section(|h| h.plan_bytes = h.file_bytes + 1);
    section(|h| h.plan_bytes = 12);
    for count in [0, 1025, u16::MAX] {
        let bad = Err(ModelError::BadCount { count });
        assert_eq!(forged(|h| h.tensor_count = count), bad);
        assert_eq!(forged(|h| h.step_count = count), bad);
        assert_eq!(forged(|h| h.layer_count = count), bad);
    }
}

#[test]
fn weights_outside_the_file_or_shared_are_refused() {
    let weights = |step: usize, change: fn(&mut StepRecord)| {
        let found = refused_step(step, change);
        assert_eq!(found, ModelError::BadWeights { step: step as u16 });
    };
    weights(0, |s| s.weights_offset = 0);
    weights(0, |s| s.weights_offset += 1);
    weights(0, |s| s.weights_offset = u32::MAX - 15);
    weights(0, |s| s.weights_bytes -= 1);
    weights(0, |s| s.weights_bytes = u32::MAX);
    weights(0, |s| s.channels_offset = s.weights_offset);
    weights(0, |s| s.channels_bytes += 8);
    weights(1, |s| (s.weights_offset, s.weights_bytes) = (1 << 12, 16));
    weights(3, |s| s.weights_offset -= 256);
    weights(8, |s| s.channels_offset += 1 << 20);
    weights(8, |s| s.weight_layout = 1);
}

#[test]
fn overlapping_ranges_are_refused() {
    // An output on its input, by one byte or altogether.
    assert_eq!(refused(|m| m.tensors[1].offset = 176), ModelError::Overlap { step: 0 });
    assert_eq!(refused(|m| m.steps[2].record.output = 2), ModelError::Overlap { step: 2 });
    // In place without saying so, and saying so without being it.
    let undeclared = refused(|m| m.steps[3].record.flags = 0);
    assert_eq!(undeclared, ModelError::Overlap { step: 3 });
    assert_eq!(refused(|m| m.tensors[4].offset = 688), ModelError::Overlap { step: 3 });
    let alone = refused(|m| m.steps[0].record.flags = flags::IN_PLACE);
    assert_eq!(alone, ModelError::Overlap { step: 0 });
    let apart = refused(|m| m.steps[6].record.flags = flags::IN_PLACE);
    assert_eq!(apart, ModelError::Overlap { step: 6 });
}

#[test]
fn reading_what_is_not_there_is_refused() {
    // Never written, written later, overwritten since, and replaced in place.
    let swapped = refused(|m| m.steps.swap(1, 2));
    assert_eq!(swapped, ModelError::NotWritten { step: 1, tensor: 2 });
    let stem = refused(|m| m.input_tensor = 1);
    assert_eq!(stem, ModelError::NotWritten { step: 0, tensor: 0 });
    let overwritten = refused(|m| m.tensors[5].offset = 704);
    assert!(matches!(overwritten, ModelError::Overlap { step: 4 }));
    let overwritten = refused(|m| m.tensors[6].offset = 128);
    assert_eq!(overwritten, ModelError::NotWritten { step: 6, tensor: 5 });
    let replaced = refused(|m| m.steps[4].record.input = 2);
    assert_eq!(replaced, ModelError::NotWritten { step: 4, tensor: 2 });
}

#[test]
fn references_to_nothing_are_refused() {
    let step = |step: usize, change: fn(&mut StepRecord)| {
        let found = refused(|m| change(&mut m.steps[step].record));
        assert_eq!(found, ModelError::BadReference { step: step as u16 });
    };
    step(0, |s| s.input = 10);
    step(0, |s| s.output = u16::MAX);
    step(3, |s| s.operand = 999);
    step(0, |s| s.kind = 0);
    step(0, |s| s.kind = 7);
    // Logits into an int8 tensor, int8 into the logits.
    step(8, |s| s.output = 8);
    step(0, |s| s.output = 9);
    let fused = refused_step(0, |s| s.layer_count = 2);
    assert_eq!(fused, ModelError::BadReference { step: 0 });
    let twice = refused_step(4, |s| s.layer = 3);
    assert_eq!(twice, ModelError::BadReference { step: 4 });
    let ends = Err(ModelError::BadReference { step: 8 });
    assert_eq!(forged(|h| h.output_tensor = 8), ends);
    assert_eq!(forged(|h| h.layer_count = 8).map_err(|_| ()), Err(()));
}

#[test]
fn absurd_tensors_are_refused() {
    let tensor = |change: fn(&mut TensorRecord)| {
        let found = refused(|m| change(&mut m.tensors[1]));
        assert_eq!(found, ModelError::BadTensor { tensor: 1 });
    };
    tensor(|t| t.height = 0);
    tensor(|t| t.channels = 0);
    tensor(|t| t.channels = u32::MAX);
    tensor(|t| (t.height, t.width, t.channels) = (u16::MAX, u16::MAX, u32::MAX));
    tensor(|t| t.offset = 848);
    tensor(|t| t.offset = u32::MAX - 15);
    tensor(|t| t.offset = 200);
    tensor(|t| t.element = 2);
    tensor(|t| t.scale = 0.0);
    tensor(|t| t.scale = -1.0);
    tensor(|t| t.scale = f32::NAN);
    tensor(|t| t.scale = f32::INFINITY);
    tensor(|t| t.rows = t.height);
    let logits = refused(|m| m.tensors[9].zero_point = 1);
    assert_eq!(logits, ModelError::BadTensor { tensor: 9 });
}

#[test]
fn absurd_shapes_are_refused() {
    let shape = |step: usize, change: fn(&mut StepRecord)| {
        let found = refused(|m| change(&mut m.steps[step].record));
        assert_eq!(found, ModelError::BadShape { step: step as u16 });
    };
    for step in [0, 1, 7] {
        shape(step, |s| s.kernel = [0, 3]);
        shape(step, |s| s.kernel = [u16::MAX; 2]);
        shape(step, |s| s.strides = [0, 1]);
        shape(step, |s| s.dilations = [1, 0]);
        shape(step, |s| s.pads = [u16::MAX; 4]);
        shape(step, |s| s.pads = [0, 0, 3, 3]);
    }
    shape(0, |s| s.strides = [1, u16::MAX]);
    shape(1, |s| s.dilations = [2, 2]);
    shape(5, |s| s.groups = 0);
    shape(5, |s| s.groups = 3);
    shape(5, |s| s.groups = u32::MAX);
    shape(4, |s| s.strides = [0, 2]);
    shape(4, |s| s.strides = [1, 2]);
    shape(4, |s| s.channels_before = 5);
    shape(4, |s| s.channels_before = u32::MAX);
    shape(6, |s| s.operand = 4);
    shape(6, |s| (s.operand, s.operand_multiplier) = (format::NONE, 0));
    shape(1, |s| s.operand = 0);
    shape(8, |s| s.operand = 7);
    let wide = refused(|m| (m.tensors[9].width, m.tensors[9].channels) = (10, 1));
    assert_eq!(wide, ModelError::BadShape { step: 8 });
}

#[test]
fn constants_out_of_range_are_refused() {
    let constant = |step: usize, change: fn(&mut StepRecord)| {
        let found = refused(|m| change(&mut m.steps[step].record));
        assert_eq!(found, ModelError::BadConstant { step: step as u16 });
    };
    constant(0, |s| s.shift = 31);
    constant(0, |s| s.shift = u32::MAX);
    constant(0, |s| s.fraction_bits = 0);
    constant(7, |s| s.fraction_bits = 17);
    constant(0, |s| (s.clamp_min, s.clamp_max) = (1, 0));
    constant(0, |s| s.flags = 2);
    constant(0, |s| s.reserved_b = 1);
    constant(3, |s| s.operand_multiplier = 1 << 22);
    constant(3, |s| s.operand_multiplier = -1);
    constant(6, |s| s.input_multiplier = i32::MIN);
    // A residual's multiplier without a residual.
    constant(0, |s| s.operand_multiplier = 1);
    for multiplier in [3, -2, i32::MIN, i32::MAX] {
        for step in [0, 7, 8] {
            let found = refused(|m| m.steps[step].multipliers[0] = multiplier);
            assert_eq!(found, ModelError::BadConstant { step: step as u16 });
        }
    }
}

#[test]
fn false_layers_are_refused() {
    let shape = ModelError::BadShape { step: 2 };
    assert_eq!(refused_layer(|l| l.channels += 1), shape);
    assert_eq!(refused_layer(|l| l.height = 0), shape);
    assert_eq!(refused_layer(|l| l.macs += 1), shape);
    assert_eq!(refused_layer(|l| l.macs = u64::MAX), shape);
    let section = |found| assert!(matches!(found, ModelError::BadSection { .. }), "{found:?}");
    section(refused_layer(|l| l.name_offset = 0));
    section(refused_layer(|l| l.name_offset += 1));
    section(refused_layer(|l| l.name_bytes = u32::MAX));
    section(refused_layer(|l| l.name_bytes -= 1));
    // A terminal escape.
    section(refused(|m| m.steps[2].layer_name = "\u{1b}[2J".to_owned()));
    section(refused(|m| m.name = "two\nlines".to_owned()));
}

#[test]
fn a_name_that_is_not_text_is_refused() {
    let mut spec = small();
    // One character across the border of two names is no text for either.
    spec.steps[0].layer_name = "é".to_owned();
    let mut bytes = model::file(&spec);
    let at = header(&bytes).layers_offset as usize;
    let (first, second) = (at + 4, at + size_of::<LayerRecord>());
    let text = bytes.as_mut_slice();
    text[first] = 1;
    text[second] -= 1;
    text[second + 4] += 1;
    seal(text);
    let found = Model::new_checked(&bytes).unwrap_err();
    assert!(matches!(found, ModelError::BadSection { bytes: 1, .. }), "{found:?}");
}

#[test]
fn bad_preprocessing_is_refused() {
    type Record = fixnet::format::PreprocessRecord;
    let bad = |change: fn(&mut Record)| {
        let mut spec = model::small_with_mean_image();
        change(&mut spec.preprocess.as_mut().unwrap().record);
        assert_eq!(format::write(&spec).map(|_| ()), Err(ModelError::BadPreprocess));
    };
    bad(|p| p.bgr = 2);
    bad(|p| p.reserved[2] = 1);
    bad(|p| p.scale = f32::NAN);
    bad(|p| p.scale = 0.0);
    bad(|p| p.std[1] = 0.0);
    bad(|p| p.std[0] = f32::INFINITY);
    bad(|p| p.mean[2] = f32::NEG_INFINITY);
    bad(|p| (p.resize, p.crop) = (8, 9));
    let mut spec = model::small_with_mean_image();
    let preprocess = spec.preprocess.as_mut().unwrap();
    preprocess.mean_image.as_mut().unwrap().0[191] = f32::NAN;
    assert_eq!(format::write(&spec).map(|_| ()), Err(ModelError::BadPreprocess));
    // A mean image without its offsets, and images that are too short.
    let bytes = model::file(&model::small_with_mean_image());
    let at = header(&bytes).preprocess_offset as usize + 36;
    for (field, value) in [(0, 0), (4, 0), (0, u32::MAX), (4, header(&bytes).plan_bytes - 16)] {
        let mut forged = bytes.clone();
        forged.as_mut_slice()[at + field..][..4].copy_from_slice(&value.to_le_bytes());
        seal(forged.as_mut_slice());
        let found = Model::new_checked(&forged).unwrap_err();
        let typed = matches!(found, ModelError::BadPreprocess | ModelError::BadSection { .. });
        assert!(typed, "{found:?}");
    }
    // Red, green and blue need three channels.
    let gray = refused(|m| {
        m.tensors[0].channels = 1;
        m.steps[0].weights.truncate(8 * 9);
        m.steps[0].macs = 0;
    });
    assert_eq!(gray, ModelError::BadReference { step: 8 });
}

/// Two tensors of 2^28 elements fit any limit on size; a window of 2^20 taps over them does not.
#[test]
fn endless_work_is_refused() {
    let side = 1 << 14;
    let mut spec = small();
    spec.tensors[0] = model::tensor(0, [side, side, 1]);
    spec.tensors[1] = model::tensor(1 << 28, [side, side, 1]);
    spec.arena_bytes = u32::MAX;
    let window = StepRecord {
        kernel: [1023, 1023],
        pads: [511; 4],
        ..model::record(StepKind::MaxPool, 0, 1)
    };
    spec.steps[0] = model::step(window, 0, 0, 0, &mut support::Random::new(1));
    match format::write(&spec).map(|_| ()) {
        Err(ModelError::TooMuchWork { macs }) => assert!(macs > MAX_MACS),
        other => panic!("{other:?}"),
    }
}

// ---- Forged files by chance ---------------------------------------------------------------------

/// Work of a model as its own records tell it.
fn work(model: &Model<'_>) -> u64 {
    let step = |step: fixnet::format::Step<'_>| {
        let outputs = step.output.elements() as u64;
        outputs
            * match step.operator {
                Operator::Conv { shape, .. } => shape.patch_len() as u64,
                Operator::MaxPool { shape, .. } | Operator::AveragePool { shape, .. } => {
                    shape.kernel[0] as u64 * shape.kernel[1] as u64
                }
                Operator::Logits { .. } => step.input.elements() as u64,
                _ => 1,
            }
    };
    model.steps().map(step).sum()
}

/// A file that is accepted runs with every kernel set, inside its arena, to the same bytes,
/// whatever the arena held before. Returns whether it was accepted.
fn refuse_or_run(bytes: &AlignedBytes) -> bool {
    let model = match Model::new_checked(bytes) {
        Ok(model) => model,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let _ = (model.verify_weights(), model.name(), model.macs(), model.weight_bytes());
    assert_eq!(model.steps().count(), model.step_count());
    assert_eq!(model.layers().count(), model.step_count());
    let largest = KernelSet::available().map(|set| model.required(set).arena()).max().unwrap();
    if largest > 1 << 22 || work(&model) > 1 << 22 {
        return true;
    }
    let mut first: Option<(Vec<i32>, Vec<u32>)> = None;
    for (garbage, kernels) in [0x00, 0x7F, 0xFF].into_iter().zip(KernelSet::available()) {
        let mut arena = Guarded::new(model.required(kernels).arena());
        arena.as_mut_slice().fill(garbage);
        let mut session = Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap();
        let input = session.input_mut();
        let len = input.len();
        input.copy_from_slice(&model::input(len));
        if model.preprocess().is_some() {
            let rgb: Vec<u8> = model::input(len).iter().map(|&x| x as u8).collect();
            session.set_rgb(&rgb).unwrap();
        }
        let mut checksums = Checksums::<16>::new();
        let logits = session.run_with(&mut checksums).to_vec();
        arena.assert_intact();
        let found = (logits, checksums.values().to_vec());
        assert_eq!(first.get_or_insert_with(|| found.clone()), &found, "{}", kernels.name());
    }
    true
}

/// Every byte of the plan replaced by every kind of value, with the checksum put right.
#[test]
fn every_forged_byte_is_refused_or_runs() {
    let bytes = model::file(&small());
    let (plan_bytes, tables) = (header(&bytes).plan_bytes, header(&bytes).preprocess_offset + 56);
    let mut accepted = 0;
    for at in 0..plan_bytes.min(tables) as usize {
        let old = bytes[at];
        for new in [0, 1, 2, 3, 0x7F, 0x80, 0xFF, old ^ 0x10, old.wrapping_add(16)] {
            let mut forged = bytes.clone();
            forged.as_mut_slice()[at] = new;
            seal(forged.as_mut_slice());
            accepted += usize::from(new != old && refuse_or_run(&forged));
        }
    }
    // The test would prove little if it never got past the checker.
    assert!(accepted > 500, "{accepted} accepted");
}

fn field() -> impl Strategy<Value = (usize, u32)> {
    let value = prop_oneof![
        4 => 0..20u32,
        2 => (0..60u32).prop_map(|n| n * 16),
        1 => (0..32u32).prop_map(|bit| 1 << bit),
        1 => (0..32u32).prop_map(|bit| (1u32 << bit).wrapping_neg()),
        1 => any::<u32>(),
    ];
    (any::<usize>(), value)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(20_000)
    })]

    /// Several 16-bit fields of tensors, steps and layers replaced at once.
    #[test]
    fn forged_fields_are_refused_or_run(
        fields in prop::collection::vec(field(), 1..4), wide: bool, mean_image: bool, streamed: bool,
    ) {
        let mut spec = if mean_image { model::small_with_mean_image() } else { small() };
        spec.tensors[1].rows = if streamed { 4 } else { 0 };
        let mut bytes = model::file(&spec);
        let header = header(&bytes);
        let (from, to) = (header.tensors_offset as usize, header.plan_bytes as usize);
        for (at, value) in fields {
            let size = if wide { 4 } else { 2 };
            let at = from + at % ((to - from) / size) * size;
            bytes.as_mut_slice()[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
        seal(bytes.as_mut_slice());
        refuse_or_run(&bytes);
    }
}

/// Weights are never trusted: any will do, -128 included.
#[test]
fn arbitrary_weights_run_alike_with_all_kernels() {
    for fill in [i8::MIN, -1, 0, i8::MAX] {
        let mut spec = small();
        spec.steps.iter_mut().for_each(|step| step.weights.fill(fill));
        assert!(refuse_or_run(&model::file(&spec)));
    }
}
