//! A tensor's view.

use core::ops::Range;

use super::TensorRecord;

/// A tensor in the arena, HWC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Activation {
    /// Index among the model's tensors.
    pub tensor: u16,
    /// Byte offset in the arena.
    pub offset: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Real value of one step.
    pub scale: f32,
    pub zero_point: i8,
    /// Whether the elements are i32 (logits) and not int8.
    pub wide: bool,
    /// Rows that are in the arena at a time: `height`, or fewer of a tensor that the next step
    /// consumes while this one goes on.
    pub rows: usize,
}

impl Activation {
    pub(super) fn new(tensor: u16, record: &TensorRecord) -> Self {
        Self {
            tensor,
            offset: record.offset as usize,
            height: record.height.into(),
            width: record.width.into(),
            channels: record.channels as usize,
            scale: record.scale,
            zero_point: record.zero_point,
            wide: record.element == 1,
            rows: if record.rows == 0 { record.height.into() } else { record.rows.into() },
        }
    }

    /// Number of elements.
    #[must_use]
    pub const fn elements(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The nearest step of the tensor's grid, halves to even; a NaN is 0.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn quantize(&self, real: f32) -> i8 {
        let steps = real / self.scale + f32::from(self.zero_point);
        steps.round_ties_even().clamp(-128.0, 127.0) as i8
    }

    /// The bytes of [`Activation::quantize`] of each value, as many as there are of both.
    #[cfg(feature = "std")]
    pub fn quantize_all(&self, real: &[f32], bytes: &mut [u8]) {
        for (byte, &real) in bytes.iter_mut().zip(real) {
            *byte = self.quantize(real).cast_unsigned();
        }
    }

    /// Number of bytes in the arena.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.rows * self.width * self.channels * if self.wide { 4 } else { 1 }
    }

    /// Whether the tensor never exists whole.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        self.rows < self.height
    }

    /// Its bytes in the arena.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.bytes()
    }

    /// Height, width, channels.
    #[must_use]
    pub const fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.offset + other.bytes() && other.offset < self.offset + self.bytes()
    }
}
