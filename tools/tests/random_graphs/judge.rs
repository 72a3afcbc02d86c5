//! One random network: what `check` and `quantize` say of it, and whether what they accept agrees
//! with the oracle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use fixnet::float::FloatModel;
use fixnet::format::Limits;
use fixnet::{AlignedBytes, KernelSet, Model};
use prost::Message;
use tools::calibrate::{Bits, Method};
use tools::data::{Content, InputShape, Pixels, Wanted};
use tools::graph::InputLayout;
use tools::images::Images;
use tools::pipeline::{
    Forecast, ImportOptions, Lowered, PackOptions, PipelineError, Planned, QuantizeOptions, Source,
};

use crate::generator::{Dice, Network, Softmax};
use crate::oracle::{Oracle, Outputs};
use crate::{int8, wire};

pub const CALIBRATION_IMAGES: usize = 8;
/// The first of those: the proof is about arithmetic, not about what calibration has not seen.
const JUDGED_IMAGES: usize = 3;

/// The kind of fault that one of tract's makes.
const JUDGE: &str = "the float judge";

/// Of the largest value of the oracle's.
const MAX_FLOAT_ERROR: f64 = 1e-4;

/// What came of one network.
pub enum Outcome {
    /// Accepted, and all agree.
    Agrees { split: bool },
    /// It has no int8 form, whole or split, as `check` says, and agrees in float.
    Fallback { why: String },
    /// Nothing runs it, as `check` says.
    Refused { why: String },
    /// Accepted, but the oracle does not run it.
    Unjudged { why: String },
    /// A broken promise.
    Wrong(Fault),
}

/// A broken promise: its kind, to count by, and the facts.
#[derive(Debug)]
pub struct Fault {
    pub kind: &'static str,
    pub facts: String,
}

pub fn fault<T>(kind: &'static str, facts: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { kind, facts: facts.into() })
}

/// Judges `network` within `folder`, where its file is left.
pub fn judge(network: &Network, oracle: &mut Oracle, folder: &Path) -> Outcome {
    let path = folder.join("graph.onnx");
    let bytes = wire::unpacked(&network.proto.encode_to_vec());
    std::fs::write(&path, bytes).expect("a writable folder");
    let loaded = match catch_unwind(AssertUnwindSafe(|| accepted(network, &path))) {
        Ok(Ok(Ok(accepted))) => accepted,
        Ok(Ok(Err(why))) => return whole_in_float(network, oracle, folder, &path, why),
        Ok(Err(fault)) => return Outcome::Wrong(fault),
        Err(panic) => return Outcome::Wrong(panicked(panic)),
    };
    if let Err(fault) = runs_independently(&path) {
        return Outcome::Wrong(fault);
    }
    let lowered = &loaded.planned.lowered;
    let pixels = pixels_of(network, lowered.input_shape());
    let inputs: Vec<Vec<f32>> =
        pixels.iter().map(|p| network.recipe.float_input(p, lowered.layout)).collect();
    let last = &network.proto.graph.as_ref().expect("a graph").output[0].name;
    let mut names = vec![network.scores.as_str()];
    names.extend(network.softmax.map(|_| last.as_str()));
    let expected = match oracle.run(folder, network, &inputs, &names) {
        Ok(outputs) => outputs,
        Err(why) => return Outcome::Unjudged { why },
    };
    let compared =
        catch_unwind(AssertUnwindSafe(|| agrees(network, &loaded, &pixels, &inputs, &expected)));
    match compared {
        Ok(Ok(())) => Outcome::Agrees { split: loaded.split },
        Ok(Err(mut fault)) => {
            if fault.kind == JUDGE {
                let culprit = first_wrong_tensor(network, oracle, folder, &inputs[..1]);
                fault.facts = format!("{culprit}; {}", fault.facts);
            }
            Outcome::Wrong(fault)
        }
        Err(panic) => Outcome::Wrong(panicked(panic)),
    }
}

/// Whole in float a network is held against an independent run of its file, which knows every node.
fn runs_independently(path: &Path) -> Result<(), Fault> {
    match Source::open(path).and_then(|source| source.keep_float(&ImportOptions::default())) {
        Ok(network) if network.unjudged.is_empty() => Ok(()),
        Ok(network) => fault("the independent run lacks a node", format!("{:?}", network.unjudged)),
        Err(error) => fault("the independent run", error.to_string()),
    }
}

