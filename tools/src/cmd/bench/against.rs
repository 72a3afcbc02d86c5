//! The rivals of `fixnet bench --against`: the network's ONNX file on the same image.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use fixnet::Model;

use super::{Args, Contestant, Rival};
use crate::cmd::InFile;
use crate::cmd::{import_options, with_spinner};
use crate::data::{Content, InputShape, Wanted};
use crate::files::ScratchFolder;
use crate::graph::InputLayout;
use crate::pipeline::{BUNDLED, Lowered, float_network_of};
use crate::worker::{Worker, WorkerError};

/// The program that speaks for other runtimes.
const WORKER: &str = include_str!("../../../../bench/worker.py");
/// For ONNX Runtime to quantize the network, and for each run.
const LIMIT: Duration = Duration::from_secs(300);

/// The rivals that the arguments name, with the float network that `model` was made from.
pub(super) fn contestants(
    args: &Args,
    model: &Model<'_>,
    (input, wanted): (&Content, &Wanted),
) -> anyhow::Result<Vec<Contestant<'static>>> {
    let options = import_options(args.input_shape.as_ref(), &[]);
    let network = float_network_of(&args.file, model, args.model.as_deref(), &options)?;
    let values = input.in_layout(wanted, network.layout);
    let contestant = |rival: &Rival| match rival {
        Rival::Tract => tract(&network, &values),
        Rival::Onnxruntime | Rival::OnnxruntimeFloat => {
            onnxruntime(args, *rival, &network, &values)
                .with_context(|| format!("--against {}", rival.name()))
        }
    };
    args.against.iter().map(contestant).collect()
}

/// From the float input to the logits.
fn tract(network: &Lowered, values: &[f32]) -> anyhow::Result<Contestant<'static>> {
    let mut session = network.float.session();
    let (needed, available) = (session.input_mut().len(), values.len());
    anyhow::ensure!(
        needed == available,
        "{}: takes {needed} values and the input has {available}",
        network.name
    );
    session.input_mut().copy_from_slice(values);
    let run = move || {
        session.run()?;
        Ok(())
    };
    Ok(Contestant::here(Rival::Tract.name(), 1, run))
}

/// From the float input to the logits, in a process of its own.
fn onnxruntime(
    args: &Args,
    rival: Rival,
    network: &Lowered,
    values: &[f32],
) -> anyhow::Result<Contestant<'static>> {
    let folder = ScratchFolder::new()?;
    let model = match &args.model {
        Some(model) => model.clone(),
        None => written(&folder, "model.onnx", BUNDLED)?,
    };
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let image = written(&folder, "image.f32", &bytes)?;
    let python = python(args);
    let mut command = Command::new(&python);
    command.args(["-c", WORKER, "onnxruntime"]).arg(&model).arg(args.threads.to_string());
    command.arg("--shape").arg(shape(network)).arg("--image").arg(&image);
    if rival == Rival::Onnxruntime {
        command.args(["--int8", "u8s8"]);
    }
    let mut worker = match with_spinner("onnxruntime", || Worker::start(command, LIMIT)) {
        Err(error @ WorkerError::NotFound { .. }) => {
            return Err(error).context("name a Python that has onnxruntime with --python PROGRAM");
        }
        worker => worker?,
    };
    let version = worker.facts["version"].as_str().map(str::to_owned);
    let run = move || {
        // The worker may read its files as long as it lives.
        let _ = &folder;
        Ok(worker.time_one()?)
    };
    Ok(Contestant { name: rival.name(), version, threads: args.threads, run: Box::new(run) })
}

fn python(args: &Args) -> OsString {
    let named = args.python.clone().map(PathBuf::into_os_string);
    named.or_else(|| std::env::var_os("FIXNET_PYTHON")).unwrap_or_else(|| "python3".into())
}

fn written(folder: &ScratchFolder, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let path = folder.path().join(name);
    fs::write(&path, bytes).in_file(&path)?;
    Ok(path)
}

/// The input's shape, as the worker takes it.
fn shape(network: &Lowered) -> String {
    let InputShape { height, width, channels } = network.input_shape();
    match network.layout {
        InputLayout::Nchw => format!("1,{channels},{height},{width}"),
        InputLayout::Nhwc => format!("1,{height},{width},{channels}"),
    }
}
