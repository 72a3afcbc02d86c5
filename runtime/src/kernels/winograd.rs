//! Winograd's transforms of 3x3 weights in integers, scalar: what packed layouts are made with.
//!
//! `U = G g G^T` with the integer forms of Lavin and Gray's `G` (arXiv:1509.09308); F(2x2) gives four
//! times the convolution, F(4x4) 576 times (see `kernels::winograd4`).

/// Taps of a filter, `[ky][kx]`.
const TAPS: usize = 9;

/// Rows of `G` for F(2x2, 3x3).
const G2: [[i32; 3]; 4] = [[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]];
/// Rows of `G` for F(4x4, 3x3).
const G4: [[i32; 3]; 6] = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 12]];

/// Rows of `G` for F(4x4, 3x3) at stride 2: five points of the outer taps, which meet even pixels, and the middle
/// tap.
const STRIDED: [[i32; 3]; 6] =
    [[3, 0, 0], [-3, 0, -3], [-1, 0, 1], [1, 0, 2], [0, 0, 6], [0, 6, 0]];

/// Rows of `G` for F(3x3, 4x4).
const STEM: [[i32; 4]; 6] =
    [[6, 0, 0, 0], [-4, -4, -4, -4], [-4, 4, -4, 4], [1, 2, 4, 8], [1, -2, 4, -8], [0, 0, 0, 12]];

/// `G g G^T` for F(2x2, 3x3): |u| <= 1152.
pub(super) fn transform2(filter: [i8; TAPS]) -> [i16; 16] {
    transform(&G2, |y, x| filter[y * 3 + x])
}

/// `G g G^T` for F(4x4, 3x3): |u| <= 18,432.
pub(super) fn transform4(filter: [i8; TAPS]) -> [i16; 36] {
    transform(&G4, |y, x| filter[y * 3 + x])
}

/// `G g G^T` for F(4x4, 3x3) at stride 2: |u| <= 4,608.
pub(super) fn transform_strided(filter: [i8; TAPS]) -> [i16; 36] {
    transform(&STRIDED, |y, x| filter[y * 3 + x])
}

/// The filter behind its transform; `None` if there is none.
pub(super) fn restore2(transformed: [i16; 16]) -> Option<[i8; TAPS]> {
    // Corners hold 4 g; rows 1 and 2 of G differ by twice the middle tap.
    let at = |y: usize, x: usize| i32::from(transformed[y * 4 + x]);
    let ends = [0, 3].map(|y| [at(y, 0) / 4, (at(y, 1) - at(y, 2)) / 4, at(y, 3) / 4]);
    let row = |y: usize| [at(y, 0) / 2, (at(y, 1) - at(y, 2)) / 2, at(y, 3) / 2];
    let (sum, difference) = (row(1), row(2));
    let middle = core::array::from_fn(|x| (sum[x] - difference[x]) / 2);
    let filter = narrow([ends[0], middle, ends[1]])?;
    (transform2(filter) == transformed).then_some(filter)
}

/// The filter behind its transform; `None` if there is none.
pub(super) fn restore4(transformed: [i16; 36]) -> Option<[i8; TAPS]> {
    let at = |y: usize, x: usize| i32::from(transformed[y * 6 + x]);
    // Rows 1 and 2 of G differ by eight times the middle tap.
    let row = |y: usize| [at(y, 0) / 6, (at(y, 2) - at(y, 1)) / 8, at(y, 5) / 12];
    let (top, low, high, bottom) = (row(0), row(1), row(2), row(5));
    let filter = narrow([
        top.map(|value| value / 6),
        core::array::from_fn(|x| (high[x] - low[x]) / 8),
        bottom.map(|value| value / 12),
    ])?;
    (transform4(filter) == transformed).then_some(filter)
}

/// `G g G^T` for F(3x3, 4x4) of channel `k` of a 7x7 window over three channels whose 2x2 pixels are one
/// of twelve, `[row][column][channel]`: |u| <= 32,768, of which only the negative end is reached.
pub(super) fn transform_stem(window: &[i8], k: usize) -> [i16; 36] {
    transform(&STEM, |y, x| stem_tap(k, y, x).and_then(|at| window.get(at)).copied().unwrap_or(0))
}

