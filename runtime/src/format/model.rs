//! The reader: typed views of a model file, borrowed from its bytes.
//!
//! What may not be broken: a [`Model`] is made by the checks alone (`check.rs`), so nothing here reads
//! what they have not vouched for, and a view of what is not there is `None` or empty, never a panic.

use zerocopy::FromBytes;

use super::step::{conv_shape, pool_shape};
use super::{
    Activation, AlphaRecord, Channels, FloatPart, FloatPartKind, FloatPartRecord, Header, Layer,
    LayerRecord, NONE, Operator, OutputKind, OutputRecord, PreprocessRecord, Step, StepKind,
    StepRecord, Target, TensorRecord, WeightForm, WeightLayout, Weights, Work,
};
use crate::error::ModelError;
use crate::kernels::{Choice, KernelFamily, KernelSet, Required};
use crate::numerics::{Addition, Multiplication, Requantization, TABLE_ENTRIES};
use crate::parallel;

/// A model whose every offset, shape and range has been checked; see [`Model::new_checked`].
///
/// It borrows the file's bytes and is as cheap to copy as a handful of pointers.
#[derive(Debug, Clone, Copy)]
pub struct Model<'m> {
    pub(super) bytes: &'m [u8],
    pub(super) header: &'m Header,
    pub(super) tensors: &'m [TensorRecord],
    pub(super) steps: &'m [StepRecord],
    pub(super) layers: &'m [LayerRecord],
    pub(super) float_parts: &'m [FloatPartRecord],
    /// Inputs of concatenations behind their first.
    pub(super) others: &'m [u16],
    /// Empty if there is one vector of scores.
    pub(super) outputs: &'m [OutputRecord],
}

impl<'m> Model<'m> {
    /// Compares the checksum of every layer's weights and constants, and of every float part, with
    /// the plan.
    ///
    /// # Errors
    /// [`ModelError::WeightsChecksum`] for the first damaged step, or
    /// [`ModelError::FloatPartChecksum`].
    pub fn verify_weights(&self) -> Result<(), ModelError> {
        for (index, record) in self.steps.iter().enumerate() {
            let mut digest = super::CRC32.digest();
            digest.update(self.slice(record.weights_offset, record.weights_bytes));
            digest.update(self.slice(record.channels_offset, record.channels_bytes));
            let found = digest.finalize();
            if found != record.weights_crc32 {
                let (step, expected) = (index as u16, record.weights_crc32);
                return Err(ModelError::WeightsChecksum { step, expected, found });
            }
        }
        self.verify_float_parts()
    }

    /// Compares the checksum of every float part with the plan.
    fn verify_float_parts(&self) -> Result<(), ModelError> {
        for (index, record) in self.float_parts.iter().enumerate() {
            let found = super::CRC32.checksum(self.slice(record.offset, record.bytes));
            if found != record.crc32 {
                let (part, expected) = (index as u16, record.crc32);
                return Err(ModelError::FloatPartChecksum { part, expected, found });
            }
        }
        Ok(())
    }

