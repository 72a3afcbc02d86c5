//! Constants of the file: initializers and `Constant` nodes as plain vectors.
//!
//! Lengths are checked before anything is allocated: no allocation here is larger than the bytes
//! that the file really has.

use half::{bf16, f16};
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

use super::error::{NodeProblem, TensorProblem};
use super::external::{self, ModelFolder};

/// A constant: floats of any width become f32, integers and booleans i64.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub shape: Vec<usize>,
    pub data: Data,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

impl Data {
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }
}

impl Tensor {
    pub fn ints(values: Vec<i64>) -> Self {
        Self { shape: vec![values.len()], data: Data::Int(values) }
    }

    pub fn int(value: i64) -> Self {
        Self { shape: Vec::new(), data: Data::Int(vec![value]) }
    }

    pub fn float(value: f32) -> Self {
        Self { shape: Vec::new(), data: Data::Float(vec![value]) }
    }

    pub fn floats(values: Vec<f32>) -> Self {
        Self { shape: vec![values.len()], data: Data::Float(values) }
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// The values as integers, if that is what they are.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(values) => Some(values),
            Data::Float(_) => None,
        }
    }

    /// The same of a tensor that is a shape, a list of axes or the like.
    pub fn integers(&self) -> Result<&[i64], NodeProblem> {
        let problem = NodeProblem::Constant("a list of integers was expected, found floats");
        self.as_ints().ok_or(problem)
    }

    /// The values as floats; integers are converted.
    pub fn to_floats(&self) -> Vec<f32> {
        match &self.data {
            Data::Float(values) => values.clone(),
            Data::Int(values) => values.iter().map(|&v| v as f32).collect(),
        }
    }

    /// Reads `proto`, which holds its own data.
    pub fn read(proto: &TensorProto) -> Result<Self, TensorProblem> {
        let (shape, len) = checked_shape(proto)?;
        let element = element_type(proto)?;
        let data = if proto.raw_data.is_empty() {
            decode_fields(proto, element)
        } else {
            let needed = byte_length(proto, element, len)?;
            check_length(proto, needed, proto.raw_data.len(), "bytes")?;
            decode_raw(element, &proto.raw_data)
        };
        check_length(proto, len, data.len(), "values")?;
        Ok(Self { shape, data })
    }
}

/// Puts the data of an external tensor into the tensor itself.
pub(crate) fn inline(proto: &mut TensorProto, folder: &ModelFolder) -> Result<(), TensorProblem> {
    if !external::is_external(proto) {
        return Ok(());
    }
    let (_, len) = checked_shape(proto)?;
    let needed = byte_length(proto, element_type(proto)?, len)?;
    proto.raw_data = folder.read(proto, needed)?;
    proto.data_location = None;
    proto.external_data.clear();
    Ok(())
}

fn checked_shape(proto: &TensorProto) -> Result<(Vec<usize>, usize), TensorProblem> {
    let bad = || TensorProblem::Dims { tensor: proto.name.clone(), dims: proto.dims.clone() };
    let shape: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or_else(bad)?;
    let len = element_count(&shape).ok_or_else(bad)?;
    Ok((shape, len))
}

/// Product of the dimensions, `None` on overflow.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

fn element_type(proto: &TensorProto) -> Result<DataType, TensorProblem> {
    use DataType::*;
    let unsupported = |name: &str| TensorProblem::ElementType {
        tensor: proto.name.clone(),
        element_type: name.to_string(),
    };
    let Ok(element) = DataType::try_from(proto.data_type) else {
        return Err(unsupported(&proto.data_type.to_string()));
    };
    match element {
        Float | Double | Float16 | Bfloat16 | Int8 | Uint8 | Int16 | Uint16 | Int32 | Uint32
        | Int64 | Uint64 | Bool => Ok(element),
        other => Err(unsupported(other.as_str_name())),
    }
}

fn byte_length(proto: &TensorProto, element: DataType, len: usize) -> Result<usize, TensorProblem> {
    let width = match element {
        DataType::Double | DataType::Int64 | DataType::Uint64 => 8,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 2,
        _ => 1,
    };
    len.checked_mul(width)
        .ok_or_else(|| TensorProblem::Dims { tensor: proto.name.clone(), dims: proto.dims.clone() })
}

fn check_length(
    proto: &TensorProto,
    needed: usize,
    found: usize,
    unit: &'static str,
) -> Result<(), TensorProblem> {
    if needed == found {
        return Ok(());
    }
    Err(TensorProblem::Length { tensor: proto.name.clone(), needed, found, unit })
}

/// Little-endian elements, as `raw_data` and external files hold them.
fn decode_raw(element: DataType, bytes: &[u8]) -> Data {
    fn map<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
    }
    match element {
        DataType::Float => Data::Float(values::bytes::to_f32(bytes)),
        DataType::Double => Data::Float(map(bytes, |b| f64::from_le_bytes(b) as f32)),
        DataType::Float16 => Data::Float(map(bytes, |b| f16::from_le_bytes(b).to_f32())),
        DataType::Bfloat16 => Data::Float(map(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        DataType::Int64 => Data::Int(map(bytes, i64::from_le_bytes)),
        DataType::Uint64 => Data::Int(map(bytes, |b| u64::from_le_bytes(b) as i64)),
        DataType::Int32 => Data::Int(map(bytes, |b| i32::from_le_bytes(b).into())),
        DataType::Uint32 => Data::Int(map(bytes, |b| u32::from_le_bytes(b).into())),
        DataType::Int16 => Data::Int(map(bytes, |b| i16::from_le_bytes(b).into())),
        DataType::Uint16 => Data::Int(map(bytes, |b| u16::from_le_bytes(b).into())),
        DataType::Int8 => Data::Int(map(bytes, |b| i8::from_le_bytes(b).into())),
        _ => Data::Int(map(bytes, |b| u8::from_le_bytes(b).into())),
    }
}

/// Elements of the typed fields; which one holds them is fixed by `TensorProto`'s documentation.
fn decode_fields(proto: &TensorProto, element: DataType) -> Data {
    let halves = |convert: fn(u16) -> f32| {
        Data::Float(proto.int32_data.iter().map(|&bits| convert(bits as u16)).collect())
    };
    match element {
        DataType::Float => Data::Float(proto.float_data.clone()),
        DataType::Double => Data::Float(proto.double_data.iter().map(|&v| v as f32).collect()),
        DataType::Float16 => halves(|bits| f16::from_bits(bits).to_f32()),
        DataType::Bfloat16 => halves(|bits| bf16::from_bits(bits).to_f32()),
        DataType::Int64 => Data::Int(proto.int64_data.clone()),
        DataType::Uint64 | DataType::Uint32 => {
            Data::Int(proto.uint64_data.iter().map(|&v| v as i64).collect())
        }
        _ => Data::Int(proto.int32_data.iter().map(|&v| v.into()).collect()),
    }
}
