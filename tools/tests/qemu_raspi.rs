//! `kernel8.img` on an emulated Raspberry Pi 3: whole networks with the host's bytes, and what the
//! image refuses.
//!
//! Needs a compiler for bare-metal AArch64 and `qemu-system-aarch64`; `firmware/setup.sh` finds or
//! installs them or says what is missing. `FIXNET_NO_QEMU=1` leaves these tests out.

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use common::boards::{Network, family, wanted};
use fixnet::format::{CRC32, Operator, PayloadError, PayloadHeader, Target};
use fixnet::{KernelSet, Model, ModelError, SessionError};
use object::{Object, ObjectSymbol};
use tempfile::TempDir;
use tools::boards::{Board, Region};
use tools::firmware::{BoardReport, Console, build, flat_binary};
use tools::process::{follow, run_limited};

const BOARD: &str = "qemu-raspi3b";
/// A run takes seconds; a guest that hangs must not hang the tests.
const TIME_LIMIT: Duration = Duration::from_secs(400);
/// Where loaders put the flat image.
const IMAGE_ORIGIN: usize = 0x8_0000;
/// Largest flat image; it holds code and constants, no model.
const IMAGE_BUDGET: usize = 160 << 10;

/// Runs a test's body, unless emulators are not wanted.
fn with_job(test: impl FnOnce(&Job)) {
    if !wanted(BOARD) {
        return;
    }
    static JOB: OnceLock<Job> = OnceLock::new();
    test(JOB.get_or_init(Job::new));
}

#[test]
fn resnet20_gives_the_bytes_of_the_host_whichever_way_it_is_loaded() {
    with_job(|job| {
        let network = Network::bundled(5);
        let payload = network.payload();
        // The ELF file starts at EL3, the flat image at EL2.
        let elf = job.run(&job.elf, Some(&payload));
        elf.check(&network, &[KernelSet::REFERENCE, KernelSet::GENERIC]);
        let flat = job.run(&job.image, Some(&payload));
        flat.check(&network, &[KernelSet::GENERIC]);
        let appended = [job.image.as_slice(), &payload].concat();
        job.run(&appended, None).check(&network, &[KernelSet::GENERIC]);
    });
}

#[test]
fn packed_weights_give_the_bytes_of_the_host() {
    with_job(|job| {
        let network = Network::bundled(2).packed_for(Target::Armv8Neon);
        let run = job.run(&job.image, Some(&network.payload()));
        run.check(&network, &[KernelSet::GENERIC]);
    });
}

#[test]
fn resnet18_gives_the_bytes_of_the_host() {
    with_job(|job| {
        let network = Network::random("resnet18", 224);
        let run = job.run(&job.image, Some(&network.payload()));
        run.check(&network, &[KernelSet::GENERIC, KernelSet::detect()]);
    });
}

#[test]
fn resnet34_gives_the_bytes_of_the_host_also_behind_the_image() {
    with_job(|job| {
        let network = Network::random("resnet34", 224);
        let appended = [job.image.as_slice(), &network.payload()].concat();
        let run = job.run(&appended, None);
        run.check(&network, &[KernelSet::GENERIC, KernelSet::detect()]);
    });
}

#[test]
fn instructions_of_a_layer_are_the_same_in_every_run() {
    with_job(|job| {
        let payload = Network::bundled(1).payload();
        let ticks = || {
            let report = job.run(&job.image, Some(&payload)).report();
            let ticks: Vec<u64> = report.inferences[0].layers.iter().map(|l| l.ticks).collect();
            ticks
        };
        let (once, again) = (ticks(), ticks());
        // A layer may begin within a tick.
        let near = |(a, b): (&u64, &u64)| a.abs_diff(*b) <= 1;
        assert!(once.iter().zip(&again).all(near), "{once:?} {again:?}");
    });
}

