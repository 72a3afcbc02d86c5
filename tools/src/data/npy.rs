//! The mean image, from a NumPy `.npy` file (format versions 1.0 to 3.0).
//!
//! The reader is strict: little-endian float32 or float64 in C order, exactly as many bytes as the
//! shape needs, finite values. Everything else is refused with the reason.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RecipeError;
use crate::files;

/// A value per pixel and colour, in units of 8-bit pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeanImage {
    pub width: usize,
    pub height: usize,
    /// R, G, B of the top left pixel first (HWC order), whatever the file's order was.
    pub data: Vec<f32>,
}

impl MeanImage {
    /// Reads an array of shape `[H, W, 3]` or `[3, H, W]`, in the order R, G, B.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let parsed = files::read(path, files::ARRAY)
            .map_err(|e| e.to_string())
            .and_then(|bytes| parse(&bytes));
        parsed.map_err(|reason| RecipeError::MeanImageFile {
            file: path.display().to_string(),
            reason,
        })
    }
}

/// Bytes of magic number and version.
const PREFIX: usize = 8;

fn parse(bytes: &[u8]) -> Result<MeanImage, String> {
    let (header, body) = split_header(bytes)?;
    if field(header, "fortran_order")? != "False" {
        return Err("Fortran order (save it with numpy.ascontiguousarray)".to_owned());
    }
    let values = values(field(header, "descr")?, body)?;
    let shape = shape(field(header, "shape")?)?;
    let expected = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    if expected != Some(values.len()) {
        return Err(format!("shape {shape:?} does not match its {} values", values.len()));
    }
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(format!("value {at} is not finite"));
    }
    match shape {
        [height, width, 3] => Ok(MeanImage { width, height, data: values }),
        [3, height, width] => Ok(MeanImage { width, height, data: planes_to_pixels(&values) }),
        _ => Err(format!("shape {shape:?}")),
    }
}

fn split_header(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    let cut_short = || "the file is cut short".to_owned();
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err("not a .npy file".to_owned());
    }
    let length_bytes = match bytes.get(6).ok_or_else(cut_short)? {
        1 => 2,
        2 | 3 => 4,
        version => return Err(format!(".npy version {version}")),
    };
    let mut little_endian = [0; 4];
    let start = PREFIX + length_bytes;
    little_endian[..length_bytes].copy_from_slice(bytes.get(PREFIX..start).ok_or_else(cut_short)?);
    let end = start.saturating_add(u32::from_le_bytes(little_endian) as usize);
    let header = bytes.get(start..end).ok_or_else(cut_short)?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not text".to_owned())?;
    Ok((header, &bytes[end..]))
}

/// The text of one entry of the header, a Python dictionary such as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (32, 32, 3), }`.
fn field<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let missing = || format!("the header has no '{key}'");
    let quoted = format!("'{key}':");
    let (_, value) = header.split_once(&quoted).ok_or_else(missing)?;
    let value = value.trim_start();
    let end = if value.starts_with('(') {
        value.find(')').map(|at| at + 1)
    } else {
        value.find([',', '}'])
    };
    Ok(value[..end.ok_or_else(missing)?].trim())
}

fn shape(text: &str) -> Result<[usize; 3], String> {
    let sides: Option<Vec<usize>> = text
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok().filter(|&side| side > 0))
        .collect();
    sides.and_then(|sides| sides.try_into().ok()).ok_or_else(|| format!("shape {text}"))
}

fn values(descr: &str, body: &[u8]) -> Result<Vec<f32>, String> {
    match descr {
        "'<f4'" => Ok(exact_chunks(body)?.map(f32::from_le_bytes).collect()),
        "'<f8'" => Ok(exact_chunks(body)?.map(|b| f64::from_le_bytes(b) as f32).collect()),
        _ => Err(format!("element type {descr}")),
    }
}

fn exact_chunks<const N: usize>(body: &[u8]) -> Result<impl Iterator<Item = [u8; N]>, String> {
    let (chunks, rest) = body.as_chunks::<N>();
    if rest.is_empty() {
        Ok(chunks.iter().copied())
    } else {
        Err("the data ends in the middle of a value".to_owned())
    }
}

fn planes_to_pixels(planes: &[f32]) -> Vec<f32> {
    let count = planes.len() / 3;
    (0..count).flat_map(|at| [0, 1, 2].map(|colour| planes[colour * count + at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descr: &str, fortran: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(body);
        bytes
    }

    fn f32_bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn both_axis_orders_give_the_same_image() {
        let pixels = f32_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let planes = f32_bytes(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let hwc = parse(&npy("<f4", "False", "(1, 2, 3)", &pixels)).unwrap();
        let chw = parse(&npy("<f4", "False", "(3, 1, 2)", &planes)).unwrap();
        assert_eq!((hwc.width, hwc.height), (2, 1));
        assert_eq!(hwc, chw);
    }

    #[test]
    fn float64_is_rounded_to_float32() {
        let body: Vec<u8> = [0.5f64, 1.5, 2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mean = parse(&npy("<f8", "False", "(1, 1, 3)", &body)).unwrap();
        assert_eq!(mean.data, [0.5, 1.5, 2.5]);
    }

    #[test]
    fn anything_else_is_refused() {
        let body = f32_bytes(&[1.0, 2.0, 3.0]);
        let nan = f32_bytes(&[1.0, f32::NAN, 3.0]);
        let good = npy("<f4", "False", "(1, 1, 3)", &body);
        let cases = [
            (b"PNG".to_vec(), "not a .npy"),
            (good[..20].to_vec(), "cut short"),
            (good[..good.len() - 1].to_vec(), "middle of a value"),
            (good[..good.len() - 4].to_vec(), "does not match"),
            (npy("<f4", "True", "(1, 1, 3)", &body), "Fortran"),
            (npy(">f4", "False", "(1, 1, 3)", &body), "element type"),
            (npy("<f4", "False", "(3,)", &body), "shape (3,)"),
            (npy("<f4", "False", "(1, 3, 1)", &body), "shape [1, 3, 1]"),
            (npy("<f4", "False", "(0, 1, 3)", &[]), "shape"),
            (npy("<f4", "False", "(1, 1, 3)", &nan), "not finite"),
            (npy("<f4", "False", "(18446744073709551615, 2, 3)", &body), "does not match"),
        ];
        for (bytes, expected) in cases {
            let reason = parse(&bytes).unwrap_err();
            assert!(reason.contains(expected), "{reason} / {expected}");
        }
    }
}
