//! The two orders of a map's elements: pixel by pixel (HWC) and channel by channel (CHW).

/// Pixels that are moved at a time, so that their values stay in the cache.
const BLOCK: usize = 16;

/// Values in HWC order, channel by channel; as many as `shape` (height, width, channels) has, 0 where there
/// are none.
#[must_use]
pub fn chw(values: &[f32], [height, width, channels]: [usize; 3]) -> Vec<f32> {
    transposed(values, [height * width, channels])
}

/// Values that lie channel by channel, in HWC order; as [`chw`].
#[must_use]
pub fn hwc(values: &[f32], [height, width, channels]: [usize; 3]) -> Vec<f32> {
    transposed(values, [channels, height * width])
}

/// Columns of a matrix of `rows` x `columns`, one after the other.
fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut to = vec![0.0; rows * columns];
    if to.is_empty() {
        return to;
    }
    for (block, from) in values.chunks(BLOCK * columns).enumerate() {
        for (column, to) in to.chunks_exact_mut(rows).enumerate() {
            let from = from.iter().skip(column).step_by(columns);
            for (to, value) in to.iter_mut().skip(block * BLOCK).zip(from) {
                *to = *value;
            }
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_elements_are_each_others_inverse() {
        for shape @ [height, width, channels] in [[2, 3, 4], [1, 1, 7], [7, 5, 1], [9, 11, 21]] {
            let values: Vec<f32> = (0..height * width * channels).map(|i| i as f32).collect();
            let planes = chw(&values, shape);
            for (at, value) in planes.iter().enumerate() {
                let (channel, pixel) = (at / (height * width), at % (height * width));
                assert_eq!(*value, values[pixel * channels + channel]);
            }
            assert_eq!(hwc(&planes, shape), values);
        }
        assert!(chw(&[], [0, 4, 3]).is_empty());
        assert_eq!(hwc(&[1.0], [1, 2, 1]), [1.0, 0.0]);
    }
}
