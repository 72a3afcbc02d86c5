//! Emulated Cortex-M boards: every layer's bytes are the host's, and what the host refuses is refused
//! with the same typed error.
//!
//! Needs a compiler for the boards and `qemu-system-arm`; `firmware/setup.sh` finds or installs them
//! or says what is missing. `FIXNET_NO_QEMU=1` leaves these tests out.

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::boards::{Network, family, wanted};
use common::data_folder;
use fixnet::format::{Operator, Target};
use fixnet::{KernelSet, Model, ModelError, SessionError};
use tempfile::TempDir;
use tools::boards::Board;
use tools::firmware::{BoardReport, Console, ReportError, build, image_size};
use tools::qemu::{Emulation, QemuError};

/// A guest that hangs must not hang the tests.
const TIME_LIMIT: Duration = Duration::from_secs(600);

#[test]
fn cortex_m3_gives_the_bytes_of_the_host() {
    check_in_flash("qemu-mps2-an385");
}

#[test]
fn cortex_m4_gives_the_bytes_of_the_host() {
    check_in_flash("qemu-mps2-an386");
}

#[test]
fn cortex_m7_gives_the_bytes_of_the_host() {
    check_in_flash("qemu-mps2-an500");
}

#[test]
fn cortex_m33_gives_the_bytes_of_the_host() {
    check_in_flash("qemu-mps2-an505");
}

#[test]
fn cortex_m3_runs_resnet18_from_external_memory() {
    check_in_memory("qemu-mps2-an385");
}

#[test]
fn cortex_m4_runs_resnet18_from_external_memory() {
    check_in_memory("qemu-mps2-an386");
}

#[test]
fn cortex_m7_runs_resnet18_from_external_memory() {
    check_in_memory("qemu-mps2-an500");
}

#[test]
fn cortex_m33_runs_resnet18_from_external_memory() {
    check_in_memory("qemu-mps2-an505");
}

#[test]
fn cortex_m3_gives_the_bytes_of_the_host_from_packed_weights() {
    check_packed("qemu-mps2-an385", Target::CortexM3, &[None]);
}

#[test]
fn cortex_m4_gives_the_bytes_of_the_host_from_packed_weights() {
    // From all kinds of layouts to those that fit.
    let budgets = [None, Some(1_000_000), Some(500_000), Some(290_000)];
    check_packed("qemu-mps2-an386", Target::CortexM4, &budgets);
}

#[test]
fn cortex_m7_gives_the_bytes_of_the_host_from_packed_weights() {
    check_packed("qemu-mps2-an500", Target::CortexM4, &[None]);
}

#[test]
fn cortex_m33_gives_the_bytes_of_the_host_from_packed_weights() {
    check_packed("qemu-mps2-an505", Target::CortexM4, &[None]);
}

#[test]
fn cortex_m4_runs_resnet18_from_packed_weights() {
    let name = "qemu-mps2-an386";
    if !wanted(name) {
        return;
    }
    let network = Network::random("resnet18", 224);
    let network = network.packed_within(Target::CortexM4, Some(16_000_000));
    let (image, report) = run_in_memory(name, &network);
    // 3x3 from 64 to 64 channels at 56x56.
    let layer = &report.inferences[0].layers[2];
    assert_eq!((&*layer.name, &*layer.kernel), ("layer1.0.conv1", "conv_winograd4_cortex_m4"));
    assert_at_most(image.instructions(layer.ticks), 25_000_000, &layer.name);
}

