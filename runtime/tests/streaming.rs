//! A convolution and the max-pool behind it, a few rows at a time: the same bytes as one after the
//! other, for every number of rows that the checker accepts, with every kernel set and any threads.

mod support;

use fixnet::format::{ModelSpec, StepKind, StepRecord, StepSpec, Target};
use fixnet::profile::{Checksums, Clock, Profiler};
use fixnet::session::{Hook, StepInfo};
use fixnet::{AlignedBytes, Fault, KernelSet, Model, ModelError, Session, SessionError};
use proptest::prelude::*;
use support::Random;
use support::model::{self, logits, record, small, step, tensor};

/// A pair of steps.
#[derive(Debug, Clone)]
struct Pair {
    size: [usize; 2],
    channels: [usize; 2],
    conv_stride: usize,
    /// Window, stride and padding of the pool, which are the same both ways.
    pool: [usize; 3],
    rows: usize,
    clamp: (i8, i8),
    seed: u64,
}

fn pair() -> impl Strategy<Value = Pair> {
    let pool = (1..=4usize).prop_flat_map(|kernel| (Just(kernel), 1..=kernel, 0..kernel));
    let clamp = prop_oneof![Just((-128, 127)), Just((-20, 40))];
    let sizes = (5..24usize, 5..24usize, 1..=2usize);
    let channels = (1..=4usize, prop_oneof![1..=9usize, Just(16), Just(32)]);
    (sizes, channels, pool, any::<prop::sample::Index>(), clamp, any::<u64>()).prop_filter_map(
        "the map has no more rows than a window",
        |((height, width, conv_stride), (from, to), (kernel, stride, pad), rows, clamp, seed)| {
            let map = height.div_ceil(conv_stride);
            let fewer = map.checked_sub(kernel).filter(|&n| n > 0)?;
            (width.div_ceil(conv_stride) >= kernel).then(|| Pair {
                size: [height, width],
                channels: [from, to],
                conv_stride,
                pool: [kernel, stride, pad],
                rows: kernel + rows.index(fewer),
                clamp,
                seed,
            })
        },
    )
}

impl Pair {
    /// Convolution, pool and classifier; `rows` is what the tensor between them says.
    fn spec(&self, rows: u16) -> ModelSpec {
        let random = &mut Random::new(self.seed);
        let [from, to] = self.channels;
        let map = self.size.map(|extent| extent.div_ceil(self.conv_stride));
        let [kernel, stride, pad] = self.pool;
        let pooled = map.map(|extent| (extent + 2 * pad - kernel) / stride + 1);
        let stride16 = self.conv_stride as u16;
        let conv = model::window(record(StepKind::Conv, 0, 1), stride16);
        let pool = StepRecord {
            kernel: [kernel as u16; 2],
            strides: [stride as u16; 2],
            pads: [pad as u16; 4],
            clamp_min: self.clamp.0,
            clamp_max: self.clamp.1,
            ..record(StepKind::MaxPool, 1, 2)
        };
        let flat = pooled[0] * pooled[1] * to;
        let mut steps: Vec<StepSpec> = vec![
            step(conv, 0, to * 9 * from, to, random),
            step(pool, 0, 0, 0, random),
            step(record(StepKind::Logits, 2, 3), 0, flat * 5, 5, random),
        ];
        for (step, name) in steps.iter_mut().zip(["conv", "pool", "fc"]) {
            step.layer_name = name.to_owned();
        }
        let shapes =
            [[self.size[0], self.size[1], from], [map[0], map[1], to], [pooled[0], pooled[1], to]];
        let mut offset = 0;
        let mut tensors: Vec<_> = Vec::new();
        for (index, shape) in shapes.into_iter().enumerate() {
            let held = if index == 1 && rows > 0 { usize::from(rows) } else { shape[0] };
            tensors.push(tensor(offset, shape.map(|n| n as u32)));
            offset += (held * shape[1] * shape[2]).next_multiple_of(16) as u32;
        }
        tensors[1].rows = rows;
        tensors.push(logits(offset, 5));
        ModelSpec {
            name: "pair".to_owned(),
            target: Target::Portable,
            tensors,
            steps,
            input_tensor: 0,
            output_tensor: 3,
            outputs: Vec::new(),
            labels: Vec::new(),
            arena_bytes: offset + 20,
            preprocess: None,
            float_parts: Vec::new(),
        }
    }
}

