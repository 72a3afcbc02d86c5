//! The writer (host only): turns a planned network into the bytes that [`super::Model`] reads.
//!
//! The writer lays out sections and fills in offsets and checksums; every other field is the
//! planner's. It checks its own result, so it never gives out a file that breaks a rule; how much
//! work and memory a reader accepts is the reader's ([`super::Limits`]).

use std::string::String;
use std::vec::Vec;

use zerocopy::IntoBytes;

use super::version::{Contents, lowest_minor};
use super::{
    ALIGNMENT, AlphaRecord, CRC32, FloatPartKind, FloatPartRecord, Header, LayerRecord, Limits,
    MAGIC, OutputFunction, OutputKind, OutputRecord, PreprocessRecord, Selection, ShapeRecord,
    StepKind, StepRecord, Target, TensorRecord, VERSION_MAJOR,
};
use crate::AlignedBytes;
use crate::Model;
use crate::error::ModelError;

/// A step with the blobs that it refers to.
#[derive(Debug, Clone)]
pub struct StepSpec {
    /// Offsets, lengths, checksums and layer indices are filled in by [`write()`].
    pub record: StepRecord,
    pub layer_name: String,
    pub macs: u64,
    /// The bytes of the weights, in the layout that the record names.
    pub weights: Vec<i8>,
    pub bias: Vec<i32>,
    pub multipliers: Vec<i32>,
    /// Tensors that a concatenation reads behind its first.
    pub others: Vec<u16>,
}

/// Preprocessing with its optional per-pixel mean.
#[derive(Debug, Clone)]
pub struct PreprocessSpec {
    pub record: PreprocessRecord,
    /// Of images of four channels.
    pub alpha: Option<AlphaRecord>,
    /// HWC, in units of 8-bit pixels, with the fixed-point offsets beside it.
    pub mean_image: Option<(Vec<f32>, Vec<i32>)>,
}

/// A part that stays in float.
#[derive(Debug, Clone)]
pub struct FloatPartSpec {
    pub kind: FloatPartKind,
    /// An ONNX model of one input and one output, float, whose elements lie in HWC order.
    pub onnx: Vec<u8>,
    /// Height, width, channels.
    pub input: [usize; 3],
    /// Height, width, channels.
    pub output: [usize; 3],
    pub macs: u64,
}

/// An output of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSpec {
    pub name: String,
    pub tensor: u16,
    pub kind: OutputKind,
    pub function: OutputFunction,
    pub selection: Selection,
    /// Values that a selection gives; 0 without one.
    pub count: u32,
}

/// A planned network: one layer a step.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    pub name: String,
    /// The machine that the steps' weights are laid out for.
    pub target: Target,
    pub tensors: Vec<TensorRecord>,
    pub steps: Vec<StepSpec>,
    pub input_tensor: u16,
    /// That of the first output.
    pub output_tensor: u16,
    /// None if there is one vector of scores, and nothing to say of it.
    pub outputs: Vec<OutputSpec>,
    /// Names of the classes, or none.
    pub labels: Vec<String>,
    pub arena_bytes: u32,
    pub preprocess: Option<PreprocessSpec>,
    /// A head, a tail, both in this order, or a whole network without tensors and steps.
    pub float_parts: Vec<FloatPartSpec>,
}

/// Bytes with sections at multiples of [`ALIGNMENT`].
struct Sections(Vec<u8>);

impl Sections {
    fn push(&mut self, bytes: &[u8]) -> u32 {
        self.align();
        let offset = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        offset
    }

