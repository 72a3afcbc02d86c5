//! Everything that must hold before a step may run, checked once.
//!
//! The order matters: the header before the tables, the tables before the tensors, the tensors
//! before the steps, so that no check reads what an earlier one has not vouched for. All sizes are
//! computed in 64 bits and cannot overflow: a dimension has at most 32 bits and products of more
//! than two are bounded step by step.
//!
//! Images, where it runs once and code is scarce, have these functions built as cold ones are: for size.

mod float_parts;
mod flow;
mod outputs;
mod shapes;

use zerocopy::FromBytes;

use super::section::{blob_fits, plan_section, table};
use super::step::conv_shape;
use super::version::{Contents, lowest_minor};
use super::{
    ALIGNMENT, Activation, AlphaRecord, CRC32, FloatPartKind, Header, Limits, MAGIC, Model, NONE,
    PreprocessRecord, StepKind, StepRecord, Target, VERSION_MAJOR, VERSION_MINOR, WeightForm,
    WeightLayout, Work, flags,
};
use crate::error::ModelError;
use crate::layouts;
use crate::numerics::{FRACTION_BITS, MAX_OPERAND_MULTIPLIER, MAX_SHIFT, TABLE_ENTRIES};
use crate::preprocess::is_image;

/// Bytes of the header that its checksum does not cover: itself and what precedes it.
const UNCHECKED_PREFIX: usize = 16;
/// Largest tensor in bytes.
const MAX_TENSOR_BYTES: u64 = 1 << 30;

impl<'m> Model<'m> {
    /// Checks a model file completely, but for the checksums of the weights
    /// ([`Model::verify_weights`]).
    ///
    /// After it nothing that the runtime does with this model can panic, read out of bounds or run
    /// without end, whatever the weights are.
    ///
    /// The model's work and memory are within [`Limits::DEFAULT`].
    ///
    /// # Errors
    /// A [`ModelError`] that says what is wrong and where.
    pub fn new_checked(bytes: &'m [u8]) -> Result<Self, ModelError> {
        Self::new_checked_with(bytes, &Limits::DEFAULT)
    }

    /// [`Model::new_checked`] with other limits on work and memory.
    ///
    /// # Errors
    /// As [`Model::new_checked`]; [`ModelError::TooMuchWork`], [`ModelError::TooManyElements`] and
    /// [`ModelError::ArenaTooLarge`] say what is needed and which limit it exceeds.
    pub fn new_checked_with(bytes: &'m [u8], limits: &Limits) -> Result<Self, ModelError> {
        // Flash may not hold what the compiler saw in an included file: without this it may decide
        // the checks of a constant at build time.
        check(core::hint::black_box(bytes), limits)
    }
}

#[cfg_attr(not(feature = "std"), cold)]
fn check<'m>(bytes: &'m [u8], limits: &Limits) -> Result<Model<'m>, ModelError> {
    let header = check_header(bytes)?;
    limits.check_arena(header.arena_bytes as usize)?;
    let parts = float_parts::table(bytes, header)?;
    let mut model = Model {
        bytes,
        header,
        tensors: &[],
        steps: &[],
        layers: &[],
        float_parts: parts,
        others: &[],
        outputs: &[],
    };
    if float_parts::is_whole(parts) {
        check_no_plan(header)?;
    } else {
        model.tensors = table(bytes, header, header.tensors_offset, header.tensor_count)?;
        model.steps = table(bytes, header, header.steps_offset, header.step_count)?;
        model.layers = table(bytes, header, header.layers_offset, header.layer_count)?;
        model.others = others(bytes, header)?;
        model.outputs = outputs::table(bytes, header)?;
    }
    check_version(&model)?;
    check_tensors(&model)?;
    check_names(&model)?;
    check_preprocess(&model)?;
    let mut work = Work::default();
    let mut free = u64::from(header.plan_bytes);
    let mut others = 0;
    let mut intact = flow::Intact::new(&model);
    for (index, record) in model.steps.iter().enumerate() {
        let step_work = check_step(&model, index as u16, record, &mut free)?;
        shapes::check_others(&model, index as u16, record, &mut others)?;
        work = work.plus(step_work);
        check_layer(&model, index, record, step_work)?;
        flow::check_streaming(&model, index, record)?;
        intact.pass(&model, index, record)?;
    }
    float_parts::check(&model, limits, &mut free)?;
    if others != model.others.len() {
        return Err(ModelError::BadCount { count: header.other_count });
    }
    check_ends(&model)?;
    outputs::check(&model, &intact)?;
    limits.check_work(work)?;
    Ok(model)
}

