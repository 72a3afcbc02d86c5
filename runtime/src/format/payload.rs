//! What a host hands to a bare-metal image: a model, inputs for it, and what to report.
//!
//! The block lies in flash, put there by [`crate::include_model!`], or in memory outside the image,
//! put there by a boot loader or an emulator. Little-endian; the header is followed by the model
//! file at a multiple of [`ALIGNMENT`], then by the inputs, back to back. The header's checksum
//! covers the header only: the model has checks of its own. What may not be broken: a block that
//! [`Payload::new_checked`] accepts lies within the bytes given, whatever they are.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{ALIGNMENT, CRC32};

/// First four bytes of a payload.
pub const PAYLOAD_MAGIC: [u8; 4] = *b"FXPL";
/// A reader refuses any other version.
pub const PAYLOAD_VERSION: u16 = 1;

/// Bits of [`PayloadHeader::flags`].
pub mod payload_flags {
    /// Report the CRC-32 of every layer's output.
    pub const CHECKSUMS: u16 = 1;
    /// Read the clock only around a whole inference.
    pub const NO_LAYER_CLOCK: u16 = 2;
    /// Before the first inference, show how an arena is refused that is too small or misaligned.
    pub const REFUSED_ARENAS: u16 = 4;
    /// The inputs are int8 tensors, HWC, on the grid of the model's input, not pixels.
    pub const TENSORS: u16 = 8;
    /// All bits that have a meaning.
    pub const ALL: u16 = CHECKSUMS | NO_LAYER_CLOCK | REFUSED_ARENAS | TENSORS;
}

/// The first 64 bytes of a payload.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PayloadHeader {
    pub magic: [u8; 4],
    pub version: u16,
    /// [`payload_flags`].
    pub flags: u16,
    /// Length of the whole payload.
    pub total_bytes: u32,
    /// From the payload's start, a multiple of [`ALIGNMENT`].
    pub model_offset: u32,
    pub model_bytes: u32,
    pub inputs_offset: u32,
    /// Length of one input: 8-bit pixels, or values, HWC, of the network's shape.
    pub input_bytes: u32,
    pub input_count: u32,
    pub reserved: [u32; 7],
    /// CRC-32/ISO-HDLC of the 60 bytes before.
    pub crc32: u32,
}

const HEADER_BYTES: usize = size_of::<PayloadHeader>();
const CHECKED_BYTES: usize = HEADER_BYTES - size_of::<u32>();
const _: () = assert!(HEADER_BYTES == 64);

/// A checked payload.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'p> {
    flags: u16,
    model: &'p [u8],
    inputs: &'p [u8],
    input_bytes: usize,
}

/// Why a payload was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PayloadError {
    /// No payload lies there.
    Missing,
    /// The payload does not start at a multiple of `needed`.
    Misaligned { needed: usize, address: usize },
    /// Of a version, or with flags, that this image does not know.
    Unsupported { version: u16, flags: u16 },
    /// The header does not have the checksum that it states.
    Checksum { expected: u32, found: u32 },
    /// The payload is longer than the memory it lies in.
    Length { needed: usize, available: usize },
    /// The model or the inputs lie outside the payload.
    BadSection { offset: u32, bytes: u32 },
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing => f.write_str("no model and inputs were given to the image"),
            Self::Misaligned { needed, address } => {
                write!(f, "the payload lies at {address:#x}, not at a multiple of {needed}")
            }
            Self::Unsupported { version, flags } => {
                write!(f, "payload version {version} with flags {flags:#x} is not supported")
            }
            Self::Checksum { expected, found } => {
                write!(
                    f,
                    "the payload's header is damaged: checksum {found:08x}, not {expected:08x}"
                )
            }
            Self::Length { needed, available } => {
                write!(f, "the payload needs {needed} bytes and {available} are there")
            }
            Self::BadSection { offset, bytes } => {
                write!(f, "{bytes} bytes at offset {offset} are outside the payload")
            }
        }
    }
}

impl core::error::Error for PayloadError {}

