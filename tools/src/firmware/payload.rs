//! The payload of a bare-metal image: the model, and input images resized as the model asks for.

use fixnet::Model;
use fixnet::format::write_payload;
use thiserror::Error;

/// Why there is no payload.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PayloadInputError {
    #[error("an input has {available} bytes and the model needs {needed}")]
    InputLength { needed: usize, available: usize },
    #[error("model and inputs together exceed 4 GiB")]
    TooLarge,
}

/// The payload of a model file and 8-bit RGB inputs of its size, HWC.
///
/// # Errors
/// [`PayloadInputError`].
pub fn payload(
    model: &Model<'_>,
    file: &[u8],
    inputs: &[Vec<u8>],
    flags: u16,
) -> Result<Vec<u8>, PayloadInputError> {
    let needed = model.input().elements();
    if let Some(input) = inputs.iter().find(|input| input.len() != needed) {
        return Err(PayloadInputError::InputLength { needed, available: input.len() });
    }
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    write_payload(file, &inputs, flags).ok_or(PayloadInputError::TooLarge)
}