/// The filter behind its transform: each tap has a row of [`STRIDED`] to itself.
pub(super) fn restore_strided(transformed: [i16; 36]) -> Option<[i8; TAPS]> {
    const ROWS: [(usize, i16); 3] = [(0, 3), (5, 6), (4, 6)];
    let mut taps = [0; TAPS];
    for (tap, weight) in taps.iter_mut().enumerate() {
        let ((y, by_y), (x, by_x)) = (ROWS[tap / 3], ROWS[tap % 3]);
        *weight = i8::try_from(transformed[y * 6 + x] / (by_y * by_x)).ok()?;
    }
    Some(taps)
}

/// Writes the taps behind a transform of channel `k` to its window; `None` if there are none.
pub(super) fn restore_stem(transformed: [i16; 36], window: &mut [i8], k: usize) -> Option<()> {
    // The outer taps have rows of their own; rows 1 and 2 give the sums of even and odd taps.
    let axis = |r: [i32; 6]| {
        let (first, last) = (r[0] / 6, r[5] / 12);
        [first, (r[2] - r[1]) / 8 - last, -(r[1] + r[2]) / 8 - first, last]
    };
    let rows: [[i32; 4]; 6] =
        core::array::from_fn(|y| axis(core::array::from_fn(|x| i32::from(transformed[y * 6 + x]))));
    for x in 0..4 {
        let column = axis(rows.map(|row| row[x]));
        for (y, value) in column.into_iter().enumerate() {
            if let Some(tap) = stem_tap(k, y, x) {
                *window.get_mut(tap)? = i8::try_from(value).ok()?;
            }
        }
    }
    (transform_stem(window, k) == transformed).then_some(())
}

/// Where in a 7x7 window of three channels tap (`y`, `x`) of channel `k` of the 2x2 pixels lies.
fn stem_tap(k: usize, y: usize, x: usize) -> Option<usize> {
    let (ky, kx) = (2 * y + k / 6, 2 * x + k / 3 % 2);
    (ky < 7 && kx < 7).then_some((ky * 7 + kx) * 3 + k % 3)
}

fn narrow(rows: [[i32; 3]; 3]) -> Option<[i8; TAPS]> {
    let mut filter = [0; TAPS];
    for (tap, value) in filter.iter_mut().zip(rows.into_iter().flatten()) {
        *tap = i8::try_from(value).ok()?;
    }
    Some(filter)
}

fn transform<const T: usize, const N: usize, const P: usize>(
    g: &[[i32; T]; N],
    tap: impl Fn(usize, usize) -> i8,
) -> [i16; P] {
    core::array::from_fn(|position| {
        let (rows, columns) = (g[position / N], g[position % N]);
        let sums = (0..T).map(|y| {
            let row: i32 = (0..T).map(|x| i32::from(tap(y, x)) * columns[x]).sum();
            row * rows[y]
        });
        // The rows' factors bound the values to 16 bits.
        sums.sum::<i32>() as i16
    })
}

/// The taps of input channel `ic` of a window of `in_c` channels in OHWI order.
pub(super) fn taps(window: &[i8], in_c: usize, ic: usize) -> [i8; TAPS] {
    core::array::from_fn(|tap| window.get(tap * in_c + ic).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn transforms_are_restored(filter: [i8; TAPS]) {
            prop_assert_eq!(restore2(transform2(filter)), Some(filter));
            prop_assert_eq!(restore4(transform4(filter)), Some(filter));
        }

        #[test]
        fn stems_are_restored(window in prop::collection::vec(any::<i8>(), 147)) {
            let mut restored = vec![0; 147];
            for k in 0..12 {
                restore_stem(transform_stem(&window, k), &mut restored, k).expect("a transform");
            }
            prop_assert_eq!(restored, window);
        }

        #[test]
        fn what_is_no_transform_is_refused(filter: [i8; TAPS], at in 0..16usize, by in 1..9i16) {
            let mut two = transform2(filter);
            two[at] += by;
            prop_assert!(restore2(two).is_none_or(|other| transform2(other) == two));
            let mut four = transform4(filter);
            four[at] += by;
            prop_assert!(restore4(four).is_none_or(|other| transform4(other) == four));
        }
    }

    #[test]
    fn extreme_filters_stay_in_bounds() {
        let highest = |values: &[i16]| values.iter().map(|v| v.unsigned_abs()).max();
        assert_eq!(highest(&transform2([-128; TAPS])), Some(1152));
        assert_eq!(highest(&transform4([-128; TAPS])), Some(18_432));
    }
}
