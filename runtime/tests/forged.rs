//! Forged model files, with every checksum right: they get a typed error, or run within their bounds
//! to the same bytes with every kernel set.

mod support;

use fixnet::format::{
    self, CRC32, Header, LayerRecord, Limits, ModelSpec, Operator, StepKind, StepRecord, Target,
    TensorRecord, WeightLayout, flags,
};
use fixnet::profile::Checksums;
use fixnet::{AlignedBytes, KernelSet, Model, ModelError, Session};
use proptest::prelude::*;
use support::model::{self, header, large, small};
use support::{Guarded, Random};

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
    for (major, minor) in
        [(0, 0), (2, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (u16::MAX, u16::MAX)]
    {
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

/// A tensor is what was written under its number: another one that lies there exactly is not it, since it
/// may promise other values.
#[test]
fn a_tensor_by_another_number_is_refused() {
    for (step, tensor) in [(1, 1), (2, 2), (4, 4), (7, 7), (8, 8)] {
        let found = refused(|m| {
            let alias = m.tensors[tensor];
            m.tensors.push(alias);
            m.steps[step].record.input = 10;
        });
        assert_eq!(found, ModelError::NotWritten { step: step as u16, tensor: 10 });
    }
    let operand = refused(|m| {
        let alias = m.tensors[6];
        m.tensors.push(alias);
        m.steps[6].record.operand = 10;
    });
    assert_eq!(operand, ModelError::NotWritten { step: 6, tensor: 10 });
}

/// As many steps as a plan may have, to and fro between two places.
#[test]
fn the_longest_plan_is_checked_and_runs() {
    let mut spec = small();
    let map = [1, 1, 16];
    spec.tensors = vec![model::tensor(0, map), model::tensor(16, map), model::logits(32, 10)];
    (spec.arena_bytes, spec.preprocess, spec.output_tensor) = (72, None, 2);
    let random = &mut Random::new(1);
    let pool = |n: u16| model::record(StepKind::MaxPool, n % 2, (n + 1) % 2);
    let logits = model::record(StepKind::Logits, 1, 2);
    spec.steps = (0..1023).map(|n| model::step(pool(n), 0, 0, 0, random)).collect();
    spec.steps.push(model::step(logits, 0, 160, 10, random));
    assert!(refuse_or_run(&model::file(&spec)));
    spec.steps.insert(0, model::step(pool(1), 0, 0, 0, random));
    let found = format::write(&spec).map(|_| ());
    assert_eq!(found, Err(ModelError::BadCount { count: 1025 }));
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
    constant(1, |s| s.flags = 2);
    constant(7, |s| s.flags = 4);
    // An average that excludes its padding has as many constants as taps.
    let few = refused(|m| m.steps[7].record.flags = 2);
    assert_eq!(few, ModelError::BadWeights { step: 7 });
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

/// `side` x `side` x 64 through one `first` step, an average over the whole map, and logits.
fn heavy(first: StepRecord, side: u32) -> ModelSpec {
    let random = &mut Random::new(1);
    let map = [side, side, 64];
    let bytes = side * side * 64;
    let conv = first.kind == StepKind::Conv as u8;
    let (weights, channels) = if conv { (64 * 9 * 64, 64) } else { (0, 0) };
    let average =
        StepRecord { kernel: [side as u16; 2], ..model::record(StepKind::AveragePool, 1, 2) };
    let logits = model::record(StepKind::Logits, 2, 3);
    let mut steps = vec![
        model::step(first, 0, weights, channels, random),
        model::step(average, 0, 0, 1, random),
        model::step(logits, 0, 64, 1, random),
    ];
    for (step, name) in steps.iter_mut().zip(["first", "average", "fc"]) {
        step.layer_name = name.to_owned();
    }
    ModelSpec {
        tensors: vec![
            model::tensor(0, map),
            model::tensor(bytes, map),
            model::tensor(0, [1, 1, 64]),
            model::logits(64, 1),
        ],
        steps,
        output_tensor: 3,
        arena_bytes: 2 * bytes,
        preprocess: None,
        ..small()
    }
}

/// What a layer table says of itself is not believed.
#[test]
fn work_is_counted_from_the_steps() {
    let mut spec = small();
    spec.steps.iter_mut().for_each(|step| step.macs = 0);
    let file = model::file(&spec);
    let model = Model::new_checked(&file).unwrap();
    assert_eq!(model.macs(), 13_824 + 9_216 + 9_216 + 864 + 120);
    assert_eq!(model.elements(), 512 + 1_152 + 128 + 128 + 48 + 48 + 48 + 48 + 10);
    assert_eq!(model.layers().map(|layer| layer.macs).sum::<u64>(), model.macs());
    assert_eq!(model.macs() + model.elements(), work(&model) + 816 + 10);
}

/// What is needed passes, one less is refused with both figures.
#[test]
fn limits_are_exact() {
    let file = model::file(&small());
    let check = |limits: Limits| Model::new_checked_with(&file, &limits).map(|_| ());
    let model = Model::new_checked(&file).unwrap();
    let (macs, elements, arena) = (model.macs(), model.elements(), model::SMALL_ARENA as usize);
    let limits = Limits::DEFAULT.with_macs(macs).with_elements(elements).with_arena(arena);
    assert_eq!(check(limits), Ok(()));
    let fewer = check(limits.with_macs(macs - 1)).unwrap_err();
    assert_eq!(fewer, ModelError::TooMuchWork { needed: macs, limit: macs - 1 });
    let fewer = check(limits.with_elements(elements - 1)).unwrap_err();
    assert_eq!(fewer, ModelError::TooManyElements { needed: elements, limit: elements - 1 });
    let less = check(limits.with_arena(arena - 1)).unwrap_err();
    assert_eq!(less, ModelError::ArenaTooLarge { needed: arena, limit: arena - 1 });
}

/// Each of these would run for minutes, whatever it claims.
#[test]
fn endless_work_is_refused() {
    let conv = model::window(model::record(StepKind::Conv, 0, 1), 1);
    let file = model::file(&heavy(conv, 2048));
    let limit = Limits::DEFAULT.macs;
    let needed = 2048 * 2048 * 64 * 576 + 64;
    let refused = Model::new_checked(&file).unwrap_err();
    assert_eq!(refused, ModelError::TooMuchWork { needed, limit });
    let allowed = Limits::DEFAULT.with_macs(needed);
    assert_eq!(Model::new_checked_with(&file, &allowed).unwrap().macs(), needed);

    let pool =
        StepRecord { kernel: [63, 63], pads: [31; 4], ..model::record(StepKind::MaxPool, 0, 1) };
    let file = model::file(&heavy(pool, 1024));
    let limit = Limits::DEFAULT.elements;
    let needed = (1024 * 1024 * 64) * (63 * 63 + 1) + 1;
    let refused = Model::new_checked(&file).unwrap_err();
    assert_eq!(refused, ModelError::TooManyElements { needed, limit });
}

/// A small file may not ask for all of a machine's memory.
#[test]
fn an_arena_beyond_the_limit_is_refused() {
    let file = model::file(&ModelSpec { arena_bytes: u32::MAX, ..small() });
    let (needed, limit) = (u32::MAX as usize, Limits::DEFAULT.arena);
    let refused = Model::new_checked(&file).unwrap_err();
    assert_eq!(refused, ModelError::ArenaTooLarge { needed, limit });
}

// ---- By chance ----------------------------------------------------------------------------------

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
    let _ = (model.verify_weights(), model.name(), model.weight_bytes());
    assert!(model.macs() <= work(&model));
    assert_eq!(model.steps().count(), model.step_count());
    assert_eq!(model.layers().count(), model.step_count());
    let largest = KernelSet::available().map(|set| model.required(set).arena()).max().unwrap();
    if largest > 1 << 22 || work(&model) > 1 << 22 {
        return true;
    }
    let mut first: Option<(Vec<i32>, Vec<u32>)> = None;
    let garbage = [0x00, 0x7F, 0xFF].into_iter().cycle();
    for (garbage, kernels) in garbage.zip(KernelSet::available()) {
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
        let logits = session.run_with(&mut checksums).unwrap().to_vec();
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

/// Packed weights are not trusted either: whatever their bytes are, nothing is read or written outside.
#[test]
fn arbitrary_packed_weights_run_within_their_bounds() {
    let mut spec = large();
    (spec.steps[0].record.clamp_min, spec.steps[0].record.clamp_max) = (-128, -1);
    spec.steps.iter_mut().flat_map(|step| &mut step.weights).for_each(|weight| *weight /= 2);
    let mut ran = 0;
    for (target, layout) in Target::ALL.into_iter().flat_map(|t| WeightLayout::ALL.map(|l| (t, l)))
    {
        let layouts = [WeightLayout::Ohwi, layout];
        let Some(mut packed) = spec.pack(target, &layouts) else { continue };
        for seed in 0..4 {
            let mut random = Random::new(seed);
            for weight in &mut packed.steps[1].weights {
                // Small and large numbers in turn, where a layout keeps numbers of places.
                *weight = if seed % 2 == 0 { random.i8() } else { (random.i8() as u8 >> 7) as i8 };
            }
            ran += run_in_bounds(&model::file(&packed), target);
        }
    }
    assert!(ran > 0);
}

/// Runs with every set that there is for the target; returns how many there were.
fn run_in_bounds(file: &AlignedBytes, target: Target) -> usize {
    let model = Model::new_checked(file).unwrap();
    let sets = KernelSet::available().filter(|set| set.family().runs(target));
    sets.map(|kernels| {
        let mut arena = Guarded::new(model.required(kernels).arena());
        let mut session = Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap();
        let values = model::input(session.input_mut().len());
        session.input_mut().copy_from_slice(&values);
        session.run().unwrap();
        arena.assert_intact();
    })
    .count()
}
