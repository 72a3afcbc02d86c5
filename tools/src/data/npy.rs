//! Arrays in NumPy's `.npy` files (format versions 1.0 to 3.0).
//!
//! The reader is strict: little-endian values in C order, exactly as many bytes as the shape needs. Everything
//! else is refused with the reason.

/// Bytes of magic number and version.
const PREFIX: usize = 8;

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    /// As many as the shape says, the last dimension varying fastest.
    pub elements: Elements,
}

/// The values of an array.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// float32, or float64 rounded to it.
    Float(Vec<f32>),
    Int8(Vec<i8>),
    Uint8(Vec<u8>),
    /// Of another type, which has this name.
    Other(String),
}

impl Elements {
    /// Number of values, where they were read.
    fn len(&self) -> Option<usize> {
        match self {
            Self::Float(values) => Some(values.len()),
            Self::Int8(values) => Some(values.len()),
            Self::Uint8(values) => Some(values.len()),
            Self::Other(_) => None,
        }
    }

    /// What NumPy calls the type.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Float(_) => "float32",
            Self::Int8(_) => "int8",
            Self::Uint8(_) => "uint8",
            Self::Other(name) => name,
        }
    }
}

impl Array {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (header, body) = split_header(bytes)?;
        if field(header, "fortran_order")? != "False" {
            return Err("Fortran order (save it with numpy.ascontiguousarray)".to_owned());
        }
        let elements = elements(field(header, "descr")?, body)?;
        let shape = shape(field(header, "shape")?)?;
        let expected = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        if let Some(found) = elements.len().filter(|&found| Some(found) != expected) {
            return Err(format!("shape {shape:?} does not match its {found} values"));
        }
        Ok(Self { shape, elements })
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

fn shape(text: &str) -> Result<Vec<usize>, String> {
    let sides: Option<Vec<usize>> = text
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok().filter(|&side| side > 0))
        .collect();
    sides.ok_or_else(|| format!("shape {text}"))
}

fn elements(descr: &str, body: &[u8]) -> Result<Elements, String> {
    Ok(match descr {
        "'<f4'" => Elements::Float(exact_chunks(body)?.map(f32::from_le_bytes).collect()),
        "'<f8'" => {
            Elements::Float(exact_chunks(body)?.map(|b| f64::from_le_bytes(b) as f32).collect())
        }
        "'|i1'" | "'<i1'" => Elements::Int8(body.iter().map(|b| b.cast_signed()).collect()),
        "'|u1'" | "'<u1'" => Elements::Uint8(body.to_vec()),
        other => Elements::Other(type_name(other.trim_matches('\''))),
    })
}

/// What NumPy calls the type behind a description such as `<i8`; the description, if it is of no number.
fn type_name(descr: &str) -> String {
    let mut letters = descr.trim_start_matches(['<', '|', '=']).chars();
    let kind = match letters.next() {
        Some('f') => "float",
        Some('i') => "int",
        Some('u') => "uint",
        Some('c') => "complex",
        Some('b') => return "bool".to_owned(),
        _ => return descr.to_owned(),
    };
    match letters.as_str().parse::<usize>() {
        Ok(bytes) => format!("{kind}{}", bytes.saturating_mul(8)),
        Err(_) => descr.to_owned(),
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
    fn four_element_types_and_any_rank_are_read() {
        let array = |descr, shape, body: &[u8]| Array::parse(&npy(descr, "False", shape, body));
        let floats = array("<f4", "(1, 2)", &f32_bytes(&[0.5, -2.0])).unwrap();
        assert_eq!(floats, Array { shape: vec![1, 2], elements: Elements::Float(vec![0.5, -2.0]) });
        let body: Vec<u8> = [0.5f64, 1.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(array("<f8", "(2,)", &body).unwrap().elements, Elements::Float(vec![0.5, 1.5]));
        let bytes = array("|i1", "(1, 1, 2, 1)", &[255, 3]).unwrap();
        assert_eq!(bytes, Array { shape: vec![1, 1, 2, 1], elements: Elements::Int8(vec![-1, 3]) });
        assert_eq!(array("|u1", "()", &[9]).unwrap().elements, Elements::Uint8(vec![9]));
    }

    #[test]
    fn other_types_are_told_by_their_names() {
        let types = [("<i8", "int64"), ("<f2", "float16"), ("|b1", "bool"), (">f4", ">f4")];
        for (descr, name) in types {
            let array = Array::parse(&npy(descr, "False", "(7, 2)", &[])).unwrap();
            assert_eq!((array.elements.name(), array.shape), (name, vec![7, 2]));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let body = f32_bytes(&[1.0, 2.0, 3.0]);
        let good = npy("<f4", "False", "(1, 1, 3)", &body);
        let cases = [
            (b"PNG".to_vec(), "not a .npy"),
            (good[..20].to_vec(), "cut short"),
            (good[..good.len() - 1].to_vec(), "middle of a value"),
            (good[..good.len() - 4].to_vec(), "does not match"),
            (npy("<f4", "True", "(1, 1, 3)", &body), "Fortran"),
            (npy("<f4", "False", "(0, 1, 3)", &[]), "shape"),
            (npy("<f4", "False", "(18446744073709551615, 2, 3)", &body), "does not match"),
        ];
        for (bytes, expected) in cases {
            let reason = Array::parse(&bytes).unwrap_err();
            assert!(reason.contains(expected), "{reason} / {expected}");
        }
    }
}
