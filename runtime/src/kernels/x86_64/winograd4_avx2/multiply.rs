//! The 36 products of matrices: a group of tiles times a block of output channels.

use super::super::outer_product;
use super::{BLOCK, GROUP, POSITIONS};

/// Where the tiles of a group lie in the transformed input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'v> {
    /// `[position][tile][input channel]`.
    pub values: &'v [i16],
    /// From one position to the next.
    pub stride: usize,
    /// The first tile's first channel of the chunk, within a position.
    pub first: usize,
    /// From one tile to the next.
    pub channels: usize,
}

/// Multiplies `tiles` tiles with a block of weights over `count` input channels, at all positions;
/// the products replace those of earlier channels, or add to them.
#[target_feature(enable = "avx2")]
pub(super) fn group(
    inputs: Inputs<'_>,
    weights: &[i16],
    weights_stride: usize,
    tiles: usize,
    count: usize,
    add: bool,
    products: &mut [i32],
) {
    let positions = products.chunks_exact_mut(GROUP * BLOCK).take(POSITIONS).enumerate();
    for (position, products) in positions {
        let values = inputs.values.get(position * inputs.stride + inputs.first..);
        let weights = weights.get(position * weights_stride..);
        let (Some(values), Some(weights)) = (values, weights) else { return };
        outer_product::multiply(tiles, values, inputs.channels, weights, count, add, products);
    }
}