/// What has no int8 form runs in float as it is, as with `--fallback tract`.
fn whole_in_float(
    network: &Network,
    oracle: &mut Oracle,
    folder: &Path,
    path: &Path,
    why: String,
) -> Outcome {
    let loaded = catch_unwind(|| Source::open(path)?.keep_float(&ImportOptions::default()));
    let part = match loaded {
        Ok(Ok(network)) => network.part,
        Ok(Err(error)) => {
            return match well_formed(path, &error) {
                Ok(()) => Outcome::Refused { why: error.to_string() },
                Err(fault) => Outcome::Wrong(fault),
            };
        }
        Err(panic) => return Outcome::Wrong(panicked(panic)),
    };
    let pixels = &pixels_of(network, part.input.into())[0];
    let layout = match network.shape[1..] {
        [_, _, 3] => InputLayout::Nhwc,
        _ => InputLayout::Nchw,
    };
    let image = network.recipe.float_input(pixels, layout);
    let expected = match oracle.run(folder, network, &[image], &[&network.scores]) {
        Ok(outputs) => outputs,
        Err(why) => return Outcome::Unjudged { why },
    };
    let found = part.run(&network.recipe.float_input(pixels, InputLayout::Nhwc));
    let agreed = found
        .or_else(|error| fault("the network whole in float fails", error.to_string()))
        .and_then(|found| close("the network whole in float", &found, &expected[0][0]));
    match agreed {
        Ok(()) => Outcome::Fallback { why },
        Err(fault) => Outcome::Wrong(fault),
    }
}