#[test]
fn a_model_that_needs_more_than_the_arena_is_refused() {
    with_job(|job| {
        let network = Network::random("resnet18", 768);
        let needed = network.model().required_by_family(family(BOARD, Target::Portable), 1).arena();
        let available = job.board.bare_metal.as_ref().unwrap().budget.arena;
        let refusal = SessionError::ArenaTooSmall { needed, available };
        let run = job.run(&job.image, Some(&network.payload()));
        run.assert_refused(&format!("Session({refusal:?})"));
    });
}

#[test]
fn damaged_models_are_refused_as_on_the_host() {
    with_job(|job| {
        let network = Network::bundled(1);
        let model = network.model();
        let weights = model.steps().filter_map(|step| match step.operator {
            Operator::Conv { weights, .. } => Some(weights.bytes.as_ptr() as usize),
            _ => None,
        });
        let weights: Vec<usize> = weights.map(|at| at - network.file.as_ptr() as usize).collect();
        let last = *weights.last().expect("a convolution");
        type Expected = fn(&ModelError) -> bool;
        let damages: [(usize, Expected); 6] = [
            (0, |e| matches!(e, ModelError::BadMagic)),
            (4, |e| matches!(e, ModelError::UnsupportedVersion { .. })),
            (8, |e| matches!(e, ModelError::Length { .. })),
            (40, |e| matches!(e, ModelError::PlanChecksum { .. })),
            (weights[0] + 7, |e| matches!(e, ModelError::WeightsChecksum { .. })),
            (last + 1000, |e| matches!(e, ModelError::WeightsChecksum { .. })),
        ];
        for (offset, expected) in damages {
            let mut damaged = network.file.clone();
            damaged.as_mut_slice()[offset] ^= 0x10;
            let refusal = Model::new_checked(&damaged)
                .and_then(|model| model.verify_weights())
                .expect_err("the host refuses the model, too");
            assert!(expected(&refusal), "{refusal:?}");
            let payload = network.payload_of(&damaged);
            let run = job.run(&job.image, Some(&payload));
            run.assert_refused(&format!("Model({refusal:?})"));
        }
    });
}

