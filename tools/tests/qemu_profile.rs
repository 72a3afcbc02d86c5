//! Clock and trace pin of a Cortex-M4 image: profiling is cheap, long layers are timed right, and the
//! pin follows the layers.
//!
//! Times are instructions that QEMU counts. Needs what `firmware/setup.sh` finds or installs;
//! `FIXNET_NO_QEMU=1` leaves these tests out.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use common::boards::{Network, wanted};
use fixnet::format::{
    self, ModelSpec, NONE, PreprocessRecord, PreprocessSpec, StepKind, StepRecord, StepSpec,
    Target, TensorRecord, WeightLayout, payload_flags,
};
use fixnet::{AlignedBytes, Model};
use tempfile::TempDir;
use tools::boards::Board;
use tools::data::Content;
use tools::data::dead_leaves::dead_leaves;
use tools::firmware::{BoardInference, Console, build, payload};
use tools::process::run_limited;
use tools::qemu::Emulation;

const BOARD: &str = "qemu-mps2-an386";
/// A run takes seconds; a guest that hangs must not hang the tests.
const TIME_LIMIT: Duration = Duration::from_secs(180);
/// Where SysTick, which has 24 bits, would have wrapped.
const LONG_LAYER: u64 = 700_000_000;

#[test]
fn profiling_costs_less_than_a_hundredth_of_the_run() {
    with_job(|job| {
        let model = bundled();
        let profiled = job.run(&model, 0);
        let plain = job.run(&model, payload_flags::NO_LAYER_CLOCK);
        let cost = profiled.ticks.saturating_sub(plain.ticks);
        println!("profiling: {cost} ticks of {}", plain.ticks);
        assert!(cost * 100 < plain.ticks, "{cost} ticks of {}", plain.ticks);
        // Everything around the layers together: clock, records, trace pin.
        let layers: u64 = profiled.layers.iter().map(|layer| layer.ticks).sum();
        let around = profiled.ticks.checked_sub(layers).expect("the layers are part of the run");
        assert!(around * 100 < profiled.ticks, "{around} ticks of {}", profiled.ticks);
        assert!(plain.layers.iter().all(|layer| layer.ticks == 0));
    });
}

#[test]
fn a_long_layer_is_timed_as_a_short_one() {
    with_job(|job| {
        let model = long_and_short();
        let run = job.run(&model, 0);
        let model = Model::new_checked(&model).expect("a model");
        let per_tick = job.board.qemu.as_ref().expect("an emulated board").instructions_per_tick;
        let cost = |name: &str| {
            let layer = model.layers().find(|layer| layer.name == name).expect("a layer");
            let timed = run.layers.iter().find(|layer| layer.name == name).expect("its time");
            (timed.ticks * per_tick, (timed.ticks * per_tick) as f64 / layer.macs as f64)
        };
        let ((long, per_mac), (short, expected)) = (cost("long"), cost("short"));
        println!("long: {long} instructions, {per_mac:.2} a MAC; short: {short}, {expected:.2}");
        assert!(long > LONG_LAYER && short < LONG_LAYER / 2, "{long}, {short} instructions");
        assert!((per_mac / expected - 1.0).abs() < 0.05, "{per_mac} and {expected} a MAC");
    });
}

#[test]
fn the_trace_pin_is_high_once_a_layer() {
    with_job(|job| {
        let model = bundled();
        let writes = job.led_writes(&model);
        let steps = Model::new_checked(&model).expect("a model").step_count();
        assert_eq!(writes, ["1", "0"].repeat(steps));
    });
}

/// Runs a test's body, unless emulators are not wanted.
fn with_job(test: impl FnOnce(&Job)) {
    if !wanted(BOARD) {
        return;
    }
    static JOB: OnceLock<Job> = OnceLock::new();
    test(JOB.get_or_init(Job::new));
}

/// One image for all tests; models come by way of the board's payload memory.
struct Job {
    board: Board,
    folder: TempDir,
}

impl Job {
    fn new() -> Self {
        let board = Board::load(BOARD).expect("the board's data");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let job = Self { board, folder };
        build(&job.board, None, Console::Emulator, &job.elf()).unwrap_or_else(|e| panic!("{e}"));
        job
    }

    fn elf(&self) -> PathBuf {
        self.folder.path().join("image.elf")
    }

    /// Runs one generated image.
    fn run(&self, model: &[u8], flags: u16) -> BoardInference {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let emulation = Emulation {
            board: &self.board,
            elf: &self.elf(),
            payload: Some(&write_payload(scratch.path(), model, flags)),
            count: true,
            limit: TIME_LIMIT,
            scratch: scratch.path(),
        };
        let mut report = emulation.run().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(report.inferences.len(), 1);
        report.inferences.remove(0)
    }

    /// What a run writes to the register of the board's LEDs, as QEMU sees it.
    fn led_writes(&self, model: &[u8]) -> Vec<String> {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let payload = write_payload(scratch.path(), model, 0);
        let bare_metal = self.board.bare_metal.as_ref().expect("a Cortex-M board");
        let origin = bare_metal.payload.expect("payload memory").origin;
        let machine = &self.board.qemu.as_ref().expect("an emulated board").machine;
        let mut qemu = Command::new("qemu-system-arm");
        qemu.args(["-machine", machine, "-display", "none", "-monitor", "none"])
            .args(["-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel"])
            .arg(self.elf())
            .args(["-trace", "mps2_fpgaio_write", "-device"])
            .arg(format!("loader,file={},addr={origin},force-raw=on", payload.display()));
        let output = run_limited(qemu, TIME_LIMIT).unwrap_or_else(|e| panic!("{e}"));
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        let writes = text.lines().filter_map(|line| line.split_once("offset 0x0 data 0x"));
        writes.filter_map(|(_, rest)| Some(rest.split_once(' ')?.0.to_string())).collect()
    }
}

