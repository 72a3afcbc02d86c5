//! The payload of a bare-metal image: the model, and inputs of its shape.

use fixnet::format::{payload_flags, write_payload};
use fixnet::{Model, SessionError};
use thiserror::Error;

use crate::data::Content;

/// Why there is no payload.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PayloadInputError {
    #[error(transparent)]
    Input(#[from] SessionError),
    #[error("model and inputs together exceed 4 GiB")]
    TooLarge,
}

/// The payload of a model file and inputs of its shape: pixels if all are images, int8 tensors otherwise.
///
/// # Errors
/// [`PayloadInputError`].
pub fn payload(
    model: &Model<'_>,
    file: &[u8],
    inputs: &[&Content],
    flags: u16,
) -> Result<Vec<u8>, PayloadInputError> {
    let pixels = |input: &&Content| input.pixels().map(|pixels| pixels.data.clone());
    let images: Option<Vec<Vec<u8>>> = inputs.iter().map(pixels).collect();
    let (inputs, flags) = match images {
        Some(images) => (images, flags),
        None => (tensors(model, inputs)?, flags | payload_flags::TENSORS),
    };
    let needed = model.input().elements();
    if let Some(input) = inputs.iter().find(|input| input.len() != needed) {
        return Err(SessionError::InputLength { needed, available: input.len() }.into());
    }
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    write_payload(file, &inputs, flags).ok_or(PayloadInputError::TooLarge)
}

/// The bytes of the int8 inputs.
fn tensors(model: &Model<'_>, inputs: &[&Content]) -> Result<Vec<Vec<u8>>, SessionError> {
    let tensor =
        |input: &&Content| Ok(input.int8(model)?.into_iter().map(i8::cast_unsigned).collect());
    inputs.iter().map(tensor).collect()
}