/// MLPerf Tiny's network takes no more instructions than promised, which are the same in every run.
#[test]
fn resnet8_keeps_its_budget_of_instructions() {
    let Some(data) = data_folder("the instructions of ResNet-8") else { return };
    if !wanted("the instructions of ResNet-8") {
        return;
    }
    let onnx = data.join("models/resnet8-mlperf-tiny-float-bn.onnx");
    let m4 = |kilobytes: u64| Some((Target::CortexM4, kilobytes << 10));
    let budgets = [
        ("qemu-mps2-an386", m4(512), 6_000_000),
        ("qemu-mps2-an386", m4(256), 7_200_000),
        ("qemu-mps2-an386", m4(90), 13_000_000),
        ("qemu-mps2-an386", None, 13_500_000),
        ("qemu-mps2-an385", Some((Target::CortexM3, 512 << 10)), 12_000_000),
        ("qemu-mps2-an505", m4(512), 6_000_000),
    ];
    for (board, packed, most) in budgets {
        let network = Network::of_file(&onnx);
        let network = match packed {
            Some((target, bytes)) => network.packed_within(target, Some(bytes)),
            None => network,
        };
        let (image, report) = run_in_memory(board, &network);
        let what = format!("{board}, {} bytes", network.file.len());
        assert_at_most(image.instructions(report.inferences[0].ticks), most, &what);
    }
}

fn assert_at_most(instructions: u64, most: u64, what: &str) {
    println!("{what}: {instructions} instructions");
    assert!(instructions <= most, "{what}: {instructions} instructions");
}

#[test]
fn a_fault_of_the_processor_is_reported() {
    let (image, machine) = ("qemu-mps2-an500", "qemu-mps2-an386");
    if !wanted(machine) {
        return;
    }
    // An image that reads memory which this machine lacks.
    let image = Image { board: Board::load(machine).unwrap(), ..Image::build(image, None) };
    let error = image.run(&image.elf, None).expect_err("no memory there");
    let QemuError::Report { error: ReportError::Fault { fault }, .. } = &error else {
        panic!("{error}");
    };
    assert!(fault.contains("pc: 0x"), "{fault}");
}

/// The bundled network, used in place where the image has it in flash.
fn check_in_flash(name: &str) {
    if !wanted(name) {
        return;
    }
    let network = Network::bundled(5);
    let payload = network.payload();
    let image = Image::build(name, Some(&payload));
    let report = image.run(&image.elf, None).unwrap_or_else(|e| panic!("{name}: {e}"));
    network.check(name, &report, &[KernelSet::REFERENCE, KernelSet::GENERIC]);
    image.check_budget(&payload);
    image.check_damaged_models(&network);
}

/// The bundled network with packed weights, in files of at most so many bytes.
fn check_packed(name: &str, target: Target, budgets: &[Option<u64>]) {
    if !wanted(name) {
        return;
    }
    for &budget in budgets {
        run_in_memory(name, &Network::bundled(1).packed_within(target, budget));
    }
}

/// Runs a network from a board's payload memory; its bytes must be the host's.
fn run_in_memory(name: &str, network: &Network) -> (Image, BoardReport) {
    let image = Image::build(name, None);
    let run = image.run(&image.elf, Some(&network.payload()));
    let report = run.unwrap_or_else(|e| panic!("{name}: {e}"));
    network.check(name, &report, &[KernelSet::GENERIC]);
    (image, report)
}

/// ResNet-18 at 224x224 and what is too large even for that board.
fn check_in_memory(name: &str) {
    if !wanted(name) {
        return;
    }
    let image = Image::build(name, None);
    let network = Network::random("resnet18", 224);
    let run = image.run(&image.elf, Some(&network.payload()));
    let report = run.unwrap_or_else(|e| panic!("{name}: {e}"));
    network.check(name, &report, &[KernelSet::GENERIC, KernelSet::detect()]);
    // A layer longer than a 24-bit counter of the processor's clock could time in one go.
    let total = image.instructions(report.inferences[0].ticks);
    assert!(total > 1_000_000_000, "{total} instructions are too few for 1.8 G MACs");

    let large = Network::random("resnet18", 480);
    let kernels = family(name, Target::Portable);
    let needed = large.model().required_by_family(kernels, 1).arena();
    let available = image.board.bare_metal.as_ref().unwrap().budget.arena;
    let refusal = SessionError::ArenaTooSmall { needed, available };
    let error = image.run(&image.elf, Some(&large.payload())).expect_err("too large");
    assert_refused(&error, &format!("Session({refusal:?})"));
}

