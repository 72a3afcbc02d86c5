//! The arguments of `fixnet quantize`, and what the library is asked for by them.

use std::path::PathBuf;

use fixnet::KernelSet;
use fixnet::format::Target;

use crate::calibrate::{Bits, Method};
use crate::cmd::{
    LimitArgs, PreprocessArgs, Shape, import_options, parse_kernels, parse_shape, positive,
    thread_count,
};
use crate::import::OutputRequest;
use crate::packing::parse_target;
use crate::pipeline::{LoadOptions, PackOptions, QuantizeOptions};

/// Quantize an ONNX classifier to int8, plan its memory and say what that costs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without MODEL.onnx the bundled ResNet-20 for CIFAR-10 is quantized.")]
pub struct Args {
    /// The float network [default: the bundled ResNet-20].
    #[arg(value_name = "MODEL.onnx")]
    pub model: Option<PathBuf>,
    /// Calibration images: a folder, an image, or CIFAR-10 binary batches; .npy files for networks that
    /// take tensors [default: generated].
    #[arg(long, value_name = "PATH")]
    pub calib: Option<PathBuf>,
    /// Images to calibrate on, in file-name or record order.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive())]
    pub calib_limit: usize,
    /// Images to compare on [default: those of --calib behind the calibration images, or generated].
    #[arg(long, value_name = "PATH")]
    pub images: Option<PathBuf>,
    /// Images to compare on, at most.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive())]
    pub limit: usize,
    /// Output file [default: the model's name with .fxn, here].
    #[arg(long, value_name = "FILE.fxn")]
    pub out: Option<PathBuf>,
    /// Shape of the input, for a model that leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_parser = parse_shape)]
    pub input_shape: Option<Shape>,
    /// An output that is wanted, as scores or as a vector where the network does not say; may be given several
    /// times [default: all].
    #[arg(long = "output", value_name = "NAME[=KIND]")]
    pub outputs: Vec<OutputRequest>,
    /// Names of the classes, one a line, to go into the file.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// What the network takes: images, which the file then brings the preprocessing of, or tensors as they
    /// are [default: tensors if --calib holds float32 .npy files or the channels are not 1, 3 or 4].
    #[arg(long, value_enum)]
    pub input: Option<InputKind>,
    /// How activation ranges are chosen.
    #[arg(long, value_enum, default_value_t)]
    pub method: Method,
    /// Bits of activations that direct convolutions read: with 7 AVX2 multiplies them as bytes.
    #[arg(long, value_enum, value_name = "N", default_value_t)]
    pub activation_bits: Bits,
    /// Seed of the generated images.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Kernels to compare and time with [default: the fastest].
    #[arg(long, value_parser = parse_kernels)]
    pub kernels: Option<KernelSet>,
    /// Leave nodes without an int8 form in float, where they stand before or behind the residual
    /// blocks; such a file runs on machines with an operating system.
    #[arg(long)]
    pub partition: bool,
    /// What runs a network whole, in float, that has no int8 form.
    #[arg(long, value_enum)]
    pub fallback: Option<Fallback>,
    /// Refuse a model that this board cannot run or hold.
    #[arg(long, value_name = "NAME")]
    pub board: Option<String>,
    /// Images at once, each on one thread [default: as many as there are cores].
    #[arg(long, value_name = "N", value_parser = thread_count())]
    pub threads: Option<usize>,
    /// Machine to lay the weights out for.
    #[arg(long, value_name = "NAME", default_value = "portable", value_parser = parse_target)]
    pub target: Target,
    /// Largest file: packed weights make it larger and the network faster.
    #[arg(long, value_name = "N", requires = "target")]
    pub max_bytes: Option<u64>,
    /// Do not compare with the float network.
    #[arg(long)]
    pub no_compare: bool,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Print figures as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub preprocess: PreprocessArgs,
}

/// A runtime for networks that have no int8 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fallback {
    Tract,
}

/// What a network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InputKind {
    /// 8-bit pixels: grey, RGB, or RGB and alpha.
    Image,
    /// Real values.
    Tensor,
}

impl Args {
    /// How the network is loaded.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            import: import_options(self.input_shape.as_ref(), &self.outputs),
            partition: self.partition,
            keep_float: self.fallback.is_some(),
        }
    }

    /// How it gets integers.
    pub fn quantize_options(&self) -> QuantizeOptions {
        QuantizeOptions {
            method: self.method,
            activation_bits: self.activation_bits,
            ..QuantizeOptions::default()
        }
    }

    /// What the file is for.
    pub fn pack_options(&self) -> PackOptions {
        PackOptions { target: self.target, max_bytes: self.max_bytes }
    }
}
