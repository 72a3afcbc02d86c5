//! The bundled network on emulated Cortex-M boards: every layer's bytes are the host's, and what the
//! host refuses is refused with the same typed error.
//!
//! Needs a compiler for the boards and `qemu-system-arm`; `firmware/setup.sh` finds or installs them
//! or says what is missing. `FIXNET_NO_QEMU=1` leaves these tests out.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use fixnet::format::{CRC32, Operator};
use fixnet::profile::Checksums;
use fixnet::{AlignedBytes, KernelSet, Model, ModelError, Session, SessionError};
use tools::boards;
use tools::data::dead_leaves::dead_leaves;

const INPUTS: u64 = 3;
/// A run takes seconds; a guest that hangs must not hang the tests.
const TIME_LIMIT: Duration = Duration::from_secs(180);

#[test]
fn cortex_m3_gives_the_bytes_of_the_host() {
    check_board("qemu-mps2-an385");
}

#[test]
fn cortex_m4_gives_the_bytes_of_the_host() {
    check_board("qemu-mps2-an386");
}

#[test]
fn cortex_m7_gives_the_bytes_of_the_host() {
    check_board("qemu-mps2-an500");
}

fn check_board(name: &str) {
    if std::env::var_os("FIXNET_NO_QEMU").is_some_and(|v| v == "1") {
        // Past the test harness, which swallows what a test that passes prints.
        let _ = writeln!(std::io::stderr(), "\n!!! {name} DID NOT RUN: FIXNET_NO_QEMU=1 is set");
        return;
    }
    let job = Job::get();
    let board = Board::load(name);
    let image = job.build(name, &board);
    board.check_budget(&image);

    let run = board.run(&image, name);
    assert_eq!(run.exit_code, Some(0), "{name}: {}", run.text);
    let mut lines = run.text.lines();
    let mut next = || lines.next().unwrap_or("(nothing)");
    let model = job.model();
    let needed = model.required(KernelSet::Generic).arena();
    let short = SessionError::ArenaTooSmall { needed, available: needed - 1 };
    assert_eq!(next(), format!("board {name}"));
    assert_eq!(next(), format!("model_crc32 {:08x}", CRC32.checksum(&job.model)));
    assert_eq!(next(), format!("arena_bytes {needed}"));
    assert_eq!(next(), format!("arena_short {short:?}"));
    assert_misaligned(next());
    for rgb in &job.inputs {
        // The specification's bytes, under the names of the kernels that the board runs.
        for expected in host_report(&model, rgb) {
            assert_eq!(next(), expected, "{name}");
        }
    }
    assert_eq!(next(), "done");
    assert_eq!(lines.next(), None);

    job.check_damaged_models(name, &board, &image);
}

/// The address is the board's own; that it is misaligned is not.
fn assert_misaligned(line: &str) {
    let address = line
        .strip_prefix("arena_shifted ArenaMisaligned { needed: 16, address: ")
        .and_then(|rest| rest.strip_suffix(" }"))
        .unwrap_or_else(|| panic!("{line}"));
    assert_eq!(address.parse::<usize>().expect("a number") % 16, 1, "{line}");
}

/// The lines that the image must print for one input; the reference and the portable kernels agree
/// on them.
fn host_report(model: &Model, rgb: &[u8]) -> Vec<String> {
    let reference = host_results(model, rgb, KernelSet::Reference);
    let generic = host_results(model, rgb, KernelSet::Generic);
    assert_eq!(reference, generic);
    let (input, layers, logits) = reference;
    assert_eq!(layers.len(), model.step_count());
    let mut lines = vec![format!("input {input:08x}")];
    for (step, crc32) in model.steps().zip(layers) {
        let kernel = KernelSet::Generic.kernel_name(&step.operator);
        lines.push(format!("layer {} {kernel} {crc32:08x} {}", step.index, step.layer.name));
    }
    let logits: Vec<String> = logits.iter().map(|logit| format!(" {logit}")).collect();
    lines.push(format!("logits{}", logits.concat()));
    lines
}

