//! Single layers of model files, each with every kernel that this machine has for it.
//!
//! A layer is measured in place, as a step of its network: the same arguments, arena and weights as in
//! a whole inference. Weights are packed here into every layout that a kernel of this machine reads, so
//! any model file will do.

pub mod peak;

use anyhow::{Context, anyhow};
use fixnet::format::{ModelSpec, Operator, Target, WeightForm, WeightLayout, write};
use fixnet::kernels::{ConvKernel, ConvShape};
use fixnet::{AlignedBytes, KernelSet, Model, RunError, Session};

/// The model files that `FIXNET_KERNEL_FILES` names, for benchmarks that take no arguments of their own.
#[must_use]
pub fn named_files() -> Vec<String> {
    let Ok(files) = std::env::var("FIXNET_KERNEL_FILES") else {
        eprintln!("NOT RUN: name portable model files in FIXNET_KERNEL_FILES");
        return Vec::new();
    };
    files.split_whitespace().map(str::to_owned).collect()
}

/// A layer with a kernel and a layout that the kernel reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub network: String,
    pub layer: String,
    pub step: usize,
    pub macs: u64,
    pub kernel: &'static str,
    pub layout: &'static str,
    /// Input and output extents (HWC), window, stride.
    pub what: String,
    /// The family takes this kernel for this layout by itself.
    pub chosen: bool,
}

/// The layouts that kernels of `set` read, the portable one first.
fn forms(set: KernelSet) -> Vec<WeightForm> {
    let runs = |target: &Target| *target != Target::Portable && set.family().runs(*target);
    let of = |target: Target| WeightLayout::ALL.map(|layout| WeightForm { target, layout });
    let packed = Target::ALL.into_iter().filter(runs).flat_map(of);
    let packed = packed.filter(|form| form.layout != WeightLayout::Ohwi);
    std::iter::once(WeightForm::PORTABLE).chain(packed).collect()
}

/// A file with the weights in one form, wherever that form can hold them.
pub struct Variant {
    pub form: WeightForm,
    pub file: AlignedBytes,
}

/// `portable` in every form that this machine's kernels read.
///
/// # Errors
/// A file that is damaged, or packed.
pub fn variants(portable: &[u8], set: KernelSet) -> anyhow::Result<Vec<Variant>> {
    let model = Model::new_checked(portable)?;
    anyhow::ensure!(model.target() == Target::Portable, "the file is packed; give a portable one");
    // A streamed map has no step of its own that could be measured.
    let spec = ModelSpec::from_model(&model).with_whole_tensors();
    let variant = |form: WeightForm| -> anyhow::Result<Variant> {
        let layout = |step: usize| match spec.packed_weights(step, form) {
            Some(_) => form.layout,
            None => WeightLayout::Ohwi,
        };
        let layouts: Vec<WeightLayout> = (0..spec.steps.len()).map(layout).collect();
        let packed = spec.pack(form.target, &layouts).context("the weights cannot be packed")?;
        Ok(Variant { form, file: write(&packed)? })
    };
    forms(set).into_iter().map(variant).collect()
}

/// Every convolution shape of `variant` that has the variant's form, with every kernel for it.
///
/// # Errors
/// A damaged file.
pub fn cases(variant: &Variant, set: KernelSet) -> anyhow::Result<Vec<Case>> {
    let model = Model::new_checked(&variant.file)?;
    let mut seen: Vec<ConvShape> = Vec::new();
    let mut cases = Vec::new();
    for step in model.steps() {
        let Operator::Conv { shape, weights, .. } = &step.operator else { continue };
        if weights.form != variant.form || seen.iter().any(|other| same_work(other, shape)) {
            continue;
        }
        seen.push(*shape);
        let chosen = set.conv_kernel(shape, weights.form);
        let layer = model.layer(step.index).context("a step without a layer")?;
        let kernels = ConvKernel::all().filter(|kernel| {
            set.with_conv_kernel(*kernel).is_some() && kernel.computes(shape, weights.form)
        });
        cases.extend(kernels.map(|kernel| Case {
            network: model.name().to_owned(),
            layer: layer.name.to_owned(),
            step: step.index,
            macs: layer.macs,
            kernel: kernel.name(),
            layout: variant.form.layout.name(),
            what: describe(shape),
            chosen: kernel == chosen,
        }));
    }
    Ok(cases)
}

