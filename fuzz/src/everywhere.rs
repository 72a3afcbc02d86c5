//! One model with every kernel set of this machine and several numbers of threads.

use fixnet::format::{Target, unpack};
use fixnet::profile::Checksums;
use fixnet::{AlignedBytes, KernelSet, Model, Session};

use crate::choices::{Choices, Random};

/// Layers whose checksums are compared.
const LAYERS: usize = 64;
/// Most threads that an inference is split over.
const MAX_THREADS: usize = 33;
/// What an arena holds before the first inference.
const GARBAGE: u8 = 0xA5;

/// What an inference gave: logits, one checksum a layer, and the bytes of every output.
pub type Outcome = (Vec<i32>, Vec<u32>, Vec<Vec<u8>>);

/// An inference in an arena of exactly the bytes that the model asks for.
///
/// # Panics
/// If the runtime refuses what it accepted before, or writes behind the arena.
pub fn run(model: &Model<'_>, kernels: KernelSet, threads: usize, input: u64) -> Outcome {
    let needed = model.required_by_threads(kernels, threads).arena();
    let mut arena = AlignedBytes::zeroed(needed.next_multiple_of(16));
    arena.as_mut_slice().fill(GARBAGE);
    let (memory, behind) = arena.as_mut_slice().split_at_mut(needed);
    let mut session = Session::with_threads(model, memory, kernels, threads).expect("an arena");
    let mut random = Random::new(input);
    session.input_mut().iter_mut().for_each(|x| *x = random.next() as i8);
    if model.preprocess().is_some() {
        let rgb: Vec<u8> = (0..session.input_mut().len()).map(|_| random.next() as u8).collect();
        session.set_pixels(&rgb).expect("an image of the model's shape");
    }
    let mut checksums = Checksums::<LAYERS>::new();
    let logits = session.run_with(&mut checksums).expect("what was checked").to_vec();
    let count = 0..model.outputs().count();
    let outputs = count.map(|index| session.output(index).expect("an output").to_vec()).collect();
    assert!(behind.iter().all(|&byte| byte == GARBAGE), "written behind the arena");
    (logits, checksums.values().to_vec(), outputs)
}

/// Runs `model` on input number `input` with every kernel set that takes it, each on one thread and on
/// a few other numbers of threads, and with one more convolution kernel each.
///
/// # Panics
/// If any byte differs.
pub fn check(model: &Model<'_>, input: u64, choices: &mut Choices<'_>) -> Option<Outcome> {
    let portable = match model.target() {
        Target::Portable => None,
        _ => unpack(model).ok(),
    };
    let mut first = portable.map(|file| {
        let model = Model::new_checked(&file).expect("a portable file");
        run(&model, KernelSet::REFERENCE, 1, input)
    });
    // Weights that no packing gives mean something else where sums saturate.
    let comparable = model.target() == Target::Portable || first.is_some();
    let mut ran = None;
    for kernels in KernelSet::available() {
        if !kernels.family().runs(model.target()) {
            continue;
        }
        let want = run(model, kernels, 1, input);
        let other = choices.pick(&kernels.family().conv_kernels().collect::<Vec<_>>());
        let sets = [kernels, kernels.with_conv_kernel(other).unwrap_or(kernels)];
        let threads = [choices.between(2, MAX_THREADS), choices.between(1, 6)];
        for (kernels, threads) in sets.into_iter().zip(threads) {
            let got = run(model, kernels, threads, input);
            let name = kernels.name();
            assert_eq!(got, want, "{name} with {other:?} on {threads} threads is not {name}");
        }
        if comparable {
            assert_eq!(first.get_or_insert_with(|| want.clone()), &want, "{}", kernels.name());
        }
        ran = Some(want);
    }
    ran
}

/// Most bytes that any session of [`check`] asks for.
pub fn most_memory(model: &Model<'_>) -> usize {
    let arena = |set| model.required_by_threads(set, MAX_THREADS).arena();
    KernelSet::available().map(arena).max().unwrap_or(0)
}
