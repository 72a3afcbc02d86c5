//! The chain as another program uses it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fixnet::ModelError;
use fixnet::format::{Limits, Target};

use super::*;
use crate::calibrate::{CalibrateError, Method};
use crate::data::{DataError, Pixels, Recipe, to_png};
use crate::images::Images;
use crate::import;
use crate::packing::PackingError;

fn lowered() -> Arc<Lowered> {
    Source::bundled().unwrap().lower(&ImportOptions::default()).unwrap()
}

fn observed(images: usize) -> Observed {
    let images = Images::for_calibration(0, images);
    lowered().observe(&images, &Recipe::default(), &()).unwrap()
}

fn planned() -> Planned {
    observed(1).quantize(QuantizeOptions::default()).unwrap().plan()
}

/// Every call but those of [`Progress::advance`], which are counted.
#[derive(Default)]
struct Told {
    calls: Mutex<Vec<String>>,
    images: AtomicUsize,
}

impl Told {
    fn all(self) -> (Vec<String>, usize) {
        (self.calls.into_inner().unwrap(), self.images.into_inner())
    }
}

impl Progress for Told {
    fn begin(&self, stage: Stage, images: usize) {
        self.calls.lock().unwrap().push(format!("begin {stage:?} {images}"));
    }

    fn advance(&self) {
        self.images.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.calls.lock().unwrap().push("end".to_string());
    }
}

#[test]
fn stages_go_from_thread_to_thread() {
    fn goes<T: Send + Sync + 'static>() {}
    goes::<Source>();
    goes::<Imported>();
    goes::<Folded>();
    goes::<Arc<Lowered>>();
    goes::<Observed>();
    goes::<Quantized>();
    goes::<Planned>();
    goes::<Packed>();
    goes::<Comparison>();
    goes::<PipelineError>();
}

#[test]
fn one_observation_is_quantized_in_several_ways_and_alike_in_the_same() {
    let observed = observed(2);
    let with = |method| {
        let options = QuantizeOptions { method, ..QuantizeOptions::default() };
        observed.quantize(options).unwrap().plan().write().unwrap().to_vec()
    };
    assert_eq!(with(Method::Mse), with(Method::Mse));
    assert_ne!(with(Method::Mse), with(Method::MinMax));
}

#[test]
fn one_plan_is_packed_for_every_machine_and_compared_in_one_form() {
    let planned = planned();
    let mut whole = BTreeSet::new();
    for target in Target::ALL {
        let packed = planned.pack(&PackOptions { target, max_bytes: None }).unwrap();
        assert_eq!(packed.model(&Limits::DEFAULT).unwrap().target(), target);
        whole.insert(packed.whole.to_vec());
    }
    assert_eq!(whole.len(), 1);
    let portable = planned.pack(&PackOptions::default()).unwrap();
    assert_eq!(portable.bytes.to_vec(), planned.write().unwrap().to_vec());
}

#[test]
fn an_observer_is_told_of_every_image() {
    let (observing, comparing) = (Told::default(), Told::default());
    let network = lowered();
    let images = Images::for_calibration(0, 9);
    let observed = network.observe(&images, &Recipe::default(), &observing).unwrap();
    assert_eq!(observing.all(), (vec!["begin Observe 9".to_string(), "end".to_string()], 9));
    let planned = observed.quantize(QuantizeOptions::default()).unwrap().plan();
    let packed = planned.pack(&PackOptions::default()).unwrap();
    let images = Images::for_comparison(0, 3);
    packed.compare(&images, &CompareOptions::default(), &comparing).unwrap();
    assert_eq!(comparing.all(), (vec!["begin Compare 3".to_string(), "end".to_string()], 3));
}

#[test]
fn an_observer_is_told_of_the_end_of_a_stage_that_fails() {
    let told = Told::default();
    let images = Images::for_calibration(0, 0);
    let error = lowered().observe(&images, &Recipe::default(), &told).unwrap_err();
    assert!(matches!(error.problem(), Some(Problem::Calibrate(CalibrateError::NoImages))));
    assert_eq!(told.all().0, ["begin Observe 0", "end"]);
}

#[test]
fn what_is_wrong_with_a_network_is_typed_and_names_its_file_on_one_line() {
    let planned = planned();
    let options = PackOptions { target: Target::Portable, max_bytes: Some(1) };
    let too_large = planned.pack(&options).unwrap_err();
    assert!(matches!(
        too_large.problem(),
        Some(Problem::Pack(PackingError::TooLarge { available: 1, .. }))
    ));
    let packed = planned.pack(&PackOptions::default()).unwrap();
    let limits = Limits::DEFAULT.with_macs(1);
    let options = CompareOptions { limits, ..CompareOptions::default() };
    let images = Images::for_comparison(0, 1);
    let too_much = packed.compare(&images, &options, &()).unwrap_err();
    assert!(matches!(
        too_much.problem(),
        Some(Problem::Model(ModelError::TooMuchWork { limit: 1, .. }))
    ));
    for error in [too_large, too_much] {
        let line = error.to_string();
        assert!(line.starts_with("resnet20-cifar10.onnx: ") && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn what_is_wrong_with_a_file_or_an_image_names_that() {
    let missing = Path::new("no-such-file.onnx");
    let error = load(Some(missing), &LoadOptions::default()).unwrap_err();
    assert!(matches!(
        &error,
        PipelineError::Import(error) if matches!(error.problem, import::Problem::Read(_))
    ));
    assert!(error.to_string().starts_with("no-such-file.onnx: "), "{error}");
    let recipe = Recipe { crop: Some(1), ..Recipe::default() };
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("grey.png");
    fs::write(&picture, to_png(&Pixels::from_fn(64, 64, |_, _| [0; 3])).unwrap()).unwrap();
    let images = Images::open(&picture, &Default::default()).unwrap();
    let error = lowered().observe(&images, &recipe, &()).unwrap_err();
    assert!(matches!(error, PipelineError::Data(DataError::WrongSize { .. })), "{error}");
    assert!(error.to_string().starts_with("grey.png: "), "{error}");
}