/// The first tensor, in the file's order, that the float judge computes otherwise than the oracle
/// when it is the only output.
fn first_wrong_tensor(
    network: &Network,
    oracle: &mut Oracle,
    folder: &Path,
    image: &[Vec<f32>],
) -> String {
    let nodes = &network.plain.graph.as_ref().expect("a graph").node;
    for node in nodes {
        let name = node.output[0].as_str();
        let expected = oracle.run(folder, network, image, &[name]);
        // Tensors of integers are not asked for.
        let Ok(expected) = expected else { continue };
        let float = FloatModel::load(&network.plain, None, &network.shape, &[name]);
        let found = float.and_then(|float| {
            let mut session = float.session();
            session.input_mut().copy_from_slice(&image[0]);
            session.run()
        });
        let same = found.is_ok_and(|found| close(JUDGE, &found[0], &expected[0][0]).is_ok());
        if !same {
            return format!("first at {name:?} ({})", node.op_type);
        }
    }
    "no tensor alone is wrong".to_string()
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Fault {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    Fault { kind: "panic", facts: text.split_whitespace().collect::<Vec<_>>().join(" ") }
}

/// A network that `quantize` takes.
pub struct Accepted {
    pub planned: Planned,
    split: bool,
    /// The portable model file, with every tensor whole.
    bytes: AlignedBytes,
}

/// The inner error is why `quantize` refuses the network, and with it `check`: whole, and split.
fn accepted(network: &Network, path: &Path) -> Result<Result<Accepted, String>, Fault> {
    let options = ImportOptions::default();
    let open = || Source::open(path);
    let checked = open().and_then(|source| source.check(&options, &Limits::DEFAULT));
    let whole = open().and_then(|source| source.lower(&options));
    let whole = whole.and_then(|lowered| quantized(network, &lowered, false));
    let supported = checked.as_ref().is_ok_and(Forecast::is_supported);
    let error = match (whole, supported) {
        (Ok(accepted), true) => return Ok(Ok(accepted)),
        (Ok(_), false) => {
            return fault("check refuses what quantize takes", format!("{checked:?}"));
        }
        (Err(error), true) => {
            return fault("quantize refuses what check supports", error.to_string());
        }
        (Err(error), false) => error,
    };
    well_formed(path, &error)?;
    let split = open().and_then(|source| source.partition(&options));
    let split = split.and_then(|lowered| quantized(network, &lowered, true));
    let expected = checked.as_ref().ok().and_then(|forecast| forecast.partition.as_ref());
    match (split, expected) {
        (Ok(accepted), Some(Ok(nodes))) => {
            let kept: Vec<_> = accepted.planned.lowered.float_nodes().collect();
            if kept != nodes.iter().collect::<Vec<_>>() {
                return fault("check names other nodes that stay in float", format!("{nodes:?}"));
            }
            Ok(Ok(accepted))
        }
        (Err(error), Some(Err(_)) | None) => {
            well_formed(path, &error)?;
            Ok(Err(error.to_string()))
        }
        (split, expected) => {
            let facts = format!("{:?}; check: {expected:?}", split.err());
            fault("check and quantize --partition disagree", facts)
        }
    }
}

/// An error is one line that begins with the file.
fn well_formed(path: &Path, error: &PipelineError) -> Result<(), Fault> {
    let text = error.to_string();
    if text.lines().count() != 1 || !text.starts_with(&path.display().to_string()) {
        return fault("an error that does not name its file first, on one line", text);
    }
    Ok(())
}

/// What `quantize` does with a float network, up to the model file.
fn quantized(
    network: &Network,
    lowered: &Arc<Lowered>,
    split: bool,
) -> Result<Accepted, PipelineError> {
    let images = Images::for_calibration(network.seed, CALIBRATION_IMAGES);
    let observed = lowered.observe(&images, &network.recipe, &())?;
    let planned = observed.quantize(options(network.seed))?.plan();
    let packed = planned.pack(&PackOptions::default())?;
    packed.model(&Limits::DEFAULT)?;
    Ok(Accepted { planned, split, bytes: packed.whole })
}

/// Choices of a quantization: mostly those that are made by default.
fn options(seed: u64) -> QuantizeOptions {
    let mut dice = Dice::new(seed ^ 0x006f_7074_696f_6e73);
    if dice.chance(50) {
        return QuantizeOptions::default();
    }
    QuantizeOptions {
        method: dice.pick(&[Method::Mse, Method::MinMax, Method::Percentile]),
        correct_bias: dice.chance(50),
        activation_bits: dice.pick(&[Bits::Seven, Bits::Eight]),
    }
}

fn pixels_of(network: &Network, shape: InputShape) -> Vec<Pixels> {
    let images = Images::for_calibration(network.seed, JUDGED_IMAGES);
    let wanted = Wanted::in_float(shape, Some(&network.recipe));
    let pixels = |index| images.sample(index, &wanted).ok()?.content.pixels().cloned();
    (0..JUDGED_IMAGES).map(|index| pixels(index).expect("generated")).collect()
}

fn agrees(
    network: &Network,
    accepted: &Accepted,
    pixels: &[Pixels],
    inputs: &[Vec<f32>],
    expected: &[Outputs],
) -> Result<(), Fault> {
    let lowered = &accepted.planned.lowered;
    if lowered.head.is_none() && lowered.tail.is_none() {
        let removed = lowered.outputs[0].removed.is_some();
        if removed != network.softmax.is_some() {
            return fault("Softmax taken off", format!("{:?}", lowered.outputs[0].removed));
        }
    }
    for ((pixels, input), expected) in pixels.iter().zip(inputs).zip(expected) {
        let judge = float_judge(lowered, input)?;
        close(JUDGE, &judge, &expected[0])?;
        if let (Some(softmax), Some(output)) = (network.softmax, expected.get(1)) {
            close("the float judge behind its Softmax", &softened(&judge, softmax), output)?;
        }
        let folded = folded(network, lowered, pixels)?;
        close("the folded graph", &folded, &expected[0])?;
    }
    let model = Model::new_checked(&accepted.bytes).expect("checked before");
    let reference = int8::runs_of(&model, KernelSet::REFERENCE, 1, pixels)?;
    int8::faithful(network, accepted, &model, &reference, expected)?;
    int8::same_bytes(network, accepted, pixels, &reference)
}

fn float_judge(lowered: &Lowered, input: &[f32]) -> Result<Vec<f32>, Fault> {
    let mut session = lowered.float.session();
    session.input_mut().copy_from_slice(input);
    let outputs = session.run();
    outputs
        .map(|outputs| outputs.into_iter().next().unwrap_or_default())
        .or_else(|error| fault("the float judge fails", error.to_string()))
}

/// The folded network, between its head and its tail.
fn folded(network: &Network, lowered: &Lowered, pixels: &Pixels) -> Result<Vec<f32>, Fault> {
    let failed = |error: fixnet::float::FloatError| Fault {
        kind: "the folded graph fails",
        facts: error.to_string(),
    };
    let wanted = Wanted::in_float(lowered.input_shape(), Some(&network.recipe));
    let content = Content::Pixels(pixels.clone());
    let input = lowered.inner_input(&content, &wanted).map_err(failed)?;
    let mut session = lowered.inner.session();
    session.input_mut().copy_from_slice(&input);
    let mut tensors = session.run().map_err(failed)?;
    let network = &lowered.network;
    let output = network.outputs[0];
    let at = output - usize::from(output > network.input);
    let last = std::mem::take(&mut tensors[at]);
    let Some(tail) = &lowered.tail else { return Ok(last) };
    let [height, width, channels] = network.tensors[output].shape;
    let plane = height * width;
    let hwc = (0..plane * channels).map(|i| last[i % channels * plane + i / channels]).collect();
    let hwc: Vec<f32> = hwc;
    tail.run(&hwc).map_err(failed)
}

fn softened(scores: &[f32], softmax: Softmax) -> Vec<f32> {
    let largest = scores.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
    let total: f64 = scores.iter().map(|&v| f64::from(v - largest).exp()).sum();
    let log = |&v: &f32| f64::from(v - largest) - total.ln();
    let value = |v: &f32| match softmax {
        Softmax::Plain => log(v).exp() as f32,
        Softmax::Log => log(v) as f32,
    };
    scores.iter().map(value).collect()
}

fn close(what: &'static str, found: &[f32], expected: &[f32]) -> Result<(), Fault> {
    if found.len() != expected.len() {
        let facts = format!("{} values, {} expected", found.len(), expected.len());
        return fault(what, facts);
    }
    let largest = expected.iter().fold(0.0f64, |m, &v| m.max(f64::from(v).abs()));
    let error = |(&f, &e): (&f32, &f32)| (f64::from(f) - f64::from(e)).abs();
    let worst = found.iter().zip(expected).map(error).fold(0.0, f64::max);
    // Values that cancel out altogether are rounding and nothing else.
    let finite = found.iter().chain(expected).all(|v| v.is_finite());
    if finite && worst <= MAX_FLOAT_ERROR * largest.max(int8::NOTHING) {
        return Ok(());
    }
    fault(
        what,
        format!("differs by {worst:.3e} of {largest:.3e}: {found:?}, expected {expected:?}"),
    )
}