/// A board and an image for it.
struct Image {
    board: Board,
    elf: Vec<u8>,
}

impl Image {
    fn build(name: &str, payload: Option<&[u8]>) -> Self {
        let board = Board::load(name).unwrap();
        let folder = TempDir::new().unwrap();
        let payload = payload.map(|bytes| write(&folder, "payload", bytes));
        let elf = folder.path().join("image.elf");
        build(&board, payload.as_deref(), Console::Emulator, &elf)
            .unwrap_or_else(|error| panic!("{error}"));
        Self { board, elf: fs::read(elf).unwrap() }
    }

    fn instructions(&self, ticks: u64) -> u64 {
        ticks * self.board.require_qemu().unwrap().instructions_per_tick
    }

    /// Runs an image with its clock following the instructions.
    fn run(&self, elf: &[u8], payload: Option<&[u8]>) -> Result<BoardReport, QemuError> {
        let folder = TempDir::new().unwrap();
        let elf = write(&folder, "image.elf", elf);
        let payload = payload.map(|bytes| write(&folder, "payload", bytes));
        Emulation {
            board: &self.board,
            elf: &elf,
            payload: payload.as_deref(),
            count: true,
            limit: TIME_LIMIT,
            scratch: folder.path(),
        }
        .run()
    }

    fn check_budget(&self, payload: &[u8]) {
        let bare_metal = self.board.bare_metal.as_ref().unwrap();
        let size = image_size(&self.elf, bare_metal.ram.unwrap(), payload).unwrap();
        let (flash, ram) = (bare_metal.budget.flash.unwrap(), bare_metal.budget.ram.unwrap());
        println!("{}: {size:?}", self.board.name);
        assert!((payload.len()..=flash).contains(&size.flash), "{size:?}");
        assert!((bare_metal.budget.arena..=ram).contains(&size.ram), "{size:?}");
    }

    /// Changes single bits of the model in flash: the board must refuse it as the host does.
    fn check_damaged_models(&self, network: &Network) {
        let start = self
            .elf
            .windows(network.file.len())
            .position(|window| *window == *network.file)
            .expect("the image holds the model");
        let model = network.model();
        let weights = model.steps().find_map(|step| match step.operator {
            Operator::Conv { weights, .. } => Some(weights.bytes.as_ptr() as usize),
            _ => None,
        });
        let weight = weights.expect("a convolution") - network.file.as_ptr() as usize + 7;
        type Expected = fn(&ModelError) -> bool;
        let damages: [(usize, Expected); 4] = [
            (0, |e| matches!(e, ModelError::BadMagic)),
            (8, |e| matches!(e, ModelError::Length { .. })),
            (40, |e| matches!(e, ModelError::PlanChecksum { .. })),
            (weight, |e| matches!(e, ModelError::WeightsChecksum { .. })),
        ];
        for (offset, expected) in damages {
            let mut damaged = network.file.clone();
            damaged.as_mut_slice()[offset] ^= 0x10;
            let refusal = Model::new_checked(&damaged)
                .and_then(|model| model.verify_weights())
                .expect_err("the host refuses the model, too");
            assert!(expected(&refusal), "{refusal:?}");
            let mut elf = self.elf.clone();
            elf[start + offset] ^= 0x10;
            let error = self.run(&elf, None).expect_err("damaged");
            assert_refused(&error, &format!("Model({refusal:?})"));
        }
    }
}

fn assert_refused(error: &QemuError, refusal: &str) {
    match error {
        QemuError::Report { error: ReportError::Refused { reason }, .. } => {
            assert_eq!(reason, refusal);
        }
        other => panic!("{other}"),
    }
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}