fn write_payload(folder: &Path, file: &[u8], flags: u16) -> PathBuf {
    let aligned = AlignedBytes::from_slice(file);
    let model = Model::new_checked(&aligned).expect("a model");
    let input = model.input();
    let image = Content::Pixels(dead_leaves(3, 0, input.width, input.height));
    let path = folder.join("payload");
    let bytes = payload(&model, file, &[&image], flags).expect("a payload");
    fs::write(&path, bytes).expect("a writable folder");
    path
}

/// The trained ResNet-20.
fn bundled() -> AlignedBytes {
    Network::bundled(0).file
}

/// Side of the windows that take time, and the groups of their channels.
const WIDE: u16 = 5;
const GROUPS: u32 = 4;

/// One convolution on a map of 80x80 and, after a pool, the same on a quarter of it.
fn long_and_short() -> AlignedBytes {
    const CHANNELS: u32 = 64;
    const LARGE: u32 = 80 * 80 * CHANNELS;
    let tensor = |offset, side: u32, channels| TensorRecord {
        offset,
        channels,
        height: side as u16,
        width: side as u16,
        scale: 0.05,
        zero_point: -7,
        element: 0,
        rows: 0,
    };
    let window = u32::from(WIDE * WIDE) * CHANNELS / GROUPS;
    let second = 80 * 80 * 3 + LARGE;
    let logits = TensorRecord { zero_point: 0, element: 1, ..tensor(0, 1, 2) };
    let spec = ModelSpec {
        name: "long-and-short".to_string(),
        target: Target::Portable,
        tensors: vec![
            tensor(0, 80, 3),
            tensor(80 * 80 * 3, 80, CHANNELS),
            tensor(second, 80, CHANNELS),
            tensor(80 * 80 * 3, 40, CHANNELS),
            tensor(second, 40, CHANNELS),
            logits,
        ],
        steps: vec![
            step("stem", StepKind::Conv, 0, 1, (3, CHANNELS, LARGE)),
            step("long", StepKind::Conv, 1, WIDE, (window, CHANNELS, LARGE)),
            step("pool", StepKind::MaxPool, 2, 2, (0, 0, 0)),
            step("short", StepKind::Conv, 3, WIDE, (window, CHANNELS, LARGE / 4)),
            step("fc", StepKind::Logits, 4, 1, (LARGE / 4, 2, 2)),
        ],
        input_tensor: 0,
        output_tensor: 5,
        outputs: Vec::new(),
        labels: Vec::new(),
        arena_bytes: second + LARGE,
        preprocess: Some(PreprocessSpec { record: preprocess(), alpha: None, mean_image: None }),
        float_parts: Vec::new(),
    };
    format::write(&spec).expect("a consistent specification")
}

/// The step that reads tensor `input` and writes the next one, with a window of `side`, products a
/// output, output channels and outputs.
fn step(
    name: &str,
    kind: StepKind,
    input: u16,
    side: u16,
    (products, channels, outputs): (u32, u32, u32),
) -> StepSpec {
    let (stride, pad) = match side {
        WIDE => (1, WIDE / 2),
        _ => (side, 0),
    };
    StepSpec {
        record: StepRecord {
            kind: kind as u8,
            flags: 0,
            clamp_min: -128,
            clamp_max: 127,
            input,
            operand: NONE,
            output: input + 1,
            layer: 0,
            layer_count: 0,
            kernel: [side; 2],
            strides: [stride; 2],
            pads: [pad; 4],
            dilations: [1, 1],
            fraction_bits: 14,
            // Convolutions in groups have portable kernels, which take their time.
            groups: if side == WIDE { GROUPS } else { 1 },
            channels_before: 0,
            shift: 8,
            offset: 0,
            operand_multiplier: 0,
            input_multiplier: 0,
            weights_offset: 0,
            weights_bytes: 0,
            channels_offset: 0,
            channels_bytes: 0,
            weights_crc32: 0,
            weight_layout: WeightLayout::Ohwi as u16,
            reserved_b: 0,
        },
        layer_name: name.to_string(),
        macs: u64::from(outputs) * u64::from(products),
        weights: (0..products * channels).map(|i| (i * 37 % 255) as u8 as i8).collect(),
        bias: vec![0; channels as usize],
        multipliers: vec![1 << 28; channels as usize],
        others: Vec::new(),
    }
}

/// `q = x - 128`.
fn preprocess() -> PreprocessRecord {
    PreprocessRecord {
        resize: 0,
        crop: 0,
        bgr: 0,
        reserved: [0; 3],
        scale: 1.0 / 255.0,
        mean: [0.5; 3],
        std: [0.25; 3],
        mean_image_offset: 0,
        pixel_offsets: 0,
        gains: [0; 3],
        tables: [std::array::from_fn(|x| (x as i32 - 128) as i8); 3],
    }
}