/// Checksum of the int8 input, checksum of every layer, logits.
fn host_results(model: &Model, rgb: &[u8], kernels: KernelSet) -> (u32, Vec<u32>, Vec<i32>) {
    let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
    let mut session = Session::with_kernels(model, arena.as_mut_slice(), kernels).unwrap();
    session.set_rgb(rgb).unwrap();
    let input = CRC32.checksum(session.tensor_mut(model.input().tensor).unwrap());
    let mut checksums = Checksums::<64>::new();
    let logits = session.run_with(&mut checksums).to_vec();
    (input, checksums.values().to_vec(), logits)
}

/// What all boards run: the files in the image, and what they hold.
struct Job {
    folder: PathBuf,
    model: AlignedBytes,
    inputs: Vec<Vec<u8>>,
    /// Boards of one target share the path of the image.
    building: Mutex<()>,
}

impl Job {
    fn get() -> &'static Self {
        static JOB: OnceLock<Job> = OnceLock::new();
        JOB.get_or_init(|| {
            succeed(&mut Command::new(firmware("setup.sh")));
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cortex-m");
            fs::create_dir_all(&folder).unwrap();
            let fresh = folder.join("fresh.fxn");
            let quantize = ["quantize", "--calib-limit", "16", "--no-compare", "--out"];
            succeed(Command::new(env!("CARGO_BIN_EXE_fixnet")).args(quantize).arg(&fresh));
            let model = AlignedBytes::from_slice(&fs::read(&fresh).unwrap());
            let input = Model::new_checked(&model).unwrap().input();
            let image = |index| dead_leaves(3, index, input.width, input.height).data;
            let inputs: Vec<Vec<u8>> = (0..INPUTS).map(image).collect();
            write_if_changed(&folder.join("model.fxn"), &model);
            write_if_changed(&folder.join("inputs.rgb"), &inputs.concat());
            Self { folder, model, inputs, building: Mutex::new(()) }
        })
    }

    fn model(&self) -> Model<'_> {
        Model::new_checked(&self.model).unwrap()
    }

    /// The board's image, an ELF file.
    fn build(&self, name: &str, board: &Board) -> Vec<u8> {
        let _guard = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let target = self.folder.join("target");
        succeed(
            Command::new(firmware("cargo.sh"))
                .args([board.target.as_str(), "build", "--release", "--locked", "--quiet"])
                .env("CARGO_TARGET_DIR", &target)
                .env("FIXNET_BOARD", name)
                .env("FIXNET_MODEL", self.folder.join("model.fxn"))
                .env("FIXNET_INPUTS", self.folder.join("inputs.rgb"))
                // Flags for the host are not for the board.
                .env_remove("RUSTFLAGS")
                .env_remove("CARGO_ENCODED_RUSTFLAGS"),
        );
        fs::read(target.join(&board.target).join("release/fixnet-cortex-m")).unwrap()
    }

    /// Changes single bytes of the model in flash: the board must refuse it as the host does.
    fn check_damaged_models(&self, name: &str, board: &Board, image: &[u8]) {
        let start = image
            .windows(self.model.len())
            .position(|window| *window == *self.model)
            .expect("the image holds the model");
        let model = self.model();
        let weights = model.steps().find_map(|step| match step.operator {
            Operator::Conv { weights, .. } => Some(weights.as_ptr() as usize),
            _ => None,
        });
        let weight = weights.expect("a convolution") - self.model.as_ptr() as usize + 7;
        type Expected = fn(&ModelError) -> bool;
        let damages: [(usize, Expected); 4] = [
            (0, |e| matches!(e, ModelError::BadMagic)),
            (8, |e| matches!(e, ModelError::Length { .. })),
            (40, |e| matches!(e, ModelError::PlanChecksum { .. })),
            (weight, |e| matches!(e, ModelError::WeightsChecksum { .. })),
        ];
        for (offset, expected) in damages {
            let mut damaged = self.model.clone();
            damaged.as_mut_slice()[offset] ^= 0x10;
            let refusal = Model::new_checked(&damaged)
                .and_then(|model| model.verify_weights())
                .expect_err("the host refuses the model, too");
            assert!(expected(&refusal), "{refusal:?}");
            let mut image = image.to_vec();
            image[start + offset] ^= 0x10;
            let run = board.run(&image, name);
            assert_eq!(run.exit_code, Some(1), "{name}: {}", run.text);
            let last = run.text.lines().last().unwrap_or_default();
            assert_eq!(last, format!("refused Model({refusal:?})"), "{name}");
        }
    }
}

