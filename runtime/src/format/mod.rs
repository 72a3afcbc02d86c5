//! The `.fxn` model file: byte layout, checked reader ([`Model`]) and, on the host, the writer.
//!
//! `docs/model-format.md` is the specification; the records below are its one definition in code.
//! Everything is little-endian and naturally aligned, so a file is used in place from flash: no
//! copy, no parsing at run time. What may not be broken: the size and meaning of a field of a
//! released version, and that [`Model::new_checked`] accepts nothing that could make a step read
//! or write outside its planned ranges.

mod activation;
mod check;
mod float_part;
mod layout;
mod limits;
mod model;
mod output;
mod payload;
#[cfg(feature = "write")]
mod repack;
mod section;
mod step;
mod version;
#[cfg(feature = "write")]
mod writer;

pub use activation::Activation;
pub use float_part::{FloatPart, FloatPartKind, FloatPartRecord, MAX_FLOAT_PARTS, ShapeRecord};
pub use layout::{Target, WeightForm, WeightLayout, Weights};
pub use limits::Limits;
pub use model::Model;
pub use output::{MAX_OUTPUTS, Output, OutputFunction, OutputKind, OutputRecord, Selection};
#[cfg(feature = "write")]
pub use payload::write_payload;
pub use payload::{
    PAYLOAD_MAGIC, PAYLOAD_VERSION, Payload, PayloadError, PayloadHeader, payload_flags,
};
#[cfg(feature = "write")]
pub use repack::unpack;
pub use step::{Channels, Layer, Operator, Step};
#[cfg(feature = "write")]
pub use writer::{FloatPartSpec, ModelSpec, OutputSpec, PreprocessSpec, StepSpec, write};

use limits::Work;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[cfg(target_endian = "big")]
compile_error!(
    "fixnet reads its little-endian model files in place and needs a little-endian target"
);

/// First four bytes of a model file.
pub const MAGIC: [u8; 4] = *b"FXN\x1a";
/// A reader refuses any other major version.
pub const VERSION_MAJOR: u16 = 1;
/// A reader accepts lower minor versions and refuses higher ones.
pub const VERSION_MINOR: u16 = version::LATEST_MINOR;
/// Alignment of the file in memory, of every section and of every tensor in the arena.
pub const ALIGNMENT: usize = 16;
/// Most steps, tensors or layers of one model: bounds the work of checking, which compares what each step
/// writes with all tensors that are there. Three times what the deepest networks of the
/// literature have (pre-activation ResNet-1001: 1,339).
pub const MAX_RECORDS: usize = 4096;
/// Marks an absent tensor or step reference.
pub const NONE: u16 = u16::MAX;

/// Rounds up to [`ALIGNMENT`].
#[must_use]
pub const fn align_up(n: usize) -> usize {
    n.saturating_add(ALIGNMENT - 1) & !(ALIGNMENT - 1)
}

/// The first 96 bytes of a file.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Header {
    pub magic: [u8; 4],
    pub version_major: u16,
    pub version_minor: u16,
    /// Length of the whole file.
    pub file_bytes: u32,
    /// CRC-32/ISO-HDLC of the bytes from 16 to `plan_bytes`.
    pub plan_crc32: u32,
    /// Length of the plan: everything before the weights.
    pub plan_bytes: u32,
    /// [`Target`] that the weights are laid out for.
    pub target: u16,
    pub tensor_count: u16,
    pub step_count: u16,
    pub layer_count: u16,
    /// Tensor that holds the int8 input and tensor that holds the i32 logits, the int8 values
    /// that a float tail takes, or the first output of the table.
    pub input_tensor: u16,
    pub output_tensor: u16,
    /// Bytes of activations in the arena; scratch comes on top.
    pub arena_bytes: u32,
    pub tensors_offset: u32,
    pub steps_offset: u32,
    pub layers_offset: u32,
    /// UTF-8 names, back to back; the model's own name is the first `model_name_bytes`.
    pub names_offset: u32,
    pub names_bytes: u32,
    pub model_name_bytes: u32,
    /// A [`PreprocessRecord`], with an [`AlphaRecord`] behind it for images of four channels; or 0.
    pub preprocess_offset: u32,
    /// [`FloatPartRecord`]s, or 0; since version 1.1.
    pub float_parts_offset: u32,
    pub float_part_count: u16,
    /// Length of the table of further inputs; since version 1.7.
    pub other_count: u16,
    /// Tensors (u16 each) that concatenations read behind their first, or 0; since version 1.7.
    pub others_offset: u32,
    /// [`OutputRecord`]s, or 0; since version 1.9.
    pub outputs_offset: u32,
    /// The classes' names, UTF-8, one a line, or 0; since version 1.9.
    pub labels_offset: u32,
    pub labels_bytes: u32,
    pub output_count: u16,
    pub reserved_h: u16,
    pub reserved: u32,
}

/// A tensor in the arena, HWC.
#[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct TensorRecord {
    /// Byte offset in the arena, a multiple of [`ALIGNMENT`].
    pub offset: u32,
    pub channels: u32,
    pub height: u16,
    pub width: u16,
    /// Real value of one step.
    pub scale: f32,
    pub zero_point: i8,
    /// 0: int8, 1: i32.
    pub element: u8,
    /// Rows that are in the arena at a time; 0: all. Since version 1.2.
    pub rows: u16,
}

