//! The mean image, from a NumPy `.npy` file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use values::order;

use super::npy::{Array, Elements};
use super::{InputShape, RecipeError};
use crate::files;

/// A value per pixel and channel, in units of 8-bit pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeanImage {
    pub width: usize,
    pub height: usize,
    /// 1, 3 or 4.
    pub channels: usize,
    /// R, G, B of the top left pixel first (HWC order), whatever the file's order was.
    pub data: Vec<f32>,
}

impl MeanImage {
    /// Reads an array of shape `[H, W, C]`, `[C, H, W]` or `[H, W]`, in the order R, G, B, A.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let parsed = files::read(path, files::ARRAY)
            .map_err(|e| e.to_string())
            .and_then(|bytes| mean_image(Array::parse(&bytes)?));
        parsed.map_err(|reason| RecipeError::MeanImageFile {
            file: path.display().to_string(),
            reason,
        })
    }

    /// Height, width and channels.
    #[must_use]
    pub fn shape(&self) -> InputShape {
        InputShape { height: self.height, width: self.width, channels: self.channels }
    }
}

fn mean_image(array: Array) -> Result<MeanImage, String> {
    let Array { shape, elements } = array;
    let Elements::Float(values) = elements else {
        return Err(format!("element type {}", elements.name()));
    };
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(format!("value {at} is not finite"));
    }
    let (width, height, channels, data) = match *shape {
        [height, width, channels @ (1 | 3 | 4)] => (width, height, channels, values),
        [channels @ (1 | 3 | 4), height, width] => {
            (width, height, channels, order::hwc(&values, [height, width, channels]))
        }
        [height, width] => (width, height, 1, values),
        _ => return Err(format!("shape {shape:?}")),
    };
    Ok(MeanImage { width, height, channels, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(shape: &[usize], values: &[f32]) -> Result<MeanImage, String> {
        let elements = Elements::Float(values.to_vec());
        mean_image(Array { shape: shape.to_vec(), elements })
    }

    #[test]
    fn both_axis_orders_give_the_same_image() {
        let hwc = read(&[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let chw = read(&[3, 1, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]).unwrap();
        assert_eq!(hwc.shape(), InputShape { height: 1, width: 2, channels: 3 });
        assert_eq!(hwc, chw);
    }

    #[test]
    fn grey_and_rgba_are_images_too() {
        let grey = [&[2, 2][..], &[2, 2, 1], &[1, 2, 2]];
        for shape in grey {
            assert_eq!(read(shape, &[1.0; 4]).unwrap().channels, 1);
        }
        assert_eq!(read(&[1, 1, 4], &[1.0; 4]).unwrap().channels, 4);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for shape in [&[3][..], &[2, 5, 2], &[1, 1, 1, 3]] {
            let values = vec![0.0; shape.iter().product()];
            assert!(read(shape, &values).unwrap_err().contains("shape"), "{shape:?}");
        }
        assert!(read(&[1, 1, 3], &[0.0, f32::NAN, 0.0]).unwrap_err().contains("not finite"));
        let bytes = Array { shape: vec![1, 1, 3], elements: Elements::Uint8(vec![0; 3]) };
        assert_eq!(mean_image(bytes).unwrap_err(), "element type uint8");
    }
}
