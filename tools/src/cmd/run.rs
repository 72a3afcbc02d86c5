//! `fixnet run`: images through a model file, with the time of every layer.

use std::path::PathBuf;
use std::process::ExitCode;

use fixnet::format::{CRC32, MAX_RECORDS};
use fixnet::profile::Checksums;
use fixnet::{AlignedBytes, KernelSet, Model, Session};
use serde_json::Value;

use super::{check_model, embedded_recipe, parse_kernels, positive, read_model};
use crate::data::{InputSize, Recipe, Source};
use crate::output::{print, print_json};
use crate::report::{Inference, time_layers, top_classes};

/// Classify images with a model file; print the best classes and the time of every layer.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The int8 model.
    #[arg(value_name = "FILE.fxn")]
    file: PathBuf,
    /// An image file, or FILE.bin:INDEX for a record of a CIFAR-10 binary batch.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Kernels to run [default: the fastest].
    #[arg(long, value_name = "SET", value_parser = parse_kernels)]
    kernels: Option<KernelSet>,
    /// Print the CRC-32 of every layer's output.
    #[arg(long)]
    checksums: bool,
    /// Classes to print.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = positive())]
    top: usize,
    /// Print figures as JSON: one object, or an array for more than one image.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// One line that says what to do.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let bytes = read_model(&args.file)?;
    let model = check_model(&args.file, &bytes)?;
    let recipe = embedded_recipe(&args.file, &model)?;
    let inferences: Vec<Inference<'_>> = args
        .images
        .iter()
        .map(|image| infer(args, &model, &recipe, image))
        .collect::<anyhow::Result<_>>()?;
    if args.json {
        let mut values: Vec<Value> = inferences.iter().map(Inference::json).collect();
        match values.len() {
            1 => print_json(&values.remove(0))?,
            _ => print_json(&values)?,
        }
    } else {
        let texts: Vec<String> = inferences.iter().map(Inference::text).collect();
        print(&texts.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn infer<'a>(
    args: &Args,
    model: &'a Model<'a>,
    recipe: &Recipe,
    image: &str,
) -> anyhow::Result<Inference<'a>> {
    let input = model.input();
    let size = InputSize { height: input.height, width: input.width };
    let sample = Source::parse(image)?.load(recipe, size)?;
    let kernels = args.kernels.unwrap_or_else(KernelSet::detect);
    let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
    let mut session = Session::with_kernels(model, arena.as_mut_slice(), kernels)?;
    session.set_rgb(&sample.pixels.data)?;
    let input = session.input_mut().to_vec();
    let mut checksums = Box::new(Checksums::<MAX_RECORDS>::new());
    let logits = match args.checksums {
        true => session.run_with(&mut *checksums),
        false => session.run(),
    };
    let logits = logits.to_vec();
    Ok(Inference {
        image: sample.name,
        model,
        input_crc32: input_crc32(&input),
        top: top_classes(&logits, model.output().scale, args.top),
        logits,
        checksums: args.checksums.then(|| checksums.values().to_vec()),
        times: time_layers(model, kernels, &input)?,
    })
}

fn input_crc32(input: &[i8]) -> u32 {
    let bytes: Vec<u8> = input.iter().map(|&value| value.cast_unsigned()).collect();
    CRC32.checksum(&bytes)
}
