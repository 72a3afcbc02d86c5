//! Accuracy, agreement and logit errors, summed over images.

use fixnet::format::OutputKind;

use super::outputs::decides;
use super::{Accuracy, Comparison, LayerComparison, OutputComparison};

/// Sums over images.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Scores {
    images: usize,
    float_top: [usize; 2],
    int8_top: [usize; 2],
    logits: usize,
    error: f64,
    worst: f64,
    largest: f64,
}

impl Scores {
    /// One image, in real values of the first output.
    pub fn for_image(kind: OutputKind, float: &[f64], int8: &[f64], label: Option<usize>) -> Self {
        let errors = float.iter().zip(int8).map(|(f, q)| (f - q).abs());
        let largest = float.iter().map(|f| f.abs()).fold(0.0, f64::max);
        Self {
            images: 1,
            float_top: label.map_or([0; 2], |label| top(rank(kind, float, label))),
            int8_top: label.map_or([0; 2], |label| top(rank(kind, int8, label))),
            logits: float.len(),
            error: errors.clone().sum(),
            worst: errors.fold(0.0, f64::max),
            largest,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        for i in 0..2 {
            self.float_top[i] += other.float_top[i];
            self.int8_top[i] += other.int8_top[i];
        }
        self.logits += other.logits;
        self.error += other.error;
        self.worst = self.worst.max(other.worst);
        self.largest = self.largest.max(other.largest);
    }

    /// `outputs` are judged; the first of them says whether there is a choice.
    pub fn comparison(
        &self,
        labels: bool,
        layer_images: usize,
        layers: Vec<LayerComparison>,
        outputs: Vec<OutputComparison>,
    ) -> Comparison {
        let agreement = outputs.first().and_then(|output| output.agreement);
        // Five positions are needed to be among them, and of one probability both classes are.
        let five = outputs.first().is_some_and(|output| match output.kind {
            "scores" => true,
            "index" => output.shape.iter().product::<usize>() >= 5,
            _ => false,
        });
        let share = |count: usize| count as f64 / self.images.max(1) as f64;
        let labels = labels && agreement.is_some();
        let accuracy = |[top1, top5]: [usize; 2]| Accuracy {
            top1: labels.then(|| share(top1)),
            top5: (labels && five).then(|| share(top5)),
        };
        Comparison {
            images: self.images,
            float: accuracy(self.float_top),
            int8: accuracy(self.int8_top),
            agreement,
            mean_logit_error: self.error / self.logits.max(1) as f64,
            worst_logit_error: self.worst,
            largest_logit: self.largest,
            layer_images,
            layers,
            outputs,
        }
    }
}

/// Number of classes that come before `label`.
fn rank(kind: OutputKind, values: &[f64], label: usize) -> usize {
    match (kind, values) {
        (OutputKind::Index, positions) => {
            let found = positions.iter().position(|&position| position == label as f64);
            found.unwrap_or(usize::MAX)
        }
        (OutputKind::Probability, &[yes]) => usize::from(usize::from(decides(yes)) != label),
        _ => rank_of_score(values, label),
    }
}

/// Higher scores, and equal ones of a lower index.
fn rank_of_score<T: PartialOrd>(logits: &[T], label: usize) -> usize {
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
        assert_eq!(rank_of_score(&[1, 3, 3, 0], 1), 0);
        assert_eq!(rank_of_score(&[1, 3, 3, 0], 2), 1);
        assert_eq!(fixnet::top_class(&[1, 3, 3, 0]), Some(1));
    }

    #[test]
    fn errors_are_in_real_units() {
        let scores = Scores::for_image(OutputKind::Scores, &[1.0, -2.0], &[1.5, -2.0], Some(0));
        assert_eq!((scores.error, scores.worst, scores.largest), (0.5, 0.5, 2.0));
        assert_eq!((scores.float_top, scores.int8_top), ([1, 1], [1, 1]));
    }

    #[test]
    fn a_label_is_a_position_of_an_index_and_a_decision_of_a_probability() {
        assert_eq!(rank(OutputKind::Index, &[4.0, 7.0], 7), 1);
        assert_eq!(rank(OutputKind::Index, &[4.0, 7.0], 0), usize::MAX);
        let ranks =
            [0.2, 0.5].map(|p| [0, 1].map(|label| rank(OutputKind::Probability, &[p], label)));
        assert_eq!(ranks, [[0, 1], [1, 0]]);
    }
}
