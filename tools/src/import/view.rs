//! How a tensor of the file looks at a value of the graph.
//!
//! The graph's values lie in C, H, W order, whatever the file does. Transposes, reshapes and
//! flattens of the file move no data here: they only change the view, a list of dimensions each of
//! which is a run of the value's axes. Axes of size 1 are left out (they can be anywhere), so that
//! two views are equal exactly when they order the elements alike.
//! Example: a `[64, 7, 7]` value seen as NHWC is `[], [H], [W], [C]`, flattened in that order it is
//! `[], [H, W, C]`.

/// An axis of a feature map; the order of the variants is the graph's memory order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Axis {
    C,
    H,
    W,
}

use Axis::{C, H, W};

/// Axes of a four-dimensional tensor after its batch.
pub(super) const NCHW: [Axis; 3] = [C, H, W];
pub(super) const NHWC: [Axis; 3] = [H, W, C];

#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    /// Sizes of C, H and W.
    pub sizes: [usize; 3],
    dims: Vec<Vec<Axis>>,
}

impl View {
    /// `[1, ..]` with one dimension for each axis of `order`.
    pub fn image(sizes: [usize; 3], order: [Axis; 3]) -> Self {
        let size = |axis: Axis| sizes[axis as usize];
        let dim = |axis| {
            if size(axis) > 1 { vec![axis] } else { Vec::new() }
        };
        Self { sizes, dims: vec![Vec::new(), dim(order[0]), dim(order[1]), dim(order[2])] }
    }

    /// `rank - 1` dimensions of size 1, then `len` elements.
    pub fn vector(len: usize, rank: usize) -> Self {
        let mut dims = vec![Vec::new(); rank];
        if let Some(last) = dims.last_mut().filter(|_| len > 1) {
            last.push(C);
        }
        Self { sizes: [len, 1, 1], dims }
    }

    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    pub fn size(&self, axis: Axis) -> usize {
        self.sizes[axis as usize]
    }

    pub fn elements(&self) -> usize {
        self.sizes.iter().product()
    }

    /// The shape that the file gives this tensor.
    pub fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|dim| dim.iter().map(|&a| self.size(a)).product()).collect()
    }

    /// Axes of dimension `index`.
    pub fn axes(&self, index: usize) -> &[Axis] {
        self.dims.get(index).map_or(&[], Vec::as_slice)
    }

    /// `None` if `perm` is not a permutation of the dimensions.
    pub fn transposed(&self, perm: &[usize]) -> Option<Self> {
        let mut seen = vec![false; self.rank()];
        let mut dims = Vec::with_capacity(self.rank());
        for &source in perm {
            let seen = seen.get_mut(source).filter(|seen| !**seen)?;
            *seen = true;
            dims.push(self.dims[source].clone());
        }
        (dims.len() == self.rank()).then_some(Self { sizes: self.sizes, dims })
    }

    /// The same elements in the same order under another shape; `None` where an axis would have to
    /// be cut in pieces.
    pub fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        let mut axes = self.dims.iter().flatten().copied();
        let mut dims = Vec::with_capacity(shape.len());
        for &wanted in shape {
            let (mut dim, mut size) = (Vec::new(), 1);
            while size < wanted {
                let axis = axes.next()?;
                size *= self.size(axis);
                dim.push(axis);
            }
            if size != wanted {
                return None;
            }
            dims.push(dim);
        }
        axes.next().is_none().then_some(Self { sizes: self.sizes, dims })
    }

    /// This view without the dimensions `removed`, which must have size 1.
    pub fn squeezed(&self, removed: &[usize]) -> Option<Self> {
        if removed.iter().any(|&i| !self.axes(i).is_empty()) {
            return None;
        }
        let kept = self.dims.iter().enumerate().filter(|(i, _)| !removed.contains(i));
        Some(Self { sizes: self.sizes, dims: kept.map(|(_, dim)| dim.clone()).collect() })
    }

    /// The axes in which a four-dimensional tensor can be read, if it is an image at all.
    pub fn image_order(&self) -> Option<[Axis; 3]> {
        [NCHW, NHWC].into_iter().find(|&order| *self == Self::image(self.sizes, order))
    }

    pub fn is_nchw(&self) -> bool {
        *self == Self::image(self.sizes, NCHW)
    }

    /// Order of the elements in the last dimension when all other dimensions have size 1.
    pub fn flat_order(&self) -> Option<&[Axis]> {
        let (last, rest) = self.dims.split_last()?;
        rest.iter().all(Vec::is_empty).then_some(last.as_slice())
    }

    /// For each element in the order of `axes`, its position in C, H, W order.
    pub fn chw_positions(&self, axes: &[Axis]) -> Vec<usize> {
        let [_, height, width] = self.sizes;
        let mut positions = vec![0];
        for &axis in axes {
            let stride = match axis {
                C => height * width,
                H => width,
                W => 1,
            };
            let size = self.size(axis);
            positions = positions
                .iter()
                .flat_map(|&base| (0..size).map(move |i| base + i * stride))
                .collect();
        }
        positions
    }
}

/// Whether `axes` are in the graph's own order.
pub(super) fn in_graph_order(axes: &[Axis]) -> bool {
    axes.is_sorted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reshape_merges_and_separates_whole_axes_only() {
        let view = View::image([64, 7, 5], NHWC);
        assert_eq!(view.shape(), [1, 7, 5, 64]);
        let flat = view.reshaped(&[1, 7 * 5 * 64]).expect("whole axes");
        assert_eq!(flat.flat_order(), Some(&[H, W, C][..]));
        assert!(flat.reshaped(&[1, 7, 5, 64]).is_some_and(|v| v == view));
        assert!(flat.reshaped(&[1, 64, 7, 5]).is_none());
        assert!(view.reshaped(&[1, 7, 5, 63]).is_none());
        assert!(view.reshaped(&[0]).is_none());
    }

    #[test]
    fn positions_lead_from_the_files_order_to_the_graphs() {
        let view = View::image([2, 1, 3], NHWC);
        assert_eq!(view.chw_positions(&[H, W, C]), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn a_transpose_there_and_back_is_the_same_view() {
        let view = View::image([3, 8, 9], NCHW);
        let there = view.transposed(&[0, 2, 3, 1]).expect("a permutation");
        assert_eq!(there.image_order(), Some(NHWC));
        assert_eq!(there.transposed(&[0, 3, 1, 2]), Some(view.clone()));
        assert_eq!(view.transposed(&[0, 1, 1, 2]), None);
        assert_eq!(view.transposed(&[0, 1, 2]), None);
    }
}
