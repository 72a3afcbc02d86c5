//! `.npy` files as inputs of a network.
//!
//! float32 and float64 are the float network's own input, CHW or HWC, whichever the shape says (CHW where it
//! could be either; dimensions of 1 do not count). int8 stands on the grid of a model file's input, HWC. uint8
//! is an image of 1, 3 or 4 channels.

use std::path::Path;

use values::order;

use super::npy::{Array, Elements};
use super::{Content, DataError, InputShape, Pixels, Wanted};
use crate::files;

/// What a file holds.
pub(super) enum Tensor {
    /// An image, of any size.
    Image(Pixels),
    /// The input itself.
    Input(Content),
}

/// Reads a `.npy` file for a network.
pub(super) fn read_tensor(path: &Path, wanted: &Wanted) -> Result<Tensor, DataError> {
    let Array { shape, elements } = read_array(path)?;
    let name = elements.name().to_owned();
    let refused = || DataError::TensorShape {
        path: path.to_owned(),
        element: name.clone(),
        shape: shape.clone(),
        wanted: wanted.shape,
        image: wanted.recipe.is_some(),
    };
    match elements {
        Elements::Float(values) => {
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(DataError::TensorNotFinite { path: path.to_owned(), at });
            }
            let values = in_hwc(&shape, values, wanted.shape).ok_or_else(refused)?;
            Ok(Tensor::Input(Content::Real(values)))
        }
        Elements::Int8(values) => {
            let InputShape { height, width, channels } = wanted.shape;
            if counting(&shape) != counting(&[height, width, channels]) {
                return Err(refused());
            }
            let Some(grid) = wanted.grid else {
                return Err(DataError::TensorGrid { path: path.to_owned() });
            };
            let real = |value: i8| (f32::from(value) - f32::from(grid.zero_point)) * grid.scale;
            Ok(Tensor::Input(Content::Real(values.into_iter().map(real).collect())))
        }
        Elements::Uint8(data) => {
            let image = wanted.recipe.as_ref().and_then(|_| image(&shape, data));
            image.map(Tensor::Image).ok_or_else(refused)
        }
        Elements::Other(_) => Err(refused()),
    }
}

/// Whether a file holds values of a float network's input.
pub(super) fn holds_reals(path: &Path) -> Result<bool, DataError> {
    Ok(matches!(read_array(path)?.elements, Elements::Float(_)))
}

fn read_array(path: &Path) -> Result<Array, DataError> {
    let bytes = files::read(path, files::ARRAY)
        .map_err(|reason| DataError::Io { path: path.to_owned(), reason })?;
    Array::parse(&bytes).map_err(|reason| DataError::Array { path: path.to_owned(), reason })
}

/// The dimensions above 1.
fn counting(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&side| side != 1).collect()
}

/// Values of a shape in HWC order, if it is one of the network's.
fn in_hwc(shape: &[usize], values: Vec<f32>, wanted: InputShape) -> Option<Vec<f32>> {
    let InputShape { height, width, channels } = wanted;
    let found = counting(shape);
    if found == counting(&[channels, height, width]) {
        return Some(order::hwc(&values, [height, width, channels]));
    }
    (found == counting(&[height, width, channels])).then_some(values)
}

/// An image of the shape `[H, W]`, `[H, W, C]` or `[1, H, W, C]`.
fn image(shape: &[usize], data: Vec<u8>) -> Option<Pixels> {
    let (height, width, channels) = match *shape {
        [height, width] => (height, width, 1),
        [height, width, channels @ (1 | 3 | 4)] | [1, height, width, channels @ (1 | 3 | 4)] => {
            (height, width, channels)
        }
        _ => return None,
    };
    Some(Pixels { width, height, channels, data })
}

/// The bytes of a `.npy` file of float32 values, in C order.
#[must_use]
pub fn to_npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    /// Magic number, version 1.0 and the header's length; the data begin at a multiple of 64.
    const PREFIX: usize = 10;
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sides}), }}");
    let length = (PREFIX + header.len() + 1).next_multiple_of(64) - PREFIX;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(values::bytes::of_f32(values));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: InputShape = InputShape { height: 2, width: 1, channels: 3 };

    #[test]
    fn both_orders_of_the_networks_shape_are_understood_and_no_others() {
        let values: Vec<f32> = (0..6u8).map(f32::from).collect();
        let read = |shape: &[usize], wanted| in_hwc(shape, values.clone(), wanted);
        for chw in [&[3, 2, 1][..], &[1, 3, 2, 1], &[3, 2]] {
            assert_eq!(read(chw, WANTED).unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0], "{chw:?}");
        }
        for hwc in [&[2, 1, 3][..], &[1, 2, 1, 3], &[2, 3]] {
            assert_eq!(read(hwc, WANTED).unwrap(), values, "{hwc:?}");
        }
        for other in [&[6][..], &[1, 1, 6], &[2, 3, 2], &[]] {
            assert_eq!(read(other, WANTED), None, "{other:?}");
        }
        let vector = InputShape { height: 1, width: 1, channels: 6 };
        assert_eq!(read(&[1, 6], vector).unwrap(), values);
    }

    #[test]
    fn what_is_written_is_read() {
        for shape in [&[6][..], &[1, 2, 3], &[1, 1, 1, 6]] {
            let values: Vec<f32> = (0..6u8).map(|v| f32::from(v) / 3.0).collect();
            let file = to_npy(shape, &values);
            assert_eq!((file.len() - 24) % 64, 0);
            let array = Array::parse(&file).unwrap();
            assert_eq!(array, Array { shape: shape.to_vec(), elements: Elements::Float(values) });
        }
    }
}