#[test]
fn missing_and_damaged_payloads_are_refused() {
    with_job(|job| {
        let refused = |payload: Option<&[u8]>, error: PayloadError| {
            job.run(&job.image, payload).assert_refused(&format!("Payload({error:?})"));
        };
        refused(None, PayloadError::Missing);
        let payload = Network::bundled(1).payload();
        let mut other = payload.clone();
        other[0] ^= 1;
        refused(Some(&other), PayloadError::Missing);

        let end = size_of::<PayloadHeader>() - 4;
        let checksum = |bytes: &[u8]| u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
        let mut damaged = payload.clone();
        damaged[40] ^= 1;
        let (expected, found) = (checksum(&damaged), CRC32.checksum(&damaged[..end]));
        refused(Some(&damaged), PayloadError::Checksum { expected, found });

        let mut endless = payload;
        endless[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        let crc32 = CRC32.checksum(&endless[..end]);
        endless[end..end + 4].copy_from_slice(&crc32.to_le_bytes());
        let available = job.payload.bytes;
        refused(Some(&endless), PayloadError::Length { needed: u32::MAX as usize, available });
    });
}

#[test]
fn an_image_loaded_behind_its_place_moves_there() {
    with_job(|job| {
        let network = Network::bundled(1);
        let appended = [job.image.as_slice(), &network.payload()].concat();
        // Where firmware puts 64-bit kernels by itself.
        let run = job.run_at(0x20_0000, &appended);
        run.check(&network, &[KernelSet::GENERIC]);
    });
}

/// The image that is put on a card has no exit code and no name of an emulator; it serves both
/// boards.
#[test]
fn the_image_for_a_pi_4_also_runs_on_a_pi_3() {
    with_job(|job| {
        let network = Network::bundled(1);
        let folder = TempDir::new().unwrap();
        let elf = folder.path().join("image.elf");
        let board = Board::load("raspberry-pi-4").unwrap();
        build(&board, None, Console::Board, &elf).unwrap_or_else(|error| panic!("{error}"));
        let image = flat_binary(&fs::read(elf).unwrap()).unwrap();
        let appended = write(&folder, "kernel8.img", &[image, network.payload()].concat());
        let mut text = String::new();
        let kernel = ["-kernel".into(), appended.display().to_string()];
        let _ = follow(job.command(&kernel), Stdio::null(), TIME_LIMIT, |_, bytes| {
            text += &String::from_utf8_lossy(bytes);
            if text.ends_with("done\r\n") {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let run = Run { exit_code: Some(0), text };
        run.check_on("raspberry-pi-3", &network, &[KernelSet::GENERIC]);
    });
}

/// Code in place of `main` that breaks the map of memory: the processor stops it, and the image
/// tells where.
#[test]
fn breaches_of_the_memory_map_are_faults() {
    with_job(|job| {
        let main = job.symbol("12fixnet_raspi4main");
        let (stack, data) = (0x180_0000 - 16, 0x180_0000);
        // Instructions; ESR_EL1 (class and status code, Arm ARM DDI 0487, D24.2.40); which of them
        // faults; the address at fault.
        for (what, code, esr, at, far) in [
            // mov x0, #0; ldr x0, [x0]: translation fault at level 3.
            ("null", [0xd280_0000_u32, 0xf940_0000], 0x9600_0007_u32, main + 4, 0),
            // mov x0, #0x10000000; ldr x0, [x0]: translation fault at level 2.
            ("outside", [0xd2a2_0000, 0xf940_0000], 0x9600_0006, main + 4, 0x1000_0000),
            // adr x0, .; str x0, [x0]: permission fault at level 3, a write.
            ("code", [0x1000_0000, 0xf900_0000], 0x9600_004f, main + 4, main),
            // mov x0, #0x01800000; br x0: permission fault at level 2 of an instruction.
            ("data", [0xd2a0_3000, 0xd61f_0000], 0x8600_000e, data, data),
            // str xzr, [sp, #-16]!; b .-4: permission fault at level 2, a write.
            ("stack", [0xf81f_0fff, 0x17ff_ffff], 0x9600_004e, main, stack),
        ] {
            let mut image = job.image.clone();
            let bytes = code.map(u32::to_le_bytes);
            image[main - IMAGE_ORIGIN..][..8].copy_from_slice(bytes.as_flattened());
            let run = job.run(&image, None);
            assert_eq!(run.exit_code, Some(3), "{what}: {}", run.text);
            let line = format!("fault synchronous ESR={esr:#010x} ELR={at:#x} FAR={far:#x}");
            assert_eq!(run.text.trim(), line, "{what}");
        }
    });
}

/// Erratum 835769 of the Cortex-A53: a 64-bit multiply-accumulate right behind a load or store may be
/// wrong.
#[test]
fn no_multiply_accumulate_follows_a_load() {
    with_job(|job| {
        // Encodings: Arm ARM DDI 0487, C4.1, "Loads and Stores" and "Data-processing (3 source)".
        let loads = |word: u32| word & 0x0a00_0000 == 0x0800_0000;
        let accumulates = |word: u32| word >> 24 == 0x9b && word >> 10 & 31 != 31;
        let code = &job.image[..job.symbol("text_end") - IMAGE_ORIGIN];
        let words: Vec<u32> =
            code.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        assert!(words.iter().any(|&word| accumulates(word)), "there is none at all");
        let mut pairs = words.windows(2);
        let found = pairs.position(|pair| loads(pair[0]) && accumulates(pair[1]));
        assert_eq!(found.map(|at| format!("{:#x}", IMAGE_ORIGIN + 4 * at)), None);
    });
}

#[test]
fn the_image_keeps_its_budget() {
    with_job(|job| {
        let bytes = job.image.len();
        println!("kernel8.img {bytes} B of {IMAGE_BUDGET}");
        assert!((1..=IMAGE_BUDGET).contains(&bytes), "{bytes}");
    });
}

/// The image.
struct Job {
    board: Board,
    payload: Region,
    machine: String,
    elf: Vec<u8>,
    /// `kernel8.img`.
    image: Vec<u8>,
}

impl Job {
    fn new() -> Self {
        let board = Board::load(BOARD).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let elf = folder.path().join("image.elf");
        build(&board, None, Console::Emulator, &elf).unwrap_or_else(|error| panic!("{error}"));
        let elf = fs::read(elf).unwrap();
        let image = flat_binary(&elf).unwrap();
        let payload = board.bare_metal.as_ref().and_then(|board| board.payload).unwrap();
        let machine = board.require_qemu().unwrap().machine.clone();
        Self { board, payload, machine, elf, image }
    }

    /// The address of the symbol whose name holds `part`.
    fn symbol(&self, part: &str) -> usize {
        let elf = object::File::parse(self.elf.as_slice()).unwrap();
        let named = |symbol: &object::Symbol<'_, '_>| symbol.name().is_ok_and(|n| n.contains(part));
        elf.symbols().find(named).unwrap_or_else(|| panic!("symbol {part}")).address() as usize
    }

    /// Runs an image, an ELF file or a flat one, with the payload where the board's data says.
    fn run(&self, image: &[u8], payload: Option<&[u8]>) -> Run {
        let folder = TempDir::new().unwrap();
        let kernel = write(&folder, "kernel8.img", image);
        let mut arguments = vec!["-kernel".into(), kernel.display().to_string()];
        if let Some(payload) = payload {
            let file = write(&folder, "payload.bin", payload);
            arguments.extend(loaded(&file, self.payload.origin));
        }
        self.emulate(&arguments)
    }

    /// Runs a flat image that lies at `origin` and is entered there, as after a reset.
    fn run_at(&self, origin: u64, image: &[u8]) -> Run {
        let folder = TempDir::new().unwrap();
        let mut arguments = loaded(&write(&folder, "kernel8.img", image), origin).to_vec();
        arguments.extend(["-device".into(), format!("loader,addr={origin},cpu-num=0")]);
        self.emulate(&arguments)
    }

    fn emulate(&self, arguments: &[String]) -> Run {
        let command = self.command(arguments);
        let output = run_limited(command, TIME_LIMIT).unwrap_or_else(|error| panic!("{error}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Run { exit_code: output.status.code(), text }
    }

    /// The machine, its clock following the instructions.
    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new("qemu-system-aarch64");
        command
            .args(["-machine", &self.machine, "-display", "none", "-monitor", "none"])
            .args(["-serial", "stdio", "-semihosting-config", "enable=on,target=native"])
            .args(["-icount", "shift=0,align=off,sleep=off"])
            .args(arguments);
        command
    }
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// QEMU's option for a file in memory.
fn loaded(file: &Path, origin: u64) -> [String; 2] {
    ["-device".into(), format!("loader,file={},addr={origin},force-raw=on", file.display())]
}

struct Run {
    exit_code: Option<i32>,
    text: String,
}

impl Run {
    fn check(&self, network: &Network, kernels: &[KernelSet]) {
        self.check_on(BOARD, network, kernels);
    }

    /// Checks the report of an image built for `board`.
    fn check_on(&self, board: &str, network: &Network, kernels: &[KernelSet]) {
        assert_eq!(self.exit_code, Some(0), "{}", self.text);
        let report = self.report();
        assert_eq!(report.clock_source, "generic-timer");
        network.check(board, &report, kernels);
    }

    fn report(&self) -> BoardReport {
        BoardReport::parse(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn assert_refused(&self, refusal: &str) {
        assert_eq!(self.exit_code, Some(1), "{}", self.text);
        assert_eq!(self.text.lines().last(), Some(format!("refused {refusal}").as_str()));
    }
}
