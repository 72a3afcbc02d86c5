//! A tile's window of the input, and where its pixels are.

use super::vector::Words;
use crate::kernels::ConvShape;

/// A tile's window of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    pub shape: &'a ConvShape,
    pub input: &'a [i8],
    /// The first output pixel: row, column.
    pub corner: (usize, usize),
    /// Zero points, as many as a pixel has channels.
    pub padding: &'a [i8],
}

impl Window<'_> {
    /// Where the first pixel lies in the input, if the whole window of `extent` pixels a side is inside.
    pub fn inside(&self, extent: usize) -> Option<usize> {
        self.inside_rectangle(extent, extent)
    }

    /// The same of a window of any height and width.
    #[inline(always)]
    pub fn inside_rectangle(&self, height: usize, width: usize) -> Option<usize> {
        let [in_h, in_w, in_c] = self.shape.input;
        let top = (self.corner.0 * self.shape.strides[0]).checked_sub(self.shape.pads[0])?;
        let left = (self.corner.1 * self.shape.strides[1]).checked_sub(self.shape.pads[1])?;
        (top + height <= in_h && left + width <= in_w).then_some((top * in_w + left) * in_c)
    }

    /// Pixel (`y`, `x`) of the window: in the input, or padding.
    fn pixel(&self, y: usize, x: usize) -> *const i8 {
        let [in_h, in_w, in_c] = self.shape.input;
        let y = (self.corner.0 * self.shape.strides[0] + y).checked_sub(self.shape.pads[0]);
        let x = (self.corner.1 * self.shape.strides[1] + x).checked_sub(self.shape.pads[1]);
        match y.filter(|&y| y < in_h).zip(x.filter(|&x| x < in_w)) {
            Some((y, x)) => self.input[(y * in_w + x) * in_c..].as_ptr(),
            None => self.padding.as_ptr(),
        }
    }

    /// All pixels of a window of `N` rows and columns.
    pub fn pixels<const N: usize>(&self) -> [[*const i8; N]; N] {
        let mut pixels = [[core::ptr::null(); N]; N];
        for (y, row) in pixels.iter_mut().enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = self.pixel(y, x);
            }
        }
        pixels
    }
}

/// The pixels of a window.
pub(super) trait Pixels<W> {
    /// Channels from `channel` of pixel (`y`, `x`), widened.
    ///
    /// # Safety
    /// The CPU has the instructions, and the pixel has these channels.
    unsafe fn read(&self, y: usize, x: usize, channel: usize) -> W;
}

/// Pixels that lie as the input's do.
pub(super) struct Inside {
    pub first: *const i8,
    /// From one row to the next, and from one pixel to the next.
    pub row: usize,
    pub pixel: usize,
}

impl<W: Words> Pixels<W> for Inside {
    #[inline(always)]
    unsafe fn read(&self, y: usize, x: usize, channel: usize) -> W {
        // SAFETY: the caller vouches for the channels.
        unsafe { W::widen(self.first.add(y * self.row + x * self.pixel + channel)) }
    }
}

/// Pixels of which each lies anywhere.
impl<const N: usize, W: Words> Pixels<W> for [[*const i8; N]; N] {
    #[inline(always)]
    unsafe fn read(&self, y: usize, x: usize, channel: usize) -> W {
        // SAFETY: the caller vouches for the channels.
        unsafe { W::widen(self[y][x].add(channel)) }
    }
}