/// A network that is float as a whole has no plan.
#[cfg_attr(not(feature = "std"), cold)]
fn check_no_plan(header: &Header) -> Result<(), ModelError> {
    let Header { tensor_count, step_count, layer_count, other_count, output_count, .. } = *header;
    for count in [tensor_count, step_count, layer_count, other_count, output_count] {
        if count != 0 {
            return Err(ModelError::BadCount { count });
        }
    }
    let Header { tensors_offset, steps_offset, layers_offset, .. } = *header;
    let Header { others_offset, outputs_offset, .. } = *header;
    for offset in [tensors_offset, steps_offset, layers_offset, others_offset, outputs_offset] {
        if offset != 0 {
            return Err(ModelError::BadSection { offset, bytes: 0 });
        }
    }
    let tensors = (header.input_tensor, header.output_tensor, header.arena_bytes);
    if tensors == (NONE, NONE, 0) { Ok(()) } else { Err(ModelError::BadTensor { tensor: NONE }) }
}

/// The tensors that concatenations read behind their first; most files have none.
fn others<'m>(bytes: &'m [u8], header: &Header) -> Result<&'m [u16], ModelError> {
    let (offset, len) = (header.others_offset, u32::from(header.other_count) * 2);
    if (offset == 0) != (len == 0) {
        return Err(ModelError::BadSection { offset, bytes: len });
    }
    if len == 0 {
        return Ok(&[]);
    }
    let section = plan_section(bytes, header, offset, len)?;
    <[u16]>::ref_from_bytes(section).map_err(|_| ModelError::BadSection { offset, bytes: len })
}

#[cfg_attr(not(feature = "std"), cold)]
fn check_header(bytes: &[u8]) -> Result<&Header, ModelError> {
    let available = bytes.len();
    if bytes.get(..MAGIC.len()).is_some_and(|magic| magic != MAGIC) {
        return Err(ModelError::BadMagic);
    }
    if available < size_of::<Header>() {
        return Err(ModelError::Length { needed: size_of::<Header>(), available });
    }
    let address = bytes.as_ptr() as usize;
    let misaligned = ModelError::Misaligned { needed: ALIGNMENT, address };
    if !address.is_multiple_of(ALIGNMENT) {
        return Err(misaligned);
    }
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| misaligned)?;
    let (major, minor) = (header.version_major, header.version_minor);
    if major != VERSION_MAJOR || minor > VERSION_MINOR {
        return Err(ModelError::UnsupportedVersion { major, minor });
    }
    let needed = header.file_bytes as usize;
    if needed != available {
        return Err(ModelError::Length { needed, available });
    }
    let plan = bytes.get(UNCHECKED_PREFIX..header.plan_bytes as usize);
    let plan = plan.filter(|p| p.len() >= size_of::<Header>() - UNCHECKED_PREFIX);
    let Some(plan) = plan else {
        return Err(ModelError::BadSection { offset: 0, bytes: header.plan_bytes });
    };
    let (expected, found) = (header.plan_crc32, CRC32.checksum(plan));
    if expected != found {
        return Err(ModelError::PlanChecksum { expected, found });
    }
    if (header.reserved, header.reserved_h) != (0, 0) {
        return Err(ModelError::ReservedNotZero);
    }
    let target = Target::from_code(header.target);
    if !target.is_some_and(|target| target.is_known() && minor >= target.since()) {
        return Err(ModelError::UnsupportedTarget { target: header.target });
    }
    Ok(header)
}

/// A file has the lowest version that can express it.
#[cfg_attr(not(feature = "std"), cold)]
fn check_version(model: &Model<'_>) -> Result<(), ModelError> {
    let Header { version_major: major, version_minor: minor, target, .. } = *model.header;
    let image = (model.header.preprocess_offset != 0).then(|| model.image_shape()[2]);
    let contents = Contents {
        target,
        tensors: model.tensors,
        steps: model.steps,
        float_parts: model.float_parts.len(),
        image_channels: image,
        outputs: !model.outputs.is_empty() || model.header.labels_bytes != 0,
    };
    if minor == lowest_minor(contents) {
        return Ok(());
    }
    Err(ModelError::UnsupportedVersion { major, minor })
}

