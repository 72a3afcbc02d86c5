//! One input of a network: an image, or a tensor that is none.
//!
//! What may not be broken: the float network and the int8 network get the very same input. Of an image these
//! are its 8-bit pixels; of a tensor its real values.

use fixnet::format::{CRC32, FloatPartKind};
#[cfg(feature = "tract")]
use fixnet::hybrid::{HybridError, HybridSession};
use fixnet::preprocess::{is_image, pixels_to_input};
use fixnet::{Model, Session, SessionError};
use values::order;

use super::{Pixels, Recipe, recipe_of};
use crate::graph::InputLayout;

/// What a network's input has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputShape {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl InputShape {
    /// Number of values.
    #[must_use]
    pub const fn elements(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether images have so many channels.
    #[must_use]
    pub const fn is_image(&self) -> bool {
        is_image(self.channels)
    }
}

/// Height, width, channels.
impl From<[usize; 3]> for InputShape {
    fn from([height, width, channels]: [usize; 3]) -> Self {
        Self { height, width, channels }
    }
}

/// The int8 grid of a model's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Real value of one step.
    pub scale: f32,
    /// The int8 value of real 0.
    pub zero_point: i8,
}

/// What a network takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub shape: InputShape,
    /// How an image becomes the float input; none if the network takes tensors that are no images.
    pub recipe: Option<Recipe>,
    /// On which int8 values of files stand; none before calibration has found it, and of a float input.
    pub grid: Option<Grid>,
}

impl Wanted {
    /// What a model file takes.
    #[must_use]
    pub fn by(model: &Model<'_>) -> Self {
        let (scale, zero_point) = (model.input().scale, model.input().zero_point);
        Self {
            shape: model.image_shape().into(),
            recipe: recipe_of(model),
            grid: begins_in_int8(model).then_some(Grid { scale, zero_point }),
        }
    }

    /// What a float network takes.
    #[must_use]
    pub fn in_float(shape: InputShape, recipe: Option<&Recipe>) -> Self {
        Self { shape, recipe: recipe.cloned(), grid: None }
    }
}

/// One input at the network's size.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// File name, or `FILE.bin:INDEX`.
    pub name: String,
    pub content: Content,
    pub label: Option<usize>,
}

/// What a network sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Of an image, in as many channels as the network takes.
    Pixels(Pixels),
    /// The float network's own input, HWC.
    Real(Vec<f32>),
}

impl Content {
    /// The pixels of an image.
    #[must_use]
    pub const fn pixels(&self) -> Option<&Pixels> {
        match self {
            Self::Pixels(pixels) => Some(pixels),
            Self::Real(_) => None,
        }
    }

    /// The float network's input, HWC, by the recipe of [`Wanted`] that this was read with.
    #[must_use]
    pub fn real(&self, wanted: &Wanted) -> Vec<f32> {
        match (self, &wanted.recipe) {
            (Self::Pixels(pixels), Some(recipe)) => recipe.float_input(pixels, InputLayout::Nhwc),
            (Self::Pixels(pixels), None) => pixels.data.iter().map(|&x| x.into()).collect(),
            (Self::Real(values), _) => values.clone(),
        }
    }

    /// [`Content::real`] in the layout of the network's file.
    #[must_use]
    pub fn in_layout(&self, wanted: &Wanted, layout: InputLayout) -> Vec<f32> {
        let InputShape { height, width, channels } = wanted.shape;
        match layout {
            InputLayout::Nchw => order::chw(&self.real(wanted), [height, width, channels]),
            InputLayout::Nhwc => self.real(wanted),
        }
    }

    /// Sets the input of a session.
    ///
    /// # Errors
    /// [`SessionError`] if it is of another network.
    pub fn set(&self, session: &mut Session<'_, '_>) -> Result<(), SessionError> {
        match self {
            Self::Pixels(pixels) => session.set_pixels(&pixels.data),
            Self::Real(values) => session.set_real(values),
        }
    }

    /// Sets the input of a session with parts in float.
    ///
    /// # Errors
    /// [`HybridError`] if it is of another network.
    #[cfg(feature = "tract")]
    pub fn set_hybrid(&self, session: &mut HybridSession<'_, '_>) -> Result<(), HybridError> {
        match self {
            Self::Pixels(pixels) => session.set_pixels(&pixels.data),
            Self::Real(values) => session.set_real(values),
        }
    }

    /// The int8 input, HWC, of a model that does not begin in float.
    ///
    /// # Errors
    /// [`SessionError`] if it is of another network.
    pub fn int8(&self, model: &Model<'_>) -> Result<Vec<i8>, SessionError> {
        let grid = model.input();
        match self {
            Self::Pixels(pixels) => {
                let mut input = vec![0; grid.elements()];
                pixels_to_input(model, &pixels.data, &mut input)?;
                Ok(input)
            }
            Self::Real(values) if values.len() == grid.elements() => {
                Ok(values.iter().map(|&value| grid.quantize(value)).collect())
            }
            Self::Real(values) => {
                let (needed, available) = (grid.elements(), values.len());
                Err(SessionError::InputLength { needed, available })
            }
        }
    }

    /// CRC-32 of the int8 input; where the model begins in float, of the pixels or the values.
    ///
    /// # Errors
    /// As [`Content::int8`].
    pub fn crc32(&self, model: &Model<'_>) -> Result<u32, SessionError> {
        Ok(CRC32.checksum(&match self {
            _ if begins_in_int8(model) => {
                self.int8(model)?.into_iter().map(i8::cast_unsigned).collect()
            }
            Self::Pixels(pixels) => pixels.data.clone(),
            Self::Real(values) => values::bytes::of_f32(values),
        }))
    }
}

/// Whether nothing in float is before the plan.
fn begins_in_int8(model: &Model<'_>) -> bool {
    let first = model.float_parts().next().map(|part| part.kind);
    first.is_none_or(|kind| kind == FloatPartKind::Tail)
}
