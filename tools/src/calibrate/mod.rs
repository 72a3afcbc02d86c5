//! Calibration: the ranges of all activations, seen by running the float network on images.
//!
//! What may not be broken: memory does not grow with the number of images, and the result depends
//! on neither their order nor the number of threads (sums of means are made in fixed chunks).

mod range;

use fixnet::float::{FloatError, FloatModel};
use rayon::prelude::*;

pub use range::{Bits, Method, Range};
pub use values::{Histogram, Statistics};

use crate::data::DataError;
use crate::lower::Network;

/// Why calibration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    #[error(transparent)]
    Float(#[from] FloatError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("tensor {tensor} becomes NaN or infinite on calibration image {image}")]
    NotFinite { tensor: String, image: usize },
    #[error("there are no calibration images")]
    NoImages,
}

/// Images handled by one thread before its observations are merged.
const CHUNK: usize = 8;

/// Observes every tensor of `network` while `float`, whose outputs are the network's tensors in
/// order without the input, runs on `count` images; `image(i)` gives image `i` as the float
/// network's NCHW input. `done` is called once an image.
///
/// # Errors
/// [`CalibrateError`]: the first image that fails, by index.
pub fn calibrate(
    network: &Network,
    float: &FloatModel,
    count: usize,
    image: impl Fn(usize) -> Result<Vec<f32>, CalibrateError> + Sync,
    done: impl Fn() + Sync,
) -> Result<Vec<Statistics>, CalibrateError> {
    if count == 0 {
        return Err(CalibrateError::NoImages);
    }
    let mut total = vec![Statistics::default(); network.tensors.len()];
    let chunks: Vec<usize> = (0..count).step_by(CHUNK).collect();
    // Merging in rounds, in order, keeps sums independent of scheduling and memory bounded.
    for round in chunks.chunks(2 * rayon::current_num_threads()) {
        let observed: Vec<Result<Vec<Statistics>, CalibrateError>> = round
            .par_iter()
            .map(|&start| {
                let images = start..count.min(start + CHUNK);
                observe(network, float, images, &image, &done)
            })
            .collect();
        for chunk in observed {
            for (total, chunk) in total.iter_mut().zip(chunk?) {
                total.merge(&chunk);
            }
        }
    }
    Ok(total)
}

fn observe(
    network: &Network,
    float: &FloatModel,
    images: std::ops::Range<usize>,
    image: &impl Fn(usize) -> Result<Vec<f32>, CalibrateError>,
    done: &impl Fn(),
) -> Result<Vec<Statistics>, CalibrateError> {
    let mut observed = vec![Statistics::default(); network.tensors.len()];
    let mut session = float.session();
    for index in images {
        let input = image(index)?;
        if input.len() != session.input_mut().len() {
            let (needed, available) = (session.input_mut().len(), input.len());
            return Err(FloatError::InputLength { needed, available }.into());
        }
        session.input_mut().copy_from_slice(&input);
        let outputs = session.run()?;
        let tensors = (0..network.tensors.len()).filter(|&t| t != network.input);
        let inner = tensors.zip(outputs.iter().map(Vec::as_slice));
        for (tensor, values) in inner.chain([(network.input, input.as_slice())]) {
            if !values::all_finite(values) {
                let tensor = network.tensors[tensor].name.clone();
                return Err(CalibrateError::NotFinite { tensor, image: index });
            }
            observed[tensor].extend(values, network.tensors[tensor].shape[2]);
        }
        done();
    }
    Ok(observed)
}