#[cfg_attr(not(feature = "std"), cold)]
fn check_tensors(model: &Model<'_>) -> Result<(), ModelError> {
    for (index, record) in model.tensors.iter().enumerate() {
        let tensor = index as u16;
        let error = ModelError::BadTensor { tensor };
        let plane = u64::from(record.height) * u64::from(record.width);
        let elements = plane.checked_mul(u64::from(record.channels)).ok_or(error)?;
        if elements == 0 || elements > MAX_TENSOR_BYTES || record.element > 1 {
            return Err(error);
        }
        let row = u64::from(record.width) * u64::from(record.channels);
        let rows = if record.rows == 0 { record.height } else { record.rows };
        let bytes = row * u64::from(rows) * if record.element == 1 { 4 } else { 1 };
        let end = u64::from(record.offset) + bytes;
        let aligned = (record.offset as usize).is_multiple_of(ALIGNMENT);
        if !aligned || end > u64::from(model.header.arena_bytes) {
            return Err(error);
        }
        // Logits have no zero point.
        let zero_point = record.element == 0 || record.zero_point == 0;
        let scale = record.scale.is_finite() && record.scale > 0.0;
        let rows = record.rows == 0 || (record.rows < record.height && record.element == 0);
        if !zero_point || !scale || !rows {
            return Err(error);
        }
    }
    Ok(())
}

/// The names lie back to back, which bounds the work of reading them, and can be printed.
#[cfg_attr(not(feature = "std"), cold)]
fn check_names(model: &Model<'_>) -> Result<(), ModelError> {
    let header = model.header;
    let section = plan_section(model.bytes, header, header.names_offset, header.names_bytes)?;
    let mut rest = (header.names_offset, section);
    check_name(&mut rest, header.names_offset, header.model_name_bytes)?;
    for layer in model.layers {
        check_name(&mut rest, layer.name_offset, layer.name_bytes)?;
    }
    for output in model.outputs {
        check_name(&mut rest, output.name_offset, output.name_bytes)?;
    }
    match rest {
        (_, []) => Ok(()),
        (offset, left) => Err(ModelError::BadSection { offset, bytes: left.len() as u32 }),
    }
}

/// The next name is at the start of what is left.
#[cfg_attr(not(feature = "std"), cold)]
fn check_name(rest: &mut (u32, &[u8]), offset: u32, bytes: u32) -> Result<(), ModelError> {
    let error = ModelError::BadSection { offset, bytes };
    let (next, left) = *rest;
    let (name, after) = left.split_at_checked(bytes as usize).ok_or(error)?;
    if offset != next || !is_printable(name, None) {
        return Err(error);
    }
    // Cannot wrap: the name lies in the section.
    *rest = (next.wrapping_add(bytes), after);
    Ok(())
}

/// Whether it is text without control characters, but for one.
#[cfg_attr(not(feature = "std"), cold)]
fn is_printable(text: &[u8], but: Option<char>) -> bool {
    let printable = |c: char| !c.is_control() || Some(c) == but;
    core::str::from_utf8(text).is_ok_and(|text| text.chars().all(printable))
}

#[cfg_attr(not(feature = "std"), cold)]
fn check_preprocess(model: &Model<'_>) -> Result<(), ModelError> {
    let header = model.header;
    let offset = header.preprocess_offset;
    if offset == 0 {
        return Ok(());
    }
    let [height, width, channels] = model.image_shape();
    let alpha_len = if channels == 4 { size_of::<AlphaRecord>() } else { 0 };
    let len = (size_of::<PreprocessRecord>() + alpha_len) as u32;
    let bytes = plan_section(model.bytes, header, offset, len)?;
    let error = ModelError::BadSection { offset, bytes: len };
    let (record, _) = PreprocessRecord::ref_from_prefix(bytes).map_err(|_| error)?;
    let positive = |value: f32| value.is_finite() && value > 0.0;
    let recipe = positive(record.scale)
        && record.std.iter().all(|&std| positive(std))
        && record.mean.iter().all(|mean| mean.is_finite());
    let alpha = model.alpha().is_none_or(|a| positive(a.std) && a.mean.is_finite());
    let crop = record.resize == 0 || record.crop <= record.resize;
    let order = record.bgr <= u8::from(channels > 1);
    if !recipe || !alpha || !crop || !order || record.reserved != [0; 3] {
        return Err(ModelError::BadPreprocess);
    }
    match (record.mean_image_offset, record.pixel_offsets) {
        (0, 0) => Ok(()),
        (0, _) | (_, 0) => Err(ModelError::BadPreprocess),
        (mean, offsets) => {
            let pixels = u32::try_from(height as u64 * width as u64).map_err(|_| error)?;
            let pixel = u32::try_from(channels as u64 * 4).map_err(|_| error)?;
            let len = pixels.checked_mul(pixel).filter(|&len| len > 0).ok_or(error)?;
            plan_section(model.bytes, header, offsets, len)?;
            let mean = plan_section(model.bytes, header, mean, len)?;
            let mean = <[f32]>::ref_from_bytes(mean).map_err(|_| error)?;
            let finite = mean.iter().all(|value| value.is_finite());
            if finite { Ok(()) } else { Err(ModelError::BadPreprocess) }
        }
    }
}