/// The bytes of every layer, its parts one behind the other, in the order of their beginnings.
#[derive(Debug, Default, PartialEq)]
struct Layers {
    outputs: Vec<Vec<u8>>,
    /// The row that each layer goes on with.
    next: Vec<usize>,
}

impl Hook for Layers {
    fn before(&mut self, info: &StepInfo<'_>) {
        if info.rows.0 == 0 {
            assert_eq!(self.outputs.len(), info.index);
            self.outputs.push(Vec::new());
            self.next.push(0);
        }
        assert_eq!(self.next[info.index], info.rows.0);
        assert!(info.rows.0 < info.rows.1 && info.rows.1 <= info.layer.shape[0]);
    }

    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        let row = output.len() / (info.rows.1 - info.rows.0);
        let [_, width, channels] = info.layer.shape;
        let element = if info.layer.name == "fc" { 4 } else { 1 };
        assert_eq!(row, width * channels * element);
        self.next[info.index] = info.rows.1;
        self.outputs[info.index].extend_from_slice(output);
    }
}

fn run(model: &Model<'_>, kernels: KernelSet, threads: usize) -> (Layers, Vec<u32>) {
    let needed = model.required_by_threads(kernels, threads).arena();
    let mut arena = AlignedBytes::from_slice(&vec![0xA5; needed]);
    let session = Session::with_threads(model, arena.as_mut_slice(), kernels, threads);
    let mut session = session.unwrap();
    let input = session.input_mut();
    let len = input.len();
    input.copy_from_slice(&model::input(len));
    let (mut layers, mut checksums) = (Layers::default(), Checksums::<8>::new());
    session.run_with(&mut (&mut layers, &mut checksums)).unwrap();
    (layers, checksums.values().to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn a_streamed_pair_gives_the_bytes_of_its_steps(pair in pair(), several in 2..=33usize) {
        let (whole, streamed) = (pair.spec(0), pair.spec(pair.rows as u16));
        let (whole, streamed) = (model::file(&whole), model::file(&streamed));
        let whole = Model::new_checked(&whole).unwrap();
        let streamed = Model::new_checked(&streamed).unwrap();
        prop_assert_eq!((whole.version(), streamed.version()), ((1, 0), (1, 2)));
        let want = run(&whole, KernelSet::REFERENCE, 1);
        for kernels in KernelSet::available() {
            for threads in [1, several] {
                prop_assert_eq!(&run(&streamed, kernels, threads), &want);
            }
        }
    }
}

/// Parts that are worth several threads, and a last one that is not.
#[test]
fn a_large_streamed_pair_gives_the_bytes_of_its_steps_on_any_threads() {
    let pair = Pair {
        size: [66, 70],
        channels: [16, 64],
        conv_stride: 1,
        pool: [3, 2, 1],
        rows: 0,
        clamp: (-20, 90),
        seed: 5,
    };
    let whole = model::file(&pair.spec(0));
    let want = run(&Model::new_checked(&whole).unwrap(), KernelSet::GENERIC, 1);
    for rows in [4, 11, 34] {
        let streamed = model::file(&pair.spec(rows));
        let streamed = Model::new_checked(&streamed).unwrap();
        for kernels in KernelSet::available().filter(|&kernels| kernels != KernelSet::REFERENCE) {
            for threads in 1..=33 {
                let got = run(&streamed, kernels, threads);
                assert!(got == want, "{}, {rows} rows, {threads} threads", kernels.name());
            }
        }
    }
}

fn refused(change: impl FnOnce(&mut ModelSpec)) -> ModelError {
    let mut spec = small();
    spec.tensors[1].rows = 4;
    assert!(fixnet::format::write(&spec).is_ok());
    change(&mut spec);
    fixnet::format::write(&spec).unwrap_err()
}

#[test]
fn what_cannot_be_streamed_is_refused() {
    let reference = |step| ModelError::BadReference { step };
    // Fewer rows than a window; as many as the whole; of logits.
    assert_eq!(refused(|spec| spec.tensors[1].rows = 2), reference(0));
    assert_eq!(refused(|spec| spec.tensors[1].rows = 8), ModelError::BadTensor { tensor: 1 });
    assert_eq!(refused(|spec| spec.tensors[9].rows = 1), ModelError::BadTensor { tensor: 9 });
    // The input, a residual, and what no max-pool reads.
    assert_eq!(refused(|spec| spec.tensors[0].rows = 4), reference(0));
    assert_eq!(refused(|spec| spec.tensors[2].rows = 3), reference(1));
    assert_eq!(refused(|spec| spec.tensors[3].rows = 3), reference(2));
    // The pool would write where the convolution still reads.
    assert_eq!(refused(|spec| spec.tensors[2].offset = 0), reference(0));
    // A window that leaves rows out.
    let wide = |spec: &mut ModelSpec| {
        spec.steps[1].record.strides = [4, 2];
        spec.tensors[2].height = 2;
    };
    assert_eq!(refused(wide), reference(0));
    // Read again, later.
    let again = |spec: &mut ModelSpec| {
        spec.steps[2].record.input = 1;
        spec.steps[2].record.strides = [2, 2];
        spec.tensors[3].offset = 896;
        spec.arena_bytes = 1024;
    };
    assert_eq!(refused(again), reference(2));
}

/// A clock that goes on by one whenever it is read.
#[derive(Debug, Default)]
struct Ticks(u64);

impl Clock for Ticks {
    fn ticks(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
    fn ticks_per_second(&self) -> u64 {
        1
    }
}

#[test]
fn the_time_of_parts_adds_up() {
    let mut spec = small();
    spec.tensors[1].rows = 4;
    let bytes = model::file(&spec);
    let model = Model::new_checked(&bytes).unwrap();
    let mut arena = AlignedBytes::zeroed(model.required(KernelSet::GENERIC).arena());
    let mut session =
        Session::with_kernels(&model, arena.as_mut_slice(), KernelSet::GENERIC).unwrap();
    let mut profiler = Profiler::<Ticks, 16>::new(Ticks::default());
    session.run_with(&mut profiler).unwrap();
    let records = profiler.records();
    assert_eq!(records.iter().map(|r| r.step).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    // Rows 0..4 of the map and 0..1 of the pool, 4..7 and 1..3, 7..8 and 3..4.
    assert_eq!(records.iter().map(|r| r.ticks).collect::<Vec<_>>(), [3, 3, 1, 1, 1, 1, 1, 1, 1]);
    for step in [0, 1] {
        let error = session.run_single(step).unwrap_err();
        assert_eq!((error.step, error.fault), (step, Fault::NoStep));
    }
    assert!(session.run_single(2).is_ok());
}

#[test]
fn a_streamed_map_takes_the_memory_of_its_rows() {
    let mut spec = small();
    spec.tensors[1].rows = 4;
    let bytes = model::file(&spec);
    let model = Model::new_checked(&bytes).unwrap();
    let map = model.activation(1).unwrap();
    assert_eq!((map.elements(), map.bytes(), map.is_streamed()), (512, 256, true));
    let needed = model.required(KernelSet::REFERENCE).arena();
    let mut arena = AlignedBytes::zeroed(needed);
    let (short, _) = arena.as_mut_slice().split_at_mut(needed - 1);
    let refused = Session::with_kernels(&model, short, KernelSet::REFERENCE).unwrap_err();
    assert_eq!(refused, SessionError::ArenaTooSmall { needed, available: needed - 1 });
}
