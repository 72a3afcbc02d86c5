//! What is inconsistent in one place is refused with the error that names it.

use fixnet::format::{self, Header, LayerRecord, ModelSpec, StepRecord, TensorRecord, flags};
use fixnet::{Model, ModelError};

use crate::seal;
use crate::support::model::{self, header, small};

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
    for (major, minor) in [
        (0, 0),
        (2, 0),
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (1, 5),
        (1, 6),
        (1, 7),
        (1, 8),
        (1, 9),
        (u16::MAX, u16::MAX),
    ] {
        assert_eq!(version(major, minor), ModelError::UnsupportedVersion { major, minor });
    }
    let target = forged(|h| h.target = 9).unwrap_err();
    assert_eq!(target, ModelError::UnsupportedTarget { target: 9 });
    assert_eq!(forged(|h| h.reserved = 1), Err(ModelError::ReservedNotZero));
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
    for count in [0, 4097, u16::MAX] {
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

/// Tables, products and concatenations.
#[test]
fn gates_that_do_not_fit_are_refused() {
    let refused = |change: &dyn Fn(&mut ModelSpec)| {
        let mut spec = model::gated();
        change(&mut spec);
        format::write(&spec).map(|_| ()).expect_err("an inconsistent model was accepted")
    };
    let step = |step: usize, change: fn(&mut StepRecord)| {
        refused(&|m: &mut ModelSpec| change(&mut m.steps[step].record))
    };
    // Half a table, tables of other channels, none.
    for length in [128, 512, 0] {
        let found = refused(&|m: &mut ModelSpec| m.steps[0].weights.resize(length, 0));
        assert_eq!(found, ModelError::BadWeights { step: 0 }, "{length}");
    }
    // A table in place of something else, or onto a part of its input.
    assert_eq!(step(0, |s| s.flags = flags::IN_PLACE), ModelError::Overlap { step: 0 });
    assert_eq!(step(1, |s| s.flags = 0), ModelError::Overlap { step: 1 });
    let shifted = refused(&|m: &mut ModelSpec| m.tensors[2].offset += 16);
    assert_eq!(shifted, ModelError::Overlap { step: 1 });
    assert_eq!(step(1, |s| s.operand = 0), ModelError::BadShape { step: 1 });
    // Operands of a product: none, of other channels, one row.
    assert_eq!(step(3, |s| s.operand = format::NONE), ModelError::BadShape { step: 3 });
    for shape in [[1, 1, 7], [1, 6, 8], [6, 1, 8]] {
        let found = refused(&|m: &mut ModelSpec| m.tensors[3] = model::tensor(576, shape));
        assert!(matches!(found, ModelError::BadShape { step: 2 }), "{shape:?}: {found}");
        let found = refused(&|m: &mut ModelSpec| {
            m.tensors.push(model::tensor(1744, shape));
            m.steps[3].record.operand = 10;
            m.arena_bytes = 1792;
        });
        assert_eq!(found, ModelError::BadShape { step: 3 }, "{shape:?}");
    }
    // One value a channel is not replaced by a map.
    assert_eq!(step(3, |s| s.flags = flags::IN_PLACE), ModelError::Overlap { step: 3 });
    let channels = refused(&|m: &mut ModelSpec| {
        m.steps[4].bias.push(0);
        m.steps[4].multipliers.push(0);
    });
    assert_eq!(channels, ModelError::BadWeights { step: 4 });
    // Inputs of a concatenation: too few, too many, unknown, not written, wide, the output itself, of
    // another extent.
    let others = |others: &[u16]| refused(&|m: &mut ModelSpec| m.steps[6].others = others.to_vec());
    assert_eq!(others(&[6]), ModelError::BadShape { step: 6 });
    assert_eq!(others(&[]), ModelError::BadShape { step: 6 });
    assert_eq!(others(&[6, 4, 4]), ModelError::BadShape { step: 6 });
    assert_eq!(others(&[6, 10]), ModelError::BadReference { step: 6 });
    assert_eq!(others(&[6, 9]), ModelError::BadReference { step: 6 });
    assert_eq!(others(&[6, 0]), ModelError::NotWritten { step: 6, tensor: 0 });
    assert_eq!(others(&[6, 7]), ModelError::Overlap { step: 6 });
    assert_eq!(others(&[6, 3]), ModelError::BadShape { step: 6 });
    let multiplier = refused(&|m: &mut ModelSpec| m.steps[6].multipliers[23] = -2);
    assert_eq!(multiplier, ModelError::BadConstant { step: 6 });
}

/// The table of further inputs is used up, step after step.
#[test]
fn further_inputs_lie_back_to_back() {
    let forged = |change: &dyn Fn(&mut Header, &mut StepRecord)| {
        let mut bytes = model::file(&model::gated());
        let mut head = header(&bytes);
        let at = head.steps_offset as usize + 6 * size_of::<StepRecord>();
        let steps = at..at + size_of::<StepRecord>();
        let mut step: StepRecord =
            zerocopy::FromBytes::read_from_bytes(&bytes[steps.clone()]).unwrap();
        change(&mut head, &mut step);
        bytes.as_mut_slice()[steps].copy_from_slice(zerocopy::IntoBytes::as_bytes(&step));
        bytes.as_mut_slice()[..size_of::<Header>()]
            .copy_from_slice(zerocopy::IntoBytes::as_bytes(&head));
        seal(bytes.as_mut_slice());
        Model::new_checked(&bytes).map(|_| ())
    };
    assert_eq!(forged(&|_, _| ()), Ok(()));
    let reference = Err(ModelError::BadReference { step: 6 });
    assert_eq!(forged(&|_, step| step.channels_before = 1), reference);
    assert_eq!(forged(&|_, step| step.groups = 3), reference);
    assert_eq!(forged(&|_, step| step.groups = 1), Err(ModelError::BadShape { step: 6 }));
    assert_eq!(forged(&|h, _| h.other_count = 3), Err(ModelError::BadCount { count: 3 }));
    assert_eq!(forged(&|h, _| h.other_count = 1), reference);
    let none = forged(&|h, _| h.other_count = 0);
    assert!(matches!(none, Err(ModelError::BadSection { bytes: 0, .. })), "{none:?}");
    let nowhere = forged(&|h, _| h.others_offset = 0);
    assert_eq!(nowhere, Err(ModelError::BadSection { offset: 0, bytes: 4 }));
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
    step(0, |s| s.kind = 10);
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
    // No image has two channels.
    let two = refused(|m| {
        m.tensors[0].channels = 2;
        m.steps[0].weights.truncate(8 * 9 * 2);
        m.steps[0].macs = 0;
    });
    assert_eq!(two, ModelError::BadReference { step: 8 });
    let refused = |spec: &ModelSpec| format::write(spec).map(|_| ());
    // Grey has no order of colours, and alpha a deviation.
    let mut grey = model::image_of(1, false);
    grey.preprocess.as_mut().unwrap().record.bgr = 1;
    assert_eq!(refused(&grey), Err(ModelError::BadPreprocess));
    for std in [0.0, -1.0, f32::NAN] {
        let mut rgba = model::image_of(4, false);
        rgba.preprocess.as_mut().unwrap().alpha.as_mut().unwrap().std = std;
        assert_eq!(refused(&rgba), Err(ModelError::BadPreprocess));
    }
    // An image of four channels whose record ends with the plan before alpha's.
    let mut short = model::file(&model::image_of(4, false));
    let at = header(&short).plan_bytes - 824;
    let offset = std::mem::offset_of!(format::Header, preprocess_offset);
    short.as_mut_slice()[offset..][..4].copy_from_slice(&at.to_le_bytes());
    seal(short.as_mut_slice());
    let found = Model::new_checked(&short).unwrap_err();
    assert!(matches!(found, ModelError::BadSection { .. }), "{found:?}");
}
