//! From a model file to its specification and back with other weight layouts (host only).
//!
//! What may not be broken: tensors, steps, names and constants stay as they are, so a file gives the
//! same bytes however its weights are packed.

use std::string::ToString;
use std::vec::Vec;

use zerocopy::IntoBytes;

use super::model::value_range;
use super::step::conv_shape;
use super::{
    Activation, FloatPart, FloatPartSpec, Model, ModelSpec, OutputSpec, PreprocessSpec, Selection,
    StepKind, StepSpec, Target, WeightForm, WeightLayout, write,
};
use crate::AlignedBytes;
use crate::error::ModelError;
use crate::kernels::ConvShape;
use crate::layouts;

impl ModelSpec {
    /// The specification that [`write()`] makes this file from.
    #[must_use]
    pub fn from_model(model: &Model<'_>) -> Self {
        let steps = model.steps.iter().zip(model.layers());
        let steps = steps.map(|(record, layer)| {
            let channels = model.channels(record);
            StepSpec {
                record: *record,
                layer_name: layer.name.to_string(),
                macs: layer.macs,
                weights: int8(model.slice(record.weights_offset, record.weights_bytes)),
                bias: channels.map_or(Vec::new(), |c| c.bias.to_vec()),
                multipliers: channels.map_or(Vec::new(), |c| c.multipliers.to_vec()),
                others: model.others_of(record).unwrap_or_default().to_vec(),
            }
        });
        Self {
            name: model.name().to_string(),
            target: model.target(),
            tensors: model.tensors.to_vec(),
            steps: steps.collect(),
            input_tensor: model.header.input_tensor,
            output_tensor: model.header.output_tensor,
            outputs: output_specs(model),
            labels: model.labels().into_iter().flatten().map(ToString::to_string).collect(),
            arena_bytes: model.header.arena_bytes,
            preprocess: model.preprocess().map(|record| PreprocessSpec {
                record: *record,
                alpha: model.alpha().copied(),
                mean_image: model
                    .mean_image()
                    .zip(model.pixel_offsets())
                    .map(|(mean, offsets)| (mean.to_vec(), offsets.to_vec())),
            }),
            float_parts: model.float_parts().map(|part| part_spec(&part)).collect(),
        }
    }

    /// The same network with every tensor whole, for tools that look at all of it: streamed ones get
    /// places of their own behind the arena.
    #[must_use]
    pub fn with_whole_tensors(mut self) -> Self {
        for tensor in self.tensors.iter_mut().filter(|tensor| tensor.rows != 0) {
            let plane = u32::from(tensor.height) * u32::from(tensor.width);
            tensor.rows = 0;
            tensor.offset = super::align_up(self.arena_bytes as usize) as u32;
            self.arena_bytes = tensor.offset.saturating_add(plane.saturating_mul(tensor.channels));
        }
        self
    }

    /// Geometry of step `index`, if it is a convolution.
    #[must_use]
    pub fn conv_shape(&self, index: usize) -> Option<ConvShape> {
        let record = &self.steps.get(index)?.record;
        if record.kind != StepKind::Conv as u8 {
            return None;
        }
        let tensor = |index: u16| {
            self.tensors.get(usize::from(index)).map(|tensor| Activation::new(index, tensor))
        };
        let input = tensor(record.input)?;
        let earlier = self.steps.iter().take(index).rev().map(|step| &step.record);
        let range = value_range(earlier, &input);
        Some(conv_shape(record, (&input, range), &tensor(record.output)?))
    }

    /// The weights of step `index`, a convolution, in another form; `None` if they cannot have it.
    #[must_use]
    pub fn packed_weights(&self, index: usize, form: WeightForm) -> Option<Vec<i8>> {
        let step = self.steps.get(index)?;
        let shape = self.conv_shape(index)?;
        let layout = WeightLayout::from_code(step.record.weight_layout)?;
        let now = WeightForm { target: self.target, layout };
        let ohwi = layouts::unpack(now, &shape, step.weights.as_bytes())?;
        layouts::pack(form, &shape, &ohwi).map(|bytes| int8(&bytes))
    }

    /// The same network for another target; `layouts` names the layout of each step's weights, OHWI
    /// where there is none. `None` if a layout does not take the weights.
    #[must_use]
    pub fn pack(&self, target: Target, layouts: &[WeightLayout]) -> Option<Self> {
        let mut packed = self.clone();
        packed.target = target;
        for (index, step) in packed.steps.iter_mut().enumerate() {
            if step.record.kind != StepKind::Conv as u8 {
                continue;
            }
            let layout = layouts.get(index).copied().unwrap_or(WeightLayout::Ohwi);
            step.weights = self.packed_weights(index, WeightForm { target, layout })?;
            step.record.weight_layout = layout as u16;
        }
        Some(packed)
    }
}

/// The portable file behind a packed one: what other machines compute and compare it with.
///
/// # Errors
/// [`ModelError::BadWeights`] for the first step whose bytes are not the packing of any int8 weights.
pub fn unpack(model: &Model<'_>) -> Result<AlignedBytes, ModelError> {
    let spec = ModelSpec::from_model(model);
    for index in 0..spec.steps.len() {
        let is_conv = spec.conv_shape(index).is_some();
        if is_conv && spec.packed_weights(index, WeightForm::PORTABLE).is_none() {
            return Err(ModelError::BadWeights { step: index as u16 });
        }
    }
    let portable = spec.pack(Target::Portable, &[]);
    write(&portable.ok_or(ModelError::BadWeights { step: 0 })?)
}

/// What the table of outputs says.
fn output_specs(model: &Model<'_>) -> Vec<OutputSpec> {
    let told = model.outputs().filter(|_| model.tells_outputs());
    told.map(|output| OutputSpec {
        name: output.name.to_string(),
        tensor: output.activation.tensor,
        kind: output.kind,
        function: output.function,
        selection: output.selection,
        count: if output.selection == Selection::All { 0 } else { output.count as u32 },
    })
    .collect()
}

fn part_spec(part: &FloatPart<'_>) -> FloatPartSpec {
    FloatPartSpec {
        kind: part.kind,
        onnx: part.onnx.to_vec(),
        input: part.input,
        output: part.output,
        macs: part.macs,
    }
}

fn int8(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|&byte| byte as i8).collect()
}
