//! A session: order of steps and hooks, records, input by pixels, single steps.

mod support;

use fixnet::format::{CRC32, Operator};
use fixnet::profile::{Checksums, Clock, Profiler};
use fixnet::{AlignedBytes, Fault, Hook, KernelSet, Model, Session, SessionError, StepInfo};
use support::model::{self, SMALL_LAYERS, small};

/// An arena that fits the small model with any kernels.
type Arena = fixnet::Arena<16384>;

/// A small session that is ready to run.
macro_rules! session {
    ($session:ident, $model:ident) => {
        let bytes = model::file(&small());
        let $model = Model::new_checked(&bytes).unwrap();
        let mut arena = Arena::new();
        let mut $session = Session::new(&$model, arena.as_mut_slice()).unwrap();
        set_input(&mut $session);
    };
}

fn set_input(session: &mut Session<'_, '_>) {
    let input = session.input_mut();
    let len = input.len();
    input.copy_from_slice(&model::input(len));
}

/// What was called, in order.
#[derive(Debug, Default)]
struct Log(Vec<String>);

impl Hook for Log {
    fn before(&mut self, info: &StepInfo<'_>) {
        self.0.push(format!("before {} {}", info.index, info.layer.name));
    }
    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        self.0.push(format!("after {} {}", info.index, output.len()));
    }
}

/// The outputs of all steps.
#[derive(Debug, Default)]
struct Outputs(Vec<Vec<u8>>);

impl Hook for Outputs {
    fn after(&mut self, _info: &StepInfo<'_>, output: &[u8]) {
        self.0.push(output.to_vec());
    }
}

#[test]
fn hooks_are_called_around_every_step_in_order() {
    session!(session, model);
    let mut log = Log::default();
    session.run_with(&mut log).unwrap();
    let mut want = Vec::new();
    for (index, (name, step)) in SMALL_LAYERS.iter().zip(model.steps()).enumerate() {
        want.push(format!("before {index} {name}"));
        want.push(format!("after {index} {}", step.output.bytes()));
    }
    assert_eq!(log.0, want);
}

#[test]
fn two_hooks_nest() {
    session!(session, model);
    let (mut log, mut checksums) = (Log::default(), Checksums::<16>::new());
    session.run_with(&mut (&mut log, &mut checksums)).unwrap();
    assert_eq!(log.0.len(), 2 * model.step_count());
    assert_eq!(checksums.values().len(), model.step_count());
}

#[test]
fn steps_give_what_a_run_gives() {
    session!(session, model);
    let want = session.run().unwrap().to_vec();
    set_input(&mut session);
    let mut steps = 0;
    while session.step(&mut ()).unwrap() {
        steps += 1;
    }
    assert_eq!(steps, model.step_count());
    assert_eq!(session.logits(), want);
    // The end also starts over, and so does a new input half-way.
    set_input(&mut session);
    assert!(session.step(&mut ()).unwrap() && session.step(&mut ()).unwrap());
    set_input(&mut session);
    let mut log = Log::default();
    session.step(&mut log).unwrap();
    assert_eq!(log.0[0], "before 0 stem");
}

#[test]
fn two_runs_on_one_input_give_the_same() {
    session!(session, model);
    let (mut first, mut second) = (Outputs::default(), Outputs::default());
    let logits = session.run_with(&mut first).unwrap().to_vec();
    set_input(&mut session);
    assert_eq!(session.run_with(&mut second).unwrap(), logits);
    assert_eq!(first.0, second.0);
    // Something was computed: no layer is constant.
    for (output, layer) in first.0.iter().zip(model.layers()) {
        assert!(output.iter().any(|byte| byte != &output[0]), "{} is constant", layer.name);
    }
    assert!(fixnet::top_class(&logits).is_some());
}