    /// A table without records has no place.
    fn push_table(&mut self, records: &[u8]) -> u32 {
        if records.is_empty() { 0 } else { self.push(records) }
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// Writes a model file.
///
/// # Errors
/// The reader's complaint if the specification is inconsistent or the file would exceed 4 GiB.
pub fn write(spec: &ModelSpec) -> Result<AlignedBytes, ModelError> {
    let (mut names, layers) = names_and_layers(spec);
    let mut outputs = output_records(spec, &mut names);
    let mut steps: Vec<StepRecord> = spec.steps.iter().map(|s| s.record).collect();
    let mut others: Vec<u16> = Vec::new();
    for (index, (step, spec)) in steps.iter_mut().zip(&spec.steps).enumerate() {
        step.layer = index as u16;
        step.layer_count = 1;
        if step.kind == StepKind::Concat as u8 {
            step.channels_before = others.len() as u32;
            step.groups = spec.others.len() as u32;
            others.extend_from_slice(&spec.others);
        }
    }
    let mut out = Sections(std::vec![0; size_of::<Header>()]);
    let tensors_offset = out.push_table(spec.tensors.as_bytes());
    let steps_offset = out.push_table(steps.as_bytes());
    let mut layers = layers;
    let names_offset = out.push(names.as_bytes());
    for layer in &mut layers {
        layer.name_offset += names_offset;
    }
    for output in &mut outputs {
        output.name_offset += names_offset;
    }
    let layers_offset = out.push_table(layers.as_bytes());
    let preprocess_offset = spec.preprocess.as_ref().map_or(0, |p| push_preprocess(&mut out, p));
    let others_offset = out.push_table(others.as_bytes());
    let outputs_offset = out.push_table(outputs.as_bytes());
    let labels = spec.labels.join("\n");
    let labels_offset = out.push_table(labels.as_bytes());
    let mut parts: Vec<FloatPartRecord> = spec.float_parts.iter().map(part_record).collect();
    let float_parts_offset = out.push_table(parts.as_bytes());
    out.align();
    let plan_bytes = out.0.len() as u32;
    for (step, spec) in steps.iter_mut().zip(&spec.steps) {
        push_weights(&mut out, step, spec);
    }
    for (part, spec) in parts.iter_mut().zip(&spec.float_parts) {
        part.offset = out.push(&spec.onnx);
    }
    out.align();
    let too_long = ModelError::Length { needed: out.0.len(), available: u32::MAX as usize };
    let file_bytes = u32::try_from(out.0.len()).map_err(|_| too_long)?;
    let mut header = Header {
        magic: MAGIC,
        version_major: VERSION_MAJOR,
        // The lowest version that can express the file.
        version_minor: lowest_minor(Contents {
            target: spec.target as u16,
            tensors: &spec.tensors,
            steps: &steps,
            float_parts: parts.len(),
            image_channels: image_channels(spec),
            outputs: !outputs.is_empty() || !labels.is_empty(),
        }),
        file_bytes,
        plan_crc32: 0,
        plan_bytes,
        target: spec.target as u16,
        tensor_count: count(spec.tensors.len()),
        step_count: count(steps.len()),
        layer_count: count(layers.len()),
        input_tensor: spec.input_tensor,
        output_tensor: spec.output_tensor,
        arena_bytes: spec.arena_bytes,
        tensors_offset,
        steps_offset,
        layers_offset,
        names_offset,
        names_bytes: names.len() as u32,
        model_name_bytes: spec.name.len() as u32,
        preprocess_offset,
        float_parts_offset,
        float_part_count: parts.len() as u16,
        other_count: count(others.len()),
        others_offset,
        outputs_offset,
        labels_offset,
        labels_bytes: labels.len() as u32,
        output_count: count(outputs.len()),
        reserved_h: 0,
        reserved: 0,
    };
    let mut bytes = AlignedBytes::from_slice(&out.0);
    let file = bytes.as_mut_slice();
    for (offset, table) in
        [(steps_offset, steps.as_bytes()), (float_parts_offset, parts.as_bytes())]
    {
        file[offset as usize..][..table.len()].copy_from_slice(table);
    }
    file[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    header.plan_crc32 = CRC32.checksum(&file[16..plan_bytes as usize]);
    file[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    // How much a reader accepts is the reader's.
    Model::new_checked_with(&bytes, &Limits::NONE)?.verify_weights()?;
    Ok(bytes)
}

/// Channels of the image that the preprocessing is for.
fn image_channels(spec: &ModelSpec) -> Option<usize> {
    spec.preprocess.as_ref()?;
    let part = spec.float_parts.first().filter(|part| part.kind != FloatPartKind::Tail);
    let input = || spec.tensors.get(usize::from(spec.input_tensor));
    part.map(|part| part.input[2]).or_else(|| input().map(|tensor| tensor.channels as usize))
}

/// A number of records as the header has it; of what it cannot hold, one that the reader refuses.
fn count(records: usize) -> u16 {
    u16::try_from(records).unwrap_or(u16::MAX)
}

/// A part's record, but for its place.
fn part_record(spec: &FloatPartSpec) -> FloatPartRecord {
    let shape = |[height, width, channels]: [usize; 3]| ShapeRecord {
        height: u16::try_from(height).unwrap_or(0),
        width: u16::try_from(width).unwrap_or(0),
        channels: u32::try_from(channels).unwrap_or(0),
    };
    FloatPartRecord {
        kind: spec.kind as u16,
        reserved: 0,
        offset: 0,
        bytes: spec.onnx.len() as u32,
        crc32: CRC32.checksum(&spec.onnx),
        input: shape(spec.input),
        output: shape(spec.output),
        macs: spec.macs,
    }
}

/// The names back to back, the model's first, and the layers with offsets relative to them.
fn names_and_layers(spec: &ModelSpec) -> (String, Vec<LayerRecord>) {
    let mut names = spec.name.clone();
    let mut layers = Vec::with_capacity(spec.steps.len());
    for step in &spec.steps {
        let output = spec.tensors.get(usize::from(step.record.output));
        layers.push(LayerRecord {
            name_offset: names.len() as u32,
            name_bytes: step.layer_name.len() as u32,
            channels: output.map_or(0, |o| o.channels),
            height: output.map_or(0, |o| o.height),
            width: output.map_or(0, |o| o.width),
            macs: step.macs,
        });
        names.push_str(&step.layer_name);
    }
    (names, layers)
}

/// Records of the outputs, whose names go behind the others, with offsets relative to them.
fn output_records(spec: &ModelSpec, names: &mut String) -> Vec<OutputRecord> {
    let record = |output: &OutputSpec| {
        let name_offset = names.len() as u32;
        names.push_str(&output.name);
        OutputRecord {
            tensor: output.tensor,
            kind: output.kind as u8,
            function: output.function as u8,
            selection: output.selection as u8,
            reserved: [0; 3],
            count: output.count,
            name_offset,
            name_bytes: output.name.len() as u32,
        }
    };
    spec.outputs.iter().map(record).collect()
}

fn push_preprocess(out: &mut Sections, spec: &PreprocessSpec) -> u32 {
    let mut record = spec.record;
    if let Some((mean, offsets)) = &spec.mean_image {
        record.mean_image_offset = out.push(mean.as_bytes());
        record.pixel_offsets = out.push(offsets.as_bytes());
    }
    let offset = out.push(record.as_bytes());
    if let Some(alpha) = &spec.alpha {
        out.0.extend_from_slice(alpha.as_bytes());
    }
    offset
}

fn push_weights(out: &mut Sections, step: &mut StepRecord, spec: &StepSpec) {
    let mut channels: Vec<i32> = spec.bias.clone();
    channels.extend_from_slice(&spec.multipliers);
    let mut digest = CRC32.digest();
    digest.update(spec.weights.as_bytes());
    digest.update(channels.as_bytes());
    step.weights_crc32 = digest.finalize();
    step.weights_bytes = spec.weights.len() as u32;
    step.channels_bytes = (channels.len() * 4) as u32;
    step.weights_offset = 0;
    step.channels_offset = 0;
    if !spec.weights.is_empty() {
        step.weights_offset = out.push(spec.weights.as_bytes());
    }
    if !channels.is_empty() {
        step.channels_offset = out.push(channels.as_bytes());
    }
}