    /// The network's name.
    #[must_use]
    pub fn name(&self) -> &'m str {
        self.text(self.header.names_offset, self.header.model_name_bytes)
    }

    /// The machine that the weights are laid out for.
    #[must_use]
    pub fn target(&self) -> Target {
        // The header's code was checked.
        Target::from_code(self.header.target).unwrap_or(Target::Portable)
    }

    /// Memory that a session with these kernels needs.
    #[must_use]
    pub fn required(&self, kernels: KernelSet) -> Required {
        self.required_by_threads(kernels, 1)
    }

    /// Memory that a session with these kernels needs if its layers run on `threads` threads, each
    /// with scratch of its own.
    #[must_use]
    pub fn required_by_threads(&self, kernels: KernelSet, threads: usize) -> Required {
        self.require(kernels.choice(), threads)
    }

    /// [`Model::required_by_threads`] with kernels that this machine may not have: what to plan for
    /// another one.
    #[must_use]
    pub fn required_by_family(&self, kernels: KernelFamily, threads: usize) -> Required {
        self.require(kernels.choice(), threads)
    }

    fn require(&self, kernels: Choice, threads: usize) -> Required {
        let scratch = self.steps().map(|step| parallel::scratch_bytes(kernels, &step, threads));
        let scratch = scratch.max().unwrap_or(0);
        Required { activations: self.header.arena_bytes as usize, scratch }
    }

    /// Length of the file.
    #[must_use]
    pub fn file_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of weights and per-channel constants.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        // The blobs are disjoint parts of the file, so the sum cannot overflow.
        self.steps.iter().map(|s| s.weights_bytes as usize + s.channels_bytes as usize).sum()
    }

    /// Bytes of weights and per-channel constants of step `index`; 0 if it has none.
    #[must_use]
    pub fn weight_bytes_of(&self, index: usize) -> usize {
        let bytes = |s: &StepRecord| s.weights_bytes as usize + s.channels_bytes as usize;
        self.steps.get(index).map_or(0, bytes)
    }

    /// Multiply-accumulates of one inference, counted from the steps; without those of float parts.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.work().macs
    }

    /// Elements of one inference that are visited apart from multiply-accumulates: those of pools'
    /// windows, and those that every other step writes.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.work().elements
    }

    fn work(&self) -> Work {
        (0..self.steps.len()).map(|step| self.work_of(step)).fold(Work::default(), Work::plus)
    }

    fn work_of(&self, step: usize) -> Work {
        let work = || {
            let record = self.steps.get(step)?;
            let kind = StepKind::from_code(record.kind)?;
            let (input, output) = (self.activation(record.input)?, self.activation(record.output)?);
            Some(Work::for_step(record, kind, &input, &output))
        };
        work().unwrap_or_default()
    }

    /// Major and minor version of the format that the file is written in.
    #[must_use]
    pub fn version(&self) -> (u16, u16) {
        (self.header.version_major, self.header.version_minor)
    }

    /// Height, width and channels of the image: the int8 input's, or what a float head takes.
    #[must_use]
    pub fn image_shape(&self) -> [usize; 3] {
        let first = self.float_parts.first().map(|part| (part.kind, part.input.shape()));
        match first {
            Some((kind, image)) if kind != FloatPartKind::Tail as u16 => image,
            _ => self.input().shape(),
        }
    }

    /// Number of classes that the first output tells apart: the scores, or what a float part gives in their
    /// place; two of one probability. 0 for vectors and maps.
    #[must_use]
    pub fn classes(&self) -> usize {
        let last = self.float_parts.last().filter(|p| p.kind != FloatPartKind::Head as u16);
        if let Some(part) = last {
            return part.output.channels as usize;
        }
        let elements = self.output().elements();
        match self.outputs.first().and_then(|output| OutputKind::from_code(output.kind)) {
            None | Some(OutputKind::Scores | OutputKind::Index) => elements,
            Some(OutputKind::Probability) => elements.max(2),
            Some(OutputKind::Vector | OutputKind::Map) => 0,
        }
    }

    /// The int8 input.
    #[must_use]
    pub fn input(&self) -> Activation {
        self.activation_or_empty(self.header.input_tensor)
    }

    /// The i32 logits; `logit * scale` is the real value. Before a float tail, and of a network whose first
    /// output is no vector of scores, it may be any int8 tensor.
    #[must_use]
    pub fn output(&self) -> Activation {
        self.activation_or_empty(self.header.output_tensor)
    }

    /// Number of steps.
    #[must_use]
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// Number of tensors.
    #[must_use]
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// The plan in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'m>> + use<'m> {
        let model = *self;
        (0..model.steps.len()).filter_map(move |index| model.step(index))
    }

    /// Layer `index`.
    #[must_use]
    pub fn layer(&self, index: usize) -> Option<Layer<'m>> {
        let record = self.layers.get(index)?;
        Some(Layer {
            name: self.text(record.name_offset, record.name_bytes),
            shape: [record.height.into(), record.width.into(), record.channels as usize],
            macs: self.work_of(index).macs,
        })
    }

    /// The layers in order.
    pub fn layers(&self) -> impl Iterator<Item = Layer<'m>> + use<'m> {
        let model = *self;
        (0..model.layers.len()).filter_map(move |index| model.layer(index))
    }

    /// The parts that stay in float, in order; a [`crate::Session`] takes only models without any.
    pub fn float_parts(&self) -> impl Iterator<Item = FloatPart<'m>> + use<'m> {
        let model = *self;
        model.float_parts.iter().filter_map(move |record| {
            Some(FloatPart {
                kind: FloatPartKind::from_code(record.kind)?,
                onnx: model.slice(record.offset, record.bytes),
                input: record.input.shape(),
                output: record.output.shape(),
                macs: record.macs,
            })
        })
    }

    /// The part of this kind.
    #[must_use]
    pub fn float_part(&self, kind: FloatPartKind) -> Option<FloatPart<'m>> {
        self.float_parts().find(|part| part.kind == kind)
    }

    /// Checksum of the weights and constants of step `index`, as recorded in the plan.
    #[must_use]
    pub fn weights_crc32(&self, index: usize) -> Option<u32> {
        self.steps.get(index).map(|s| s.weights_crc32)
    }

    /// How 8-bit pixels become the int8 input; none if the network takes tensors that are no images.
    #[must_use]
    pub fn preprocess(&self) -> Option<&'m PreprocessRecord> {
        if self.header.preprocess_offset == 0 {
            return None;
        }
        let bytes = self.bytes.get(self.header.preprocess_offset as usize..)?;
        PreprocessRecord::ref_from_prefix(bytes).ok().map(|(record, _)| record)
    }

    /// The preprocessing of the fourth channel, if the image has one.
    #[must_use]
    pub fn alpha(&self) -> Option<&'m AlphaRecord> {
        if self.header.preprocess_offset == 0 || self.image_shape()[2] != 4 {
            return None;
        }
        let start = self.header.preprocess_offset as usize + size_of::<PreprocessRecord>();
        AlphaRecord::ref_from_prefix(self.bytes.get(start..)?).ok().map(|(record, _)| record)
    }

    /// Per-pixel fixed-point offsets of the preprocessing, HWC.
    #[must_use]
    pub fn pixel_offsets(&self) -> Option<&'m [i32]> {
        self.image_section(self.preprocess()?.pixel_offsets)
    }

    /// Per-pixel mean of the preprocessing, HWC, in units of 8-bit pixels.
    #[must_use]
    pub fn mean_image(&self) -> Option<&'m [f32]> {
        self.image_section(self.preprocess()?.mean_image_offset)
    }

    fn image_elements(&self) -> usize {
        self.image_shape().iter().product()
    }

    fn image_section<T: FromBytes + zerocopy::Immutable>(&self, offset: u32) -> Option<&'m [T]> {
        if offset == 0 {
            return None;
        }
        let bytes = self.bytes.get(offset as usize..)?.get(..self.image_elements() * 4)?;
        <[T]>::ref_from_bytes(bytes).ok()
    }

    /// Tensor `index`.
    #[must_use]
    pub fn activation(&self, index: u16) -> Option<Activation> {
        self.tensors.get(usize::from(index)).map(|record| Activation::new(index, record))
    }

    fn activation_or_empty(&self, index: u16) -> Activation {
        self.activation(index).unwrap_or(Activation {
            tensor: index,
            offset: 0,
            height: 0,
            width: 0,
            channels: 0,
            scale: 0.0,
            zero_point: 0,
            wide: false,
            rows: 0,
        })
    }

    /// Step `index`, or `None` past the last one.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<Step<'m>> {
        let record = self.steps.get(index)?;
        let input = self.activation(record.input)?;
        let output = self.activation(record.output)?;
        let operand = match record.operand {
            NONE => None,
            tensor => Some(self.activation(tensor)?),
        };
        let layer = self.layer(usize::from(record.layer))?;
        let operator = self.operator(index, &input, &output)?;
        let in_place = record.flags & super::flags::IN_PLACE != 0;
        let others = self.others_of(record)?;
        Some(Step { index, layer, input, operand, others, output, in_place, operator })
    }

    /// Tensors that a concatenation reads behind its first; none if the table has not as many.
    pub(super) fn others_of(&self, record: &StepRecord) -> Option<&'m [u16]> {
        if record.kind != StepKind::Concat as u8 {
            return Some(&[]);
        }
        self.others.get(record.channels_before as usize..)?.get(..record.groups as usize)
    }

    fn operator(
        &self,
        index: usize,
        input: &Activation,
        output: &Activation,
    ) -> Option<Operator<'m>> {
        let record = self.steps.get(index)?;
        let clamp = (record.clamp_min, record.clamp_max);
        let requantization = Requantization {
            shift: record.shift,
            fraction_bits: record.fraction_bits.into(),
            offset: record.offset,
            residual_multiplier: record.operand_multiplier,
            clamp,
        };
        Some(match StepKind::from_code(record.kind)? {
            StepKind::Conv => Operator::Conv {
                shape: conv_shape(record, (input, self.value_range(index, input)), output),
                weights: self.weights(record)?,
                channels: self.channels(record)?,
                requantization,
            },
            StepKind::MaxPool => {
                Operator::MaxPool { shape: pool_shape(record, input, output), clamp }
            }
            StepKind::AveragePool if record.excludes_padding() => {
                Operator::AveragePoolExcludingPadding {
                    shape: pool_shape(record, input, output),
                    channels: self.channels(record)?,
                    requantization,
                }
            }
            StepKind::AveragePool => Operator::AveragePool {
                shape: pool_shape(record, input, output),
                channel: self.channels(record)?.iter().next()?,
                requantization,
            },
            StepKind::Add => Operator::Add(Addition {
                multipliers: (record.input_multiplier, record.operand_multiplier),
                offset: record.offset,
                clamp,
            }),
            StepKind::Subsample => Operator::Subsample {
                strides: record.strides.map(usize::from),
                channels_before: record.channels_before as usize,
            },
            StepKind::Logits => Operator::Logits {
                weights: self.weights(record)?.int8(),
                channels: self.channels(record)?,
                shift: record.shift,
            },
            StepKind::Lookup => Operator::Lookup { tables: self.tables(record)?, clamp },
            StepKind::Multiply => Operator::Multiply(Multiplication {
                zero_points: (input.zero_point, self.activation(record.operand)?.zero_point),
                channel: self.channels(record)?.iter().next()?,
                requantization,
            }),
            StepKind::Concat => Operator::Concat {
                weights: self.weights(record)?.int8(),
                channels: self.channels(record)?,
                requantization,
            },
        })
    }

    /// Tables of an activation function.
    fn tables(&self, record: &StepRecord) -> Option<&'m [[i8; TABLE_ENTRIES]]> {
        let bytes = self.slice(record.weights_offset, record.weights_bytes);
        <[[i8; TABLE_ENTRIES]]>::ref_from_bytes(bytes).ok()
    }

    /// Least and greatest value of `tensor`, padding included, when step `index` reads it.
    pub(super) fn value_range(&self, index: usize, tensor: &Activation) -> (i8, i8) {
        value_range(self.steps.iter().take(index).rev(), tensor)
    }

    pub(super) fn slice(&self, offset: u32, len: u32) -> &'m [u8] {
        let start = offset as usize;
        self.bytes.get(start..start.saturating_add(len as usize)).unwrap_or(&[])
    }

    pub(super) fn text(&self, offset: u32, len: u32) -> &'m str {
        core::str::from_utf8(self.slice(offset, len)).unwrap_or("")
    }

    fn weights(&self, record: &StepRecord) -> Option<Weights<'m>> {
        let layout = WeightLayout::from_code(record.weight_layout)?;
        Some(Weights {
            form: WeightForm { target: self.target(), layout },
            bytes: self.slice(record.weights_offset, record.weights_bytes),
        })
    }

    pub(super) fn channels(&self, record: &StepRecord) -> Option<Channels<'m>> {
        let bytes = self.slice(record.channels_offset, record.channels_bytes);
        let words = <[i32]>::ref_from_bytes(bytes).ok()?;
        let (bias, multipliers) = words.split_at_checked(words.len() / 2)?;
        Some(Channels { bias, multipliers })
    }
}

/// Least and greatest value of `tensor`, padding included, when `earlier` steps have run, the last one
/// first: what the step that wrote it clamps to.
pub(super) fn value_range<'a>(
    mut earlier: impl Iterator<Item = &'a StepRecord>,
    tensor: &Activation,
) -> (i8, i8) {
    let writer = earlier.find(|step| step.output == tensor.tensor);
    match writer.map(|step| (StepKind::from_code(step.kind), step)) {
        None | Some((None | Some(StepKind::Subsample | StepKind::Logits), _)) => (i8::MIN, i8::MAX),
        Some((_, step)) => {
            (step.clamp_min.min(tensor.zero_point), step.clamp_max.max(tensor.zero_point))
        }
    }
}