#[test]
fn all_kernel_sets_give_the_same_bytes_in_every_layer() {
    let bytes = model::file(&small());
    let model = Model::new_checked(&bytes).unwrap();
    let outputs = KernelSet::available().map(|kernels| {
        let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
        let mut session = Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap();
        assert_eq!(session.kernels(), kernels);
        set_input(&mut session);
        let mut outputs = Outputs::default();
        session.run_with(&mut outputs).unwrap();
        outputs.0
    });
    let outputs: Vec<_> = outputs.collect();
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn checksums_cover_each_layers_bytes() {
    session!(session, model);
    let (mut outputs, mut checksums) = (Outputs::default(), Checksums::<16>::new());
    session.run_with(&mut (&mut outputs, &mut checksums)).unwrap();
    let want: Vec<u32> = outputs.0.iter().map(|output| CRC32.checksum(output)).collect();
    assert_eq!(checksums.values(), want);
    let logits: Vec<u8> = session.logits().iter().flat_map(|l| l.to_le_bytes()).collect();
    assert_eq!(outputs.0.last(), Some(&logits));
    assert_eq!(model.output().bytes(), logits.len());
    // The check value of CRC-32/ISO-HDLC.
    assert_eq!(CRC32.checksum(b"123456789"), 0xCBF4_3926);
}

/// A clock that a test can read: one tick more at every look.
#[derive(Debug, Default)]
struct Ticker(u64);

impl Clock for Ticker {
    fn ticks(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
    fn ticks_per_second(&self) -> u64 {
        1
    }
    fn emulated(&self) -> bool {
        true
    }
}

#[test]
fn the_profiler_names_kernel_macs_and_time() {
    session!(session, model);
    let mut profiler = Profiler::<_, 16>::new(Ticker::default());
    session.run_with(&mut profiler).unwrap();
    assert_eq!(profiler.records().len(), model.step_count());
    for (index, (record, step)) in profiler.records().iter().zip(model.steps()).enumerate() {
        assert_eq!((record.step, record.ticks), (index, 1));
        assert_eq!(record.macs, step.layer.macs);
        assert_eq!(record.kernel, session.kernels().kernel_name(&step.operator));
    }
    assert!(profiler.clock().emulated());
    profiler.clear();
    assert_eq!((profiler.records().len(), profiler.dropped()), (0, 0));
}

#[test]
fn a_full_profiler_counts_what_it_drops() {
    session!(session, model);
    let mut profiler = Profiler::<_, 4>::new(Ticker::default());
    session.run_with(&mut profiler).unwrap();
    assert_eq!((profiler.records().len(), profiler.dropped()), (4, model.step_count() - 4));
}

#[test]
fn a_single_step_gives_what_the_plan_gives() {
    session!(session, model);
    let mut outputs = Outputs::default();
    session.run_with(&mut outputs).unwrap();
    for step in model.steps() {
        // Tensors in place of each other: put this step's inputs back.
        let written = |tensor: u16| {
            let writer = model.steps().position(|s| s.output.tensor == tensor);
            match writer {
                Some(writer) => outputs.0[writer].clone(),
                None => model::input(192).iter().map(|&x| x as u8).collect(),
            }
        };
        for tensor in [Some(step.input), step.operand].into_iter().flatten() {
            let bytes = written(tensor.tensor);
            session.tensor_mut(tensor.tensor).unwrap().copy_from_slice(&bytes);
        }
        assert_eq!(session.run_single(step.index).unwrap(), outputs.0[step.index]);
    }
    let error = session.run_single(model.step_count()).unwrap_err();
    assert_eq!((error.step, error.fault), (model.step_count(), Fault::NoStep));
    assert!(session.tensor_mut(10).is_none());
}

#[test]
fn pixels_go_through_the_tables_in_the_networks_order() {
    let rgb: Vec<u8> = (0..192u32).map(|i| (i * 37 % 256) as u8).collect();
    for bgr in [0, 1] {
        let mut spec = small();
        spec.preprocess.as_mut().unwrap().record.bgr = bgr;
        let bytes = model::file(&spec);
        let model = Model::new_checked(&bytes).unwrap();
        let mut arena = Arena::new();
        let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
        session.set_pixels(&rgb).unwrap();
        let tables = &model.preprocess().unwrap().tables;
        let input = session.input_mut();
        for (at, &value) in input.iter().enumerate() {
            let (pixel, channel) = (at / 3, at % 3);
            let source = if bgr == 1 { 2 - channel } else { channel };
            assert_eq!(value, tables[channel][usize::from(rgb[pixel * 3 + source])]);
        }
    }
}

#[test]
fn a_mean_image_is_subtracted_pixel_by_pixel() {
    let bytes = model::file(&model::small_with_mean_image());
    let model = Model::new_checked(&bytes).unwrap();
    assert_eq!(model.mean_image().unwrap().len(), 192);
    let mut arena = Arena::new();
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    for fill in [0u8, 1, 127, 128, 255] {
        session.set_pixels(&[fill; 192]).unwrap();
        let gains = model.preprocess().unwrap().gains;
        let offsets = model.pixel_offsets().unwrap();
        for (at, (&value, &offset)) in session.input_mut().iter().zip(offsets).enumerate() {
            let scaled = i64::from(fill) * i64::from(gains[at % 3]) + i64::from(offset);
            assert_eq!(i64::from(value), scaled.div_euclid(1 << 16).clamp(-128, 127));
        }
    }
}

#[test]
fn an_input_of_another_length_is_refused() {
    session!(session, model);
    for available in [0, 191, 193] {
        let refused = session.set_pixels(&vec![0; available]).unwrap_err();
        assert_eq!(refused, SessionError::InputLength { needed: 192, available });
    }
    assert_eq!(session.model().name(), model.name());
}

#[test]
fn grey_pixels_and_those_with_alpha_have_tables_of_their_own() {
    for (channels, bgr) in [(1, 0), (4, 0), (4, 1)] {
        for with_mean in [false, true] {
            let mut spec = model::image_of(channels, with_mean);
            spec.preprocess.as_mut().unwrap().record.bgr = bgr;
            let bytes = model::file(&spec);
            let model = Model::new_checked(&bytes).unwrap();
            assert_eq!((model.version(), model.alpha().is_some()), ((1, 8), channels == 4));
            let kernels = KernelSet::REFERENCE;
            let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
            let mut session = Session::with_kernels(&model, arena.as_mut_slice(), kernels).unwrap();
            let pixels: Vec<u8> = (0..64 * channels).map(|i| (i * 37 % 256) as u8).collect();
            session.set_pixels(&pixels).unwrap();
            let (record, alpha) = (model.preprocess().unwrap(), model.alpha());
            for (at, &value) in session.input_mut().iter().enumerate() {
                let channel = at % channels;
                let source = if bgr == 1 && channel < 3 { 2 - channel } else { channel };
                let pixel = pixels[at - channel + source];
                let expected = match (model.pixel_offsets(), alpha.filter(|_| channel == 3)) {
                    (None, None) => record.tables[channel][usize::from(pixel)],
                    (None, Some(alpha)) => alpha.table[usize::from(pixel)],
                    (Some(offsets), alpha) => {
                        let gain = alpha.map_or_else(|| record.gains[channel], |a| a.gain);
                        let scaled = i64::from(pixel) * i64::from(gain) + i64::from(offsets[at]);
                        scaled.div_euclid(1 << 16).clamp(-128, 127) as i8
                    }
                };
                assert_eq!(value, expected, "{channels} {bgr} {with_mean} {at}");
            }
        }
    }
}

#[test]
fn a_tensor_is_taken_as_it_is_and_real_values_at_their_nearest_steps() {
    session!(session, model);
    let values: Vec<u8> = (0..192).map(|i| i as u8 ^ 0x55).collect();
    session.set_tensor(&values).unwrap();
    assert!(session.input_mut().iter().zip(&values).all(|(q, &v)| *q == v.cast_signed()));
    let grid = model.input();
    let real: Vec<f32> = (0..192).map(|i| (i as f32 - 96.0) * grid.scale * 0.7).collect();
    session.set_real(&real).unwrap();
    assert!(session.input_mut().iter().zip(&real).all(|(q, &v)| *q == grid.quantize(v)));
    let refused = SessionError::InputLength { needed: 192, available: 191 };
    assert_eq!(session.set_tensor(&values[1..]), Err(refused));
    assert_eq!(session.set_real(&real[1..]), Err(refused));
}

#[test]
fn pixels_need_a_recipe() {
    let bytes = model::file(&fixnet::format::ModelSpec { preprocess: None, ..small() });
    let model = Model::new_checked(&bytes).unwrap();
    let mut arena = Arena::new();
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    assert_eq!(session.set_pixels(&[0; 192]), Err(SessionError::NoPreprocessing));
}

#[test]
fn the_lowest_class_wins_a_tie() {
    assert_eq!(fixnet::top_class(&[1, 3, 2, 3]), Some(1));
    assert_eq!(fixnet::top_class::<i32>(&[]), None);
    assert_eq!(fixnet::top_class(&[f32::NAN, 1.0, f32::NAN, 1.0]), Some(1));
}

/// What a session asks of a kernel set is what the table shows.
#[test]
fn kernels_have_names() {
    session!(session, model);
    let names: Vec<_> = model.steps().map(|s| session.kernels().kernel_name(&s.operator)).collect();
    assert!(names.iter().all(|name| name.contains('_')));
    let convolutions = model.steps().filter(|s| matches!(s.operator, Operator::Conv { .. }));
    assert_eq!(convolutions.count(), 4);
    let reference = model.steps().map(|s| KernelSet::REFERENCE.kernel_name(&s.operator));
    assert!(reference.into_iter().all(|name| name.ends_with("_reference")));
}

/// Runs the small model on `threads` threads in an arena of exactly the required size.
fn outputs_by_threads(model: &Model<'_>, kernels: KernelSet, threads: usize) -> Outputs {
    let needed = model.required_by_threads(kernels, threads).arena();
    let mut arena = AlignedBytes::zeroed(needed);
    arena.as_mut_slice().fill(threads as u8);
    let mut session = Session::with_threads(model, arena.as_mut_slice(), kernels, threads).unwrap();
    set_input(&mut session);
    let mut outputs = Outputs::default();
    session.run_with(&mut outputs).unwrap();
    outputs
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for spec in [small(), model::large(), model::wide()] {
        let bytes = model::file(&spec);
        let model = Model::new_checked(&bytes).unwrap();
        let want = outputs_by_threads(&model, KernelSet::REFERENCE, 1);
        for kernels in KernelSet::available().filter(|&kernels| kernels != KernelSet::REFERENCE) {
            for threads in (0..=33).chain([64]) {
                let got = outputs_by_threads(&model, kernels, threads);
                assert!(got.0 == want.0, "{} on {threads} threads", kernels.name());
            }
        }
    }
}

#[test]
fn scratch_for_more_threads_is_part_of_the_exact_figure() {
    let bytes = model::file(&model::large());
    let model = Model::new_checked(&bytes).unwrap();
    for kernels in KernelSet::available().filter(|&kernels| kernels != KernelSet::REFERENCE) {
        let needed = model.required_by_threads(kernels, 3).arena();
        assert!(needed > model.required(kernels).arena());
        assert_eq!(needed, model.required_by_family(kernels.family(), 3).arena());
        let mut arena = AlignedBytes::zeroed(needed - 1);
        let session = Session::with_threads(&model, arena.as_mut_slice(), kernels, 3);
        let available = needed - 1;
        assert_eq!(session.unwrap_err(), SessionError::ArenaTooSmall { needed, available });
    }
}