impl<'p> Payload<'p> {
    /// Checks the payload that `bytes` begin with; more may follow.
    ///
    /// # Errors
    /// [`PayloadError`]; the model and the inputs are not looked at.
    pub fn new_checked(bytes: &'p [u8]) -> Result<Self, PayloadError> {
        let Ok((header, _)) = PayloadHeader::read_from_prefix(bytes) else {
            return Err(PayloadError::Missing);
        };
        if header.magic != PAYLOAD_MAGIC {
            return Err(PayloadError::Missing);
        }
        let address = bytes.as_ptr() as usize;
        if !address.is_multiple_of(ALIGNMENT) {
            return Err(PayloadError::Misaligned { needed: ALIGNMENT, address });
        }
        let found = CRC32.checksum(bytes.get(..CHECKED_BYTES).unwrap_or_default());
        if found != header.crc32 {
            return Err(PayloadError::Checksum { expected: header.crc32, found });
        }
        let (version, flags) = (header.version, header.flags);
        if version != PAYLOAD_VERSION
            || flags & !payload_flags::ALL != 0
            || header.reserved.iter().any(|&word| word != 0)
        {
            return Err(PayloadError::Unsupported { version, flags });
        }
        let needed = header.total_bytes as usize;
        let Some(payload) = bytes.get(..needed) else {
            return Err(PayloadError::Length { needed, available: bytes.len() });
        };
        let section = |offset: u32, bytes: u32| {
            let start = offset as usize;
            let end = start.checked_add(bytes as usize).filter(|_| start >= HEADER_BYTES);
            end.and_then(|end| payload.get(start..end))
                .ok_or(PayloadError::BadSection { offset, bytes })
        };
        if !(header.model_offset as usize).is_multiple_of(ALIGNMENT) {
            let (offset, bytes) = (header.model_offset, header.model_bytes);
            return Err(PayloadError::BadSection { offset, bytes });
        }
        let model = section(header.model_offset, header.model_bytes)?;
        let all_inputs = header.input_bytes.saturating_mul(header.input_count);
        let inputs = section(header.inputs_offset, all_inputs)?;
        Ok(Self { flags, model, inputs, input_bytes: header.input_bytes as usize })
    }

    /// The model file, aligned as [`super::Model::new_checked`] needs it, and as yet unchecked.
    #[must_use]
    pub fn model(&self) -> &'p [u8] {
        self.model
    }

    /// The inputs: 8-bit pixels, or the bytes of int8 values where they are [`Payload::tensors`], HWC, of the
    /// network's shape if the host is right.
    pub fn inputs(&self) -> impl Iterator<Item = &'p [u8]> {
        self.inputs.chunks_exact(self.input_bytes.max(1))
    }

    /// Whether to report the CRC-32 of every layer's output.
    #[must_use]
    pub fn checksums(&self) -> bool {
        self.flags & payload_flags::CHECKSUMS != 0
    }

    /// Whether the inputs are int8 tensors on the grid of the model's input.
    #[must_use]
    pub fn tensors(&self) -> bool {
        self.flags & payload_flags::TENSORS != 0
    }

    /// Whether to read the clock around every layer.
    #[must_use]
    pub fn layer_clock(&self) -> bool {
        self.flags & payload_flags::NO_LAYER_CLOCK == 0
    }

    /// Whether to show how arenas are refused.
    #[must_use]
    pub fn refused_arenas(&self) -> bool {
        self.flags & payload_flags::REFUSED_ARENAS != 0
    }
}

/// The bytes of a payload; `None` if the inputs differ in length or 4 GiB do not hold it all.
#[cfg(feature = "write")]
#[must_use]
pub fn write_payload(model: &[u8], inputs: &[&[u8]], flags: u16) -> Option<std::vec::Vec<u8>> {
    let input_bytes = inputs.first().map_or(0, |input| input.len());
    if inputs.iter().any(|input| input.len() != input_bytes) {
        return None;
    }
    let inputs_offset = HEADER_BYTES + super::align_up(model.len());
    let total = inputs.len().checked_mul(input_bytes)?.checked_add(inputs_offset)?;
    let mut header = PayloadHeader {
        magic: PAYLOAD_MAGIC,
        version: PAYLOAD_VERSION,
        flags,
        total_bytes: u32::try_from(total).ok()?,
        model_offset: u32::try_from(HEADER_BYTES).ok()?,
        model_bytes: u32::try_from(model.len()).ok()?,
        inputs_offset: u32::try_from(inputs_offset).ok()?,
        input_bytes: u32::try_from(input_bytes).ok()?,
        input_count: u32::try_from(inputs.len()).ok()?,
        reserved: [0; 7],
        crc32: 0,
    };
    header.crc32 = CRC32.checksum(header.as_bytes().get(..CHECKED_BYTES)?);
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(model);
    bytes.resize(inputs_offset, 0);
    inputs.iter().for_each(|input| bytes.extend_from_slice(input));
    Some(bytes)
}
