//! Every output judged by its kind: scores by the choice, probabilities by the decision, indices by equality,
//! vectors and maps by SQNR and cosine.
//!
//! What may not be broken: where a kind leaves no choice there is no agreement, so that one that follows from the
//! kind is never printed.

use fixnet::format::{Output, OutputKind, Selection};
use serde::Serialize;
use values::fidelity::Sums;

use super::{CompareError, Subjects};
use crate::graph::InputLayout;

/// A probability from which on the decision is yes.
const THRESHOLD: f64 = 0.5;

/// How one output follows the float network's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutputComparison {
    pub name: String,
    /// `scores`, `probability`, `index`, `vector` or `map`.
    pub kind: &'static str,
    /// Height, width and channels of a map; the number of other values.
    pub shape: Vec<usize>,
    /// Of scores the share of images with the same first class, of probabilities that of the same decisions, of
    /// indices that of the same positions; none of others, and of one score.
    pub agreement: Option<f64>,
    /// `10 log10(sum f^2 / sum (f - q)^2)`; none of indices.
    pub sqnr_db: Option<f64>,
    pub cosine: Option<f64>,
    /// Largest absolute difference, and largest absolute float value; none of indices.
    pub worst_error: Option<f64>,
    pub largest: Option<f64>,
}

/// An output of both networks.
pub(super) struct Given<'m> {
    output: Output<'m>,
    pub kind: OutputKind,
    pub shape: Vec<usize>,
    /// Height, width and channels of the tensor, where the float network's is in another order.
    chw: Option<[usize; 3]>,
}

impl<'m> Given<'m> {
    /// The outputs of the model file, which must be the network's.
    pub fn all(subjects: &Subjects<'m>) -> Result<Vec<Self>, CompareError> {
        let told: Vec<Output<'m>> = subjects.model.outputs().collect();
        let classes = subjects.model.classes();
        let of_file = |o: &Output<'_>| (o.kind, o.function, o.selection);
        let of_network = subjects.outputs.iter().map(|o| (o.kind, o.function, o.selection));
        let has_tail = subjects.model.float_parts().next().is_some();
        if !has_tail && !told.iter().map(of_file).eq(of_network) {
            let name = |kind: OutputKind, name: &str| format!("{name:?} ({})", kind.name());
            let int8: Vec<String> = told.iter().map(|o| name(o.kind, o.name)).collect();
            let float: Vec<String> =
                subjects.outputs.iter().map(|o| name(o.kind, &o.name)).collect();
            return Err(CompareError::Outputs { float: float.join(", "), int8: int8.join(", ") });
        }
        let names = subjects.outputs.iter().map(|output| output.layout);
        let given = told.into_iter().zip(names).map(|(output, layout)| {
            let shape = output.activation.shape();
            Self {
                kind: output.kind,
                shape: match output.kind {
                    OutputKind::Map => shape.to_vec(),
                    // Behind a tail.
                    OutputKind::Scores if has_tail => vec![classes],
                    _ => vec![output.count],
                },
                chw: (layout == Some(InputLayout::Nchw)).then_some(shape),
                output,
            }
        });
        Ok(given.collect())
    }

    /// The float network's tensor in HWC order.
    pub fn hwc(&self, float: &[f64]) -> Vec<f64> {
        let Some([height, width, channels]) = self.chw else { return float.to_vec() };
        let plane = height * width;
        let at = |index: usize| float.get(index % channels * plane + index / channels);
        (0..float.len()).filter_map(at).copied().collect()
    }

    /// What the output is, of the real values of its tensor.
    pub fn values(&self, tensor: &[f64]) -> Vec<f64> {
        self.output.values(tensor)
    }
}

/// Sums over images.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct OutputSums {
    /// Choices that are the same, of so many.
    same: usize,
    choices: usize,
    sums: Sums,
    worst: f64,
    largest: f64,
}

impl OutputSums {
    /// One image: the real values of the output's tensors.
    pub fn for_image(given: &Given<'_>, float: &[f64], int8: &[f64]) -> Self {
        let (float, int8) = (given.values(&given.hwc(float)), given.values(int8));
        let pairs = || float.iter().zip(&int8);
        let mut one = Self::default();
        match given.kind {
            OutputKind::Scores if float.len() > 1 => {
                one.choices = 1;
                one.same = usize::from(fixnet::top_class(&float) == fixnet::top_class(&int8));
            }
            OutputKind::Probability => {
                one.choices = float.len();
                one.same = pairs().filter(|(f, q)| decides(**f) == decides(**q)).count();
            }
            OutputKind::Index => {
                one.choices = float.len();
                one.same = pairs().filter(|(f, q)| f == q).count();
            }
            _ => {}
        }
        if given.kind != OutputKind::Index {
            one.sums = Sums::of_f64(&float, &int8);
            one.worst = pairs().map(|(f, q)| (f - q).abs()).fold(0.0, f64::max);
            one.largest = float.iter().map(|f| f.abs()).fold(0.0, f64::max);
        }
        one
    }

    pub fn add(&mut self, other: &Self) {
        self.same += other.same;
        self.choices += other.choices;
        self.sums.add(&other.sums);
        self.worst = self.worst.max(other.worst);
        self.largest = self.largest.max(other.largest);
    }

    pub fn comparison(&self, given: &Given<'_>) -> OutputComparison {
        let real = given.output.selection != Selection::Positions;
        OutputComparison {
            name: given.output.name.to_string(),
            kind: given.kind.name(),
            shape: given.shape.clone(),
            agreement: (self.choices > 0).then(|| self.same as f64 / self.choices as f64),
            sqnr_db: real.then(|| self.sums.sqnr_db()),
            cosine: real.then(|| self.sums.cosine()),
            worst_error: real.then_some(self.worst),
            largest: real.then_some(self.largest),
        }
    }
}

/// The decision of a probability.
pub(super) fn decides(probability: f64) -> bool {
    probability >= THRESHOLD
}
