//! Which kernels run, and which files they take.

use std::path::Path;

use anyhow::Context;
use fixnet::format::{ModelSpec, Target};
use fixnet::kernels::ConvKernel;
use fixnet::{AlignedBytes, KernelFamily, KernelSet, Model};

use super::LimitArgs;

/// Which kernels run.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct KernelArgs {
    /// Kernels to run [default: the fastest].
    #[arg(long, value_name = "SET", value_parser = parse_kernels)]
    pub kernels: Option<KernelSet>,
    /// One kernel for all convolutions that it computes, whether it is the fastest or not.
    #[arg(long, value_name = "NAME", value_parser = parse_conv_kernel)]
    pub kernel: Option<ConvKernel>,
}

impl KernelArgs {
    /// The kernels to run a model with.
    ///
    /// # Errors
    /// One line: the file is packed for another machine, or the set has no such kernel.
    pub fn choose(self, path: &Path, model: &Model<'_>) -> anyhow::Result<KernelSet> {
        let set = self.kernels.unwrap_or_else(KernelSet::detect);
        check_target(path, model, set.family())?;
        let Some(kernel) = self.kernel else { return Ok(set) };
        set.with_conv_kernel(kernel).ok_or_else(|| {
            anyhow::anyhow!(
                "--kernel {}: the kernels {} have {}",
                kernel.name(),
                set.name(),
                kernel_names(set.family()).join(", ")
            )
        })
    }

    /// Whether anything was asked for.
    #[must_use]
    pub fn is_default(self) -> bool {
        self.kernels.is_none() && self.kernel.is_none()
    }
}

/// Refuses a file whose weights are laid out for other kernels.
///
/// # Errors
/// One line with the targets that do run.
pub fn check_target(path: &Path, model: &Model<'_>, family: KernelFamily) -> anyhow::Result<()> {
    if family.runs(model.target()) {
        return Ok(());
    }
    let targets = Target::ALL.into_iter().filter(|&target| family.runs(target));
    let targets: Vec<&str> = targets.map(Target::name).collect();
    anyhow::bail!(
        "{}: the file is packed for {}; the {} kernels run {}: make one with `fixnet pack --target`",
        path.display(),
        model.target().name(),
        family.name(),
        targets.join(", ")
    )
}

/// The kernels that a plan is shown for: those asked for, or this machine's, or those of the machine
/// that the file is packed for.
#[must_use]
pub fn shown_family(model: &Model<'_>, asked: Option<KernelFamily>) -> KernelFamily {
    let here = asked.unwrap_or_else(|| KernelSet::detect().family());
    match KernelFamily::for_target(model.target()) {
        Some(family) if !here.runs(model.target()) => family,
        _ => here,
    }
}

/// The same network for this machine: the file itself if it runs here, else its portable form.
///
/// # Errors
/// One line that names the file.
pub fn runnable_here(
    path: &Path,
    bytes: AlignedBytes,
    limits: LimitArgs,
) -> anyhow::Result<AlignedBytes> {
    let model = limits.check_model(path, &bytes)?;
    if KernelSet::detect().family().runs(model.target()) {
        return Ok(bytes);
    }
    fixnet::format::unpack(&model).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

/// The same network in portable form, with every tensor whole: what is compared layer by layer.
///
/// # Errors
/// One line that names the file.
pub fn whole_and_portable(
    path: &Path,
    bytes: &AlignedBytes,
    limits: LimitArgs,
) -> anyhow::Result<AlignedBytes> {
    let model = limits.check_model(path, bytes)?;
    let file = || path.display().to_string();
    let portable = fixnet::format::unpack(&model).with_context(file)?;
    let spec = ModelSpec::from_model(&limits.check_model(path, &portable)?).with_whole_tensors();
    fixnet::format::write(&spec).with_context(file)
}

fn kernel_names(family: KernelFamily) -> Vec<&'static str> {
    family.conv_kernels().map(ConvKernel::name).collect()
}

/// Understands the name of a convolution kernel.
///
/// # Errors
/// The names that this machine has.
pub fn parse_conv_kernel(name: &str) -> Result<ConvKernel, String> {
    ConvKernel::from_name(name).ok_or_else(|| {
        let names = kernel_names(KernelSet::detect().family());
        format!("this machine has {}", names.join(", "))
    })
}

/// Understands the name of a kernel set that this machine has.
///
/// # Errors
/// The names that there are.
pub fn parse_kernels(name: &str) -> Result<KernelSet, String> {
    let found = KernelSet::available().find(|set| set.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = KernelSet::available().map(KernelSet::name).collect();
        format!("this machine has {}", names.join(", "))
    })
}

/// Understands the name of the kernels of any machine: what a plan can be made for.
///
/// # Errors
/// The names that there are.
pub fn parse_family(name: &str) -> Result<KernelFamily, String> {
    KernelFamily::from_name(name).ok_or_else(|| {
        let names = KernelFamily::ALL.map(KernelFamily::name);
        format!("there are {}", names.join(", "))
    })
}
