//! What a step may read: tensors that are intact, and maps of which only some rows are there.

use super::super::{Activation, MAX_RECORDS, Model, NONE, StepKind, StepRecord};
use crate::error::ModelError;

/// The tensors that hold their values between two steps: written, and not overwritten since.
///
/// They share no byte, so there are few of them in a plan that uses its memory well; the work of a step is
/// that of comparing its output with each.
pub(super) struct Intact {
    /// One bit a tensor.
    words: [u32; MAX_RECORDS.div_ceil(32)],
}

impl Intact {
    /// Before the first step there is the input.
    pub fn new(model: &Model<'_>) -> Self {
        let mut intact = Self { words: [0; MAX_RECORDS.div_ceil(32)] };
        intact.add(model.header.input_tensor);
        intact
    }

    /// Goes over a step: what it reads is there, and what it writes is there from now on.
    pub fn pass(
        &mut self,
        model: &Model<'_>,
        index: usize,
        record: &StepRecord,
    ) -> Result<(), ModelError> {
        let step = index as u16;
        let operand = Some(record.operand).filter(|&tensor| tensor != NONE);
        let others = model.others_of(record).ok_or(ModelError::BadReference { step })?;
        let read = [Some(record.input), operand].into_iter().flatten();
        for tensor in read.chain(others.iter().copied()) {
            if !self.has(tensor) {
                return Err(ModelError::NotWritten { step, tensor });
            }
        }
        let written = model.activation(record.output).ok_or(ModelError::BadReference { step })?;
        self.overwrite(model, &written);
        self.add(record.output);
        Ok(())
    }

    /// Every tensor that shares a byte with the one that is written is gone.
    fn overwrite(&mut self, model: &Model<'_>, written: &Activation) {
        for (at, word) in self.words.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                let tensor = at as u16 * 32 + bit as u16;
                if model.activation(tensor).is_none_or(|other| other.overlaps(written)) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    pub fn has(&self, tensor: u16) -> bool {
        let word = self.words.get(usize::from(tensor) / 32);
        word.is_some_and(|word| word & 1 << (tensor % 32) != 0)
    }

    fn add(&mut self, tensor: u16) {
        if let Some(word) = self.words.get_mut(usize::from(tensor) / 32) {
            *word |= 1 << (tensor % 32);
        }
    }
}

/// A tensor of which only some rows are there at a time lies between a convolution and the max-pool
/// that follows, and nowhere else; whole windows fit, so every part makes progress.
pub(super) fn check_streaming(
    model: &Model<'_>,
    index: usize,
    record: &StepRecord,
) -> Result<(), ModelError> {
    let step = index as u16;
    let error = ModelError::BadReference { step };
    let streamed = |tensor: u16| model.activation(tensor).is_some_and(|t| t.is_streamed());
    let others = model.others_of(record).ok_or(error)?;
    if streamed(record.operand) || others.iter().any(|&tensor| streamed(tensor)) {
        return Err(error);
    }
    let before = index.checked_sub(1).and_then(|index| model.steps.get(index));
    if streamed(record.input) && before.is_none_or(|before| before.output != record.input) {
        return Err(error);
    }
    if !streamed(record.output) {
        return Ok(());
    }
    let next = model.steps.get(index + 1).ok_or(error)?;
    let rows = model.activation(record.output).map_or(0, |t| t.rows);
    let pool = next.kind == StepKind::MaxPool as u8
        && next.input == record.output
        && next.strides[0] <= next.kernel[0]
        && usize::from(next.kernel[0]) <= rows;
    let conv = record.kind == StepKind::Conv as u8 && record.operand == NONE;
    // The pool writes while the convolution still reads.
    let (input, output) = (model.activation(record.input), model.activation(next.output));
    let disjoint = input.zip(output).is_some_and(|(input, output)| !input.overlaps(&output));
    if !conv || !pool || !disjoint {
        return Err(error);
    }
    Ok(())
}
