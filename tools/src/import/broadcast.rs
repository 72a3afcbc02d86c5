//! NumPy broadcasting, as ONNX defines it.

use super::error::NodeProblem;

/// The shape to which both operands are stretched.
pub(super) fn broadcast_shape(left: &[usize], right: &[usize]) -> Result<Vec<usize>, NodeProblem> {
    let rank = left.len().max(right.len());
    let dim =
        |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let stretch = |i| match (dim(left, i), dim(right, i)) {
        (a, b) if a == b => Some(a),
        (1, b) => Some(b),
        (a, 1) => Some(a),
        _ => None,
    };
    let shape: Option<Vec<usize>> = (0..rank).map(stretch).collect();
    shape.ok_or_else(|| NodeProblem::Shapes { left: left.to_vec(), right: right.to_vec() })
}

/// For each element of `target`, the position of its source in a tensor of `shape`.
/// `shape` must broadcast to `target`.
pub(super) fn source_positions(shape: &[usize], target: &[usize]) -> Vec<usize> {
    if target.contains(&0) {
        return Vec::new();
    }
    let offset = target.len() - shape.len();
    let mut positions = vec![0];
    let mut stride = 1;
    // From the last axis outwards: each axis repeats the inner block at its own stride.
    for (axis, &size) in target.iter().enumerate().rev() {
        let source = axis.checked_sub(offset).map_or(1, |at| shape[at]);
        let step = if source == 1 { 0 } else { stride };
        positions = (0..size).flat_map(|i| positions.iter().map(move |&p| p + i * step)).collect();
        stride *= source;
    }
    positions
}

/// `op` on each pair of elements; both operands must broadcast to `shape`.
pub(super) fn zip<T: Copy, R>(
    (left, left_shape): (&[T], &[usize]),
    (right, right_shape): (&[T], &[usize]),
    shape: &[usize],
    op: impl Fn(T, T) -> R,
) -> Vec<R> {
    let left_positions = source_positions(left_shape, shape);
    let right_positions = source_positions(right_shape, shape);
    let pairs = left_positions.into_iter().zip(right_positions);
    pairs.map(|(l, r)| op(left[l], right[r])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_a_column_make_a_table() {
        let shape = broadcast_shape(&[2, 1], &[3]).expect("compatible");
        assert_eq!(shape, [2, 3]);
        let sums = zip((&[10, 20], &[2, 1]), (&[1, 2, 3], &[3]), &shape, |a, b| a + b);
        assert_eq!(sums, [11, 12, 13, 21, 22, 23]);
        assert!(broadcast_shape(&[2], &[3]).is_err());
    }
}