/// Checks one step by itself and returns its work; `free` is the first byte behind all weights so
/// far.
#[cfg_attr(not(feature = "std"), cold)]
fn check_step(
    model: &Model<'_>,
    step: u16,
    record: &StepRecord,
    free: &mut u64,
) -> Result<Work, ModelError> {
    let reference = ModelError::BadReference { step };
    let kind = StepKind::from_code(record.kind).ok_or(reference)?;
    let input = model.activation(record.input).ok_or(reference)?;
    let output = model.activation(record.output).ok_or(reference)?;
    let operand = match record.operand {
        NONE => None,
        tensor => Some(model.activation(tensor).ok_or(reference)?),
    };
    if input.wide || operand.is_some_and(|o| o.wide) || output.wide != (kind == StepKind::Logits) {
        return Err(reference);
    }
    check_overlap(step, record, kind, &input, operand.as_ref(), &output)?;
    shapes::check_operands(step, kind, &input, operand.as_ref(), &output)?;
    shapes::check_shape(step, record, kind, &input, &output)?;
    check_weights(model, step, record, kind, (&input, &output), free)?;
    check_constants(model, step, record, kind)?;
    Ok(Work::for_step(record, kind, &input, &output))
}

/// Each step computes the next layer of the list, and the list says so truthfully.
///
/// Steps of several layers are left to a later version.
#[cfg_attr(not(feature = "std"), cold)]
fn check_layer(
    model: &Model<'_>,
    index: usize,
    record: &StepRecord,
    work: Work,
) -> Result<(), ModelError> {
    let step = index as u16;
    if record.layer != step || record.layer_count != 1 {
        return Err(ModelError::BadReference { step });
    }
    let reference = ModelError::BadReference { step };
    let layer = model.layers.get(index).ok_or(reference)?;
    let output = model.activation(record.output).ok_or(reference)?;
    let shape = [layer.height.into(), layer.width.into(), layer.channels as usize];
    if shape != output.shape() || layer.macs > work.macs.max(work.elements) {
        return Err(ModelError::BadShape { step });
    }
    Ok(())
}

/// Only an in-place step may write where it reads, and only onto its operand, exactly; a table onto its input.
#[cfg_attr(not(feature = "std"), cold)]
fn check_overlap(
    step: u16,
    record: &StepRecord,
    kind: StepKind,
    input: &Activation,
    operand: Option<&Activation>,
    output: &Activation,
) -> Result<(), ModelError> {
    let in_place = record.flags & flags::IN_PLACE != 0;
    if in_place && kind == StepKind::Lookup {
        let exact = input.range() == output.range();
        return if exact { Ok(()) } else { Err(ModelError::Overlap { step }) };
    }
    let onto_operand = operand.is_some_and(|o| o.overlaps(output));
    let exact = operand.is_some_and(|o| o.range() == output.range());
    if input.overlaps(output) || (in_place && !exact) || (!in_place && onto_operand) {
        return Err(ModelError::Overlap { step });
    }
    Ok(())
}