fn same_work(a: &ConvShape, b: &ConvShape) -> bool {
    ConvShape { input_zero_point: 0, ..*a } == ConvShape { input_zero_point: 0, ..*b }
}

/// `3x3 64->128 /2 @28`: window, channels, stride, output rows.
fn describe(shape: &ConvShape) -> String {
    let [height, width] = shape.kernel;
    let stride = if shape.strides == [1, 1] { "" } else { &format!(" /{}", shape.strides[0]) };
    let [rows, _, to] = shape.output;
    format!("{height}x{width} {}->{to}{stride} @{rows}", shape.input[2])
}

/// A step that is ready to run.
pub struct Runner<'m> {
    session: Session<'m, 'm>,
    step: usize,
}

impl<'m> Runner<'m> {
    /// `memory` must hold what [`Runner::memory`] says.
    ///
    /// # Errors
    /// A kernel that this machine does not have.
    pub fn new(
        model: &Model<'m>,
        memory: &'m mut [u8],
        set: KernelSet,
        kernel: &str,
        threads: usize,
        step: usize,
    ) -> anyhow::Result<Self> {
        let session = Session::with_threads(model, memory, set_with(set, kernel)?, threads)?;
        anyhow::ensure!(model.step(step).is_some(), "there is no step {step}");
        let mut runner = Self { session, step };
        runner.fill();
        Ok(runner)
    }

    /// Makes the inputs what they were before the first run, which may have overwritten one.
    pub fn fill(&mut self) {
        let Some(step) = self.session.model().step(self.step) else { return };
        for tensor in [Some(step.input), step.operand].into_iter().flatten() {
            fill(self.session.tensor_mut(tensor.tensor).unwrap_or_default());
        }
    }

    /// Bytes of arena for any kernel of the set.
    ///
    /// # Errors
    /// A kernel that this machine does not have.
    pub fn memory(
        model: &Model<'_>,
        set: KernelSet,
        kernel: &str,
        threads: usize,
    ) -> anyhow::Result<usize> {
        Ok(model.required_by_threads(set_with(set, kernel)?, threads).arena())
    }

    /// Runs the step.
    ///
    /// # Errors
    /// A step that was not computed.
    pub fn run(&mut self) -> Result<(), RunError> {
        std::hint::black_box(self.session.run_single(self.step)?);
        Ok(())
    }
}

fn set_with(set: KernelSet, kernel: &str) -> anyhow::Result<KernelSet> {
    let kernel = ConvKernel::from_name(kernel).and_then(|kernel| set.with_conv_kernel(kernel));
    kernel.ok_or_else(|| anyhow!("this machine has no such kernel"))
}

/// Bytes of all values (a linear congruential generator).
fn fill(bytes: &mut [u8]) {
    let mut state = 1u32;
    for byte in bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[u8] = fixnet::include_model!("../../../runtime/tests/golden/small.fxn");

    #[test]
    fn every_kernel_that_serves_a_layer_runs_it_with_the_same_bytes() {
        let set = KernelSet::detect();
        let mut results: Vec<(usize, Vec<u8>)> = Vec::new();
        for variant in variants(SMALL, set).unwrap() {
            let model = Model::new_checked(&variant.file).unwrap();
            for (threads, case) in (1..).zip(cases(&variant, set).unwrap()) {
                let bytes = Runner::memory(&model, set, case.kernel, threads).unwrap();
                let mut memory = AlignedBytes::zeroed(bytes);
                let memory = memory.as_mut_slice();
                let mut runner =
                    Runner::new(&model, memory, set, case.kernel, threads, case.step).unwrap();
                let output = runner.session.run_single(case.step).unwrap().to_vec();
                match results.iter().find(|(step, _)| *step == case.step) {
                    Some((_, first)) => assert_eq!(&output, first, "{case:?}"),
                    None => results.push((case.step, output)),
                }
            }
        }
        assert!(!results.is_empty());
    }

    #[test]
    fn a_kernel_of_another_machine_is_refused() {
        let model = Model::new_checked(SMALL).unwrap();
        let mut memory = AlignedBytes::zeroed(model.required(KernelSet::GENERIC).arena());
        for kernel in ["conv_winograd4_avx2", "conv_abacus"] {
            let memory = memory.as_mut_slice();
            assert!(Runner::new(&model, memory, KernelSet::GENERIC, kernel, 1, 0).is_err());
        }
    }
}
