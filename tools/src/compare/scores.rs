//! Accuracy, agreement and logit errors, summed over images.

use super::{Accuracy, Comparison, LayerComparison};

/// Sums over images.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Scores {
    images: usize,
    agree: usize,
    float_top: [usize; 2],
    int8_top: [usize; 2],
    logits: usize,
    error: f64,
    worst: f64,
    largest: f64,
}

impl Scores {
    /// One image, in real values.
    pub fn for_image(float: &[f32], int8: &[f64], label: Option<usize>) -> Self {
        let errors = float.iter().zip(int8).map(|(&f, &q)| (f64::from(f) - q).abs());
        let largest = float.iter().map(|f| f64::from(f.abs())).fold(0.0, f64::max);
        Self {
            images: 1,
            agree: usize::from(fixnet::top_class(float) == fixnet::top_class(int8)),
            float_top: label.map_or([0; 2], |l| top(rank(float, l))),
            int8_top: label.map_or([0; 2], |l| top(rank(int8, l))),
            logits: float.len(),
            error: errors.clone().sum(),
            worst: errors.fold(0.0, f64::max),
            largest,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.agree += other.agree;
        for i in 0..2 {
            self.float_top[i] += other.float_top[i];
            self.int8_top[i] += other.int8_top[i];
        }
        self.logits += other.logits;
        self.error += other.error;
        self.worst = self.worst.max(other.worst);
        self.largest = self.largest.max(other.largest);
    }

    /// `chooses`: there is more than one class to choose from.
    pub fn comparison(
        &self,
        chooses: bool,
        labels: bool,
        layer_images: usize,
        layers: Vec<LayerComparison>,
    ) -> Comparison {
        let share = |count: usize| count as f64 / self.images.max(1) as f64;
        let accuracy = |[top1, top5]: [usize; 2]| Accuracy {
            top1: (chooses && labels).then(|| share(top1)),
            top5: (chooses && labels).then(|| share(top5)),
        };
        Comparison {
            images: self.images,
            float: accuracy(self.float_top),
            int8: accuracy(self.int8_top),
            agreement: chooses.then(|| share(self.agree)),
            mean_logit_error: self.error / self.logits.max(1) as f64,
            worst_logit_error: self.worst,
            largest_logit: self.largest,
            layer_images,
            layers,
        }
    }
}

/// Number of classes that come before `label`: higher ones, and equal ones of a lower index.
fn rank<T: PartialOrd>(logits: &[T], label: usize) -> usize {
    let Some(own) = logits.get(label) else { return usize::MAX };
    let before = |(class, value): &(usize, &T)| *value > own || (*value == own && *class < label);
    logits.iter().enumerate().filter(before).count()
}

/// Whether the label is first, and whether it is among the first five.
fn top(rank: usize) -> [usize; 2] {
    [usize::from(rank < 1), usize::from(rank < 5)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lowest_class() {
        assert_eq!(rank(&[1, 3, 3, 0], 1), 0);
        assert_eq!(rank(&[1, 3, 3, 0], 2), 1);
        assert_eq!(fixnet::top_class(&[1, 3, 3, 0]), Some(1));
    }

    #[test]
    fn errors_are_in_real_units() {
        let scores = Scores::for_image(&[1.0, -2.0], &[1.5, -2.0], Some(0));
        assert_eq!((scores.error, scores.worst, scores.largest), (0.5, 0.5, 2.0));
        assert_eq!((scores.agree, scores.float_top, scores.int8_top), (1, [1, 1], [1, 1]));
    }
}