/// The parts of a board's data that a run needs.
struct Board {
    target: String,
    machine: String,
    ram_origin: usize,
    flash_budget: usize,
    ram_budget: usize,
}

struct Run {
    /// `None` if a signal ended the emulator.
    exit_code: Option<i32>,
    text: String,
}

impl Board {
    /// Reads the board's data.
    fn load(name: &str) -> Self {
        let board = boards::Board::load(name).unwrap();
        let machine = board.require_qemu().unwrap().machine.clone();
        let bare_metal = board.bare_metal.unwrap();
        let ram = bare_metal.ram.unwrap();
        Self {
            target: bare_metal.target,
            machine,
            ram_origin: usize::try_from(ram.origin).unwrap(),
            flash_budget: bare_metal.budget.flash.unwrap(),
            ram_budget: bare_metal.budget.ram.unwrap(),
        }
    }

    /// Sums the segments of an ELF32 file: what lies in the file goes to flash, what lies at RAM
    /// addresses takes RAM.
    fn check_budget(&self, image: &[u8]) {
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
        let half = |at: usize| usize::from(u16::from_le_bytes([image[at], image[at + 1]]));
        let (table, entry, count) = (word(28), half(42), half(44));
        let (mut flash, mut ram) = (0, 0);
        for at in (0..count).map(|index| table + index * entry) {
            const PT_LOAD: usize = 1;
            if word(at) == PT_LOAD {
                flash += word(at + 16);
                if word(at + 8) >= self.ram_origin {
                    ram += word(at + 20);
                }
            }
        }
        println!("flash {flash} B of {}, RAM {ram} B of {}", self.flash_budget, self.ram_budget);
        assert!((1..=self.flash_budget).contains(&flash), "the image has {flash} bytes of flash");
        assert!((1..=self.ram_budget).contains(&ram), "the image has {ram} bytes of RAM");
    }

    fn run(&self, image: &[u8], name: &str) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let (elf, text) = (folder.path().join("image.elf"), folder.path().join("output.txt"));
        fs::write(&elf, image).unwrap();
        let mut child = Command::new("qemu-system-arm")
            .args(["-machine", &self.machine, "-display", "none", "-monitor", "none"])
            .args(["-serial", "none", "-semihosting-config", "enable=on,target=native"])
            .args([OsStr::new("-kernel"), elf.as_os_str()])
            .stdin(Stdio::null())
            .stdout(File::create(&text).unwrap())
            .spawn()
            .expect("qemu-system-arm starts");
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > TIME_LIMIT {
                child.kill().unwrap();
                child.wait().unwrap();
                let text = fs::read_to_string(&text).unwrap_or_default();
                panic!("{name}: stopped after {} s: {text}", TIME_LIMIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Run { exit_code: status.code(), text: fs::read_to_string(&text).unwrap() }
    }
}

fn firmware(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware").join(path)
}

/// Runs a command that must succeed; fails with what it says.
fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", stderr.trim_end());
}

/// Leaves the time stamp of a file alone that holds `bytes` already, which spares a build.
fn write_if_changed(path: &Path, bytes: &[u8]) {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return;
    }
    fs::write(path, bytes).unwrap();
}