/// One step of the plan.
#[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StepRecord {
    /// [`StepKind`].
    pub kind: u8,
    /// [`flags`].
    pub flags: u8,
    pub clamp_min: i8,
    pub clamp_max: i8,
    pub input: u16,
    /// Residual of a convolution or second operand of an addition, or [`NONE`].
    pub operand: u16,
    pub output: u16,
    /// The layer that this step computes: its own index.
    pub layer: u16,
    /// 1; more are left to steps of several layers.
    pub layer_count: u16,
    /// Height and width of the window; of everything that has one.
    pub kernel: [u16; 2],
    pub strides: [u16; 2],
    /// Top, left, bottom, right.
    pub pads: [u16; 4],
    pub dilations: [u16; 2],
    /// Fraction bits of the requantization; 0 where there is none.
    pub fraction_bits: u16,
    /// Of a convolution; number of further inputs of a [`StepKind::Concat`].
    pub groups: u32,
    /// Zero channels in front, for [`StepKind::Subsample`]; position of the first further input of a
    /// [`StepKind::Concat`] in the table of them.
    pub channels_before: u32,
    pub shift: u32,
    pub offset: i32,
    /// Residual multiplier of a convolution; multiplier of `operand` in an addition.
    pub operand_multiplier: i32,
    /// Multiplier of `input` in an addition.
    pub input_multiplier: i32,
    /// Weights, in the layout `weight_layout`; offset in the file.
    pub weights_offset: u32,
    pub weights_bytes: u32,
    /// Biases (i32 per channel), then multipliers (i32 per channel); offset in the file.
    pub channels_offset: u32,
    pub channels_bytes: u32,
    /// CRC-32/ISO-HDLC of the weights followed by the channel constants.
    pub weights_crc32: u32,
    /// [`WeightLayout`].
    pub weight_layout: u16,
    pub reserved_b: u16,
}

/// Bits of [`StepRecord::flags`].
pub mod flags {
    /// The output lies exactly on `operand`, or on `input` for a [`super::StepKind::Lookup`], and replaces it.
    pub const IN_PLACE: u8 = 1;
    /// An average pool divides by the number of taps inside the map, and has constants for each.
    pub const EXCLUDE_PADDING: u8 = 2;
}

impl StepRecord {
    /// Whether this is an average pool whose padding does not count.
    pub(crate) fn excludes_padding(&self) -> bool {
        self.kind == StepKind::AveragePool as u8 && self.flags & flags::EXCLUDE_PADDING != 0
    }
}

/// A layer: a named result, the same in every plan of a network.
#[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct LayerRecord {
    pub name_offset: u32,
    pub name_bytes: u32,
    pub channels: u32,
    pub height: u16,
    pub width: u16,
    /// As the writer counts them; a reader counts for itself.
    pub macs: u64,
}

/// How 8-bit pixels become the int8 input; see [`crate::preprocess`].
///
/// Of a grey image only the first channel has a meaning; that of a fourth channel stands in the
/// [`AlphaRecord`] behind this.
#[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PreprocessRecord {
    /// Length of the shorter side after resizing; 0: no resize.
    pub resize: u16,
    /// Side of the centre crop; 0: no crop.
    pub crop: u16,
    /// 1 if the network wants blue first.
    pub bgr: u8,
    pub reserved: [u8; 3],
    /// `real = ((x - mean_image) * scale - mean) / std` for x in 0..=255; mean, std and mean image are
    /// given red first, tables, gains and offsets in the network's order.
    pub scale: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// Per-pixel mean: `height * width * 3` f32 in HWC; 0: none.
    pub mean_image_offset: u32,
    /// Per-pixel offsets in fixed point: as many i32; 0 if there is no mean image.
    pub pixel_offsets: u32,
    /// With a mean image: `q = clamp((x * gains[c] + pixel_offset) >> 16)`.
    pub gains: [i32; 3],
    /// Without: `q = tables[c][x]`.
    pub tables: [[i8; 256]; 3],
}

/// The fourth channel of an image, alpha; fields as in [`PreprocessRecord`]. A mean image has it, too.
#[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct AlphaRecord {
    pub mean: f32,
    pub std: f32,
    pub gain: i32,
    pub table: [i8; 256],
}

/// What a step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum StepKind {
    /// Convolution with requantization, and residual addition where `operand` is given.
    Conv = 1,
    MaxPool = 2,
    AveragePool = 3,
    /// Addition of two int8 tensors at their own scales.
    Add = 4,
    /// Strided copy with zero channels around: the option-A shortcut.
    Subsample = 5,
    /// The classifier: a matrix-vector product to i32 logits.
    Logits = 6,
    /// An activation function by table of 256 entries, one for all channels or one for each.
    Lookup = 7,
    /// Elementwise product of two int8 tensors at their own scales.
    Multiply = 8,
    /// Channels of several tensors one behind the other, each with constants of its own.
    Concat = 9,
}

impl StepKind {
    /// The kind with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Conv,
            2 => Self::MaxPool,
            3 => Self::AveragePool,
            4 => Self::Add,
            5 => Self::Subsample,
            6 => Self::Logits,
            7 => Self::Lookup,
            8 => Self::Multiply,
            9 => Self::Concat,
            _ => return None,
        })
    }
}

/// CRC-32/ISO-HDLC, as zlib and Ethernet compute it.
///
/// Bare-metal builds trade speed for 15 KiB of tables.
#[cfg(feature = "std")]
pub static CRC32: crc::Crc<u32, crc::Table<16>> =
    crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISO_HDLC);
/// CRC-32/ISO-HDLC, as zlib and Ethernet compute it.
#[cfg(not(feature = "std"))]
pub static CRC32: crc::Crc<u32, crc::Table<1>> =
    crc::Crc::<u32, crc::Table<1>>::new(&crc::CRC_32_ISO_HDLC);

const _: () = {
    assert!(size_of::<Header>() == 96);
    assert!(size_of::<TensorRecord>() == 20);
    assert!(size_of::<StepRecord>() == 84);
    assert!(size_of::<LayerRecord>() == 24);
    assert!(size_of::<PreprocessRecord>() == 824);
    assert!(size_of::<AlphaRecord>() == 268);
};