#[cfg_attr(not(feature = "std"), cold)]
fn check_constants(
    model: &Model<'_>,
    step: u16,
    record: &StepRecord,
    kind: StepKind,
) -> Result<(), ModelError> {
    let error = ModelError::BadConstant { step };
    let in_range = |m: i32| (0..=MAX_OPERAND_MULTIPLIER).contains(&m);
    let multipliers = in_range(record.operand_multiplier) && in_range(record.input_multiplier);
    let lonely = record.operand == NONE && record.operand_multiplier != 0;
    let known = match kind {
        StepKind::AveragePool => flags::IN_PLACE | flags::EXCLUDE_PADDING,
        _ => flags::IN_PLACE,
    };
    let flags = record.flags & !known == 0 && record.reserved_b == 0;
    let clamp = record.clamp_min <= record.clamp_max;
    if !multipliers || lonely || !flags || !clamp || record.shift > MAX_SHIFT {
        return Err(error);
    }
    if !has_channels(kind) {
        return Ok(());
    }
    let requantizes = kind != StepKind::Logits;
    if requantizes && !FRACTION_BITS.contains(&record.fraction_bits.into()) {
        return Err(error);
    }
    let channels = model.channels(record).ok_or(ModelError::BadWeights { step })?;
    if channels.multipliers.iter().any(|&m| m < 0 || m % 2 != 0) {
        return Err(error);
    }
    Ok(())
}

const fn has_channels(kind: StepKind) -> bool {
    matches!(
        kind,
        StepKind::Conv
            | StepKind::AveragePool
            | StepKind::Logits
            | StepKind::Multiply
            | StepKind::Concat
    )
}

#[cfg_attr(not(feature = "std"), cold)]
fn check_weights(
    model: &Model<'_>,
    step: u16,
    record: &StepRecord,
    kind: StepKind,
    (input, output): (&Activation, &Activation),
    free: &mut u64,
) -> Result<(), ModelError> {
    let outputs = output.channels as u64;
    let error = ModelError::BadWeights { step };
    let layout = WeightLayout::from_code(record.weight_layout).ok_or(error)?;
    if layout != WeightLayout::Ohwi && kind != StepKind::Conv {
        return Err(error);
    }
    let (weights, channels) = match kind {
        StepKind::Conv => {
            let form = WeightForm { target: model.target(), layout };
            let range = model.value_range(usize::from(step), input);
            let shape = conv_shape(record, (input, range), output);
            (layouts::weights_bytes(form, &shape).ok_or(error)?, outputs)
        }
        StepKind::Logits => (outputs.saturating_mul(input.elements() as u64), outputs),
        StepKind::AveragePool if record.excludes_padding() => {
            (0, u64::from(record.kernel[0]) * u64::from(record.kernel[1]))
        }
        StepKind::AveragePool | StepKind::Multiply => (0, 1),
        StepKind::Lookup => {
            // One for all channels, or one for each.
            let one = TABLE_ENTRIES as u64;
            let each = one * u64::from(u64::from(record.weights_bytes) != one);
            (one.max(each * outputs), 0)
        }
        StepKind::Concat => (outputs, outputs),
        _ => (0, 0),
    };
    let fits = u64::from(record.weights_bytes) == weights
        && u64::from(record.channels_bytes) == channels.saturating_mul(8)
        && blob_fits(model.header, record.weights_offset, record.weights_bytes, free)
        && blob_fits(model.header, record.channels_offset, record.channels_bytes, free);
    if fits { Ok(()) } else { Err(error) }
}

/// The plan begins with its int8 input and ends with its i32 logits, with anything that a float tail
/// takes, or with an output of the table; an image has the channels of one.
#[cfg_attr(not(feature = "std"), cold)]
fn check_ends(model: &Model<'_>) -> Result<(), ModelError> {
    let header = model.header;
    let error = ModelError::BadReference { step: header.step_count.saturating_sub(1) };
    let image = header.preprocess_offset == 0 || is_image(model.image_shape()[2]);
    let Some(last) = model.steps.last() else {
        return if image { Ok(()) } else { Err(error) };
    };
    let starts = model.activation(header.input_tensor).is_some_and(|input| !input.wide);
    let has_tail = model.float_part(FloatPartKind::Tail).is_some();
    let told = !model.outputs.is_empty();
    let ends = last.kind == StepKind::Logits as u8 || has_tail || told;
    let output = match told {
        false => last.output == header.output_tensor,
        true => model.outputs.iter().any(|output| output.tensor == last.output),
    };
    let layers = header.layer_count == header.step_count;
    if starts && ends && output && image && layers { Ok(()) } else { Err(error) }
}
