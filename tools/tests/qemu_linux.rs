//! The program for Linux boards under qemu-user, as the cores of all boards that run Linux: every
//! layer's bytes are the host's, `bench` and `compare` work, and bad input gets the host's answer.
//!
//! Needs `firmware/setup.sh linux`, which finds or installs compilers and QEMU or says what is missing;
//! builds the programs if `./test.sh` has not done so. `FIXNET_NO_QEMU=1` leaves these tests out.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use fixnet::{AlignedBytes, Model};
use object::{Object, ObjectSection};
use serde_json::Value;
use tools::boards::{Board, firmware_folder, fit_linux};
use tools::data::dead_leaves::dead_leaves;
use tools::data::to_png;
use tools::process::{follow, run_limited};

/// A run takes seconds; a program that hangs must not hang the tests.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// tract for another machine, built from nothing on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_secs(3000);

const AARCH64: Target =
    Target { triple: "aarch64-unknown-linux-gnu", emulator: "qemu-aarch64", flags: &[] };
/// tract is not built for 32-bit boards.
const ARMV7: Target = Target {
    triple: "armv7-unknown-linux-gnueabihf",
    emulator: "qemu-arm",
    flags: &["--no-default-features"],
};

#[test]
fn aarch64_gives_the_bytes_of_the_host() {
    let Some(program) = Program::get(&AARCH64, "the byte test of AArch64 Linux") else { return };
    let job = Job::get();
    let host = json(&fixnet(&job.run_args(&[])));
    for cpu in AARCH64.cores() {
        for flags in [&[][..], &["--kernels", "reference"]] {
            assert_same_bytes(&host, &program.json(cpu, &job.run_args(flags)));
        }
    }
}

#[test]
fn resnet18_gives_the_bytes_of_the_host() {
    let Some(program) = Program::get(&AARCH64, "ResNet-18 on AArch64 Linux") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name));
    let (onnx, file, photo) = (path("resnet18.onnx"), path("resnet18.fxn"), path("photo.png"));
    write_png(&photo, 9, 300, 260);
    succeed(&fixnet(&["make-model", "resnet18", "--seed", "0", "--out", &onnx]));
    let flags = ["--preset", "imagenet", "--calib-limit", "2", "--no-compare", "--out", &file];
    succeed(&fixnet(&[&["quantize", &onnx], &flags[..]].concat()));
    let args = ["run", &file, &photo, "--checksums", "--json"];
    assert_same_bytes(&json(&fixnet(&args)), &program.json("max", &args));
}

/// Files for a machine run on it, and nowhere else.
#[test]
fn packed_files_give_the_bytes_of_the_portable_one() {
    let Some(program) = Program::get(&AARCH64, "packed files on AArch64 Linux") else { return };
    let job = Job::get();
    let host = json(&fixnet(&job.run_args(&[])));
    let folder = tempfile::tempdir().unwrap();
    for (target, cpus, foreign) in [
        ("armv8-neon", &["cortex-a53", "cortex-a76"][..], None),
        ("armv8-dotprod", &["cortex-a76", "max"][..], Some("cortex-a72")),
        ("armv8-i8mm", &["max"][..], Some("cortex-a76")),
    ] {
        let packed = text(&folder.path().join(target));
        succeed(&fixnet(&["pack", &job.model, "--target", target, "--out", &packed]));
        let mut args = job.run_args(&[]);
        args[1] = &packed;
        for cpu in cpus {
            assert_same_bytes(&host, &program.json(cpu, &args));
        }
        if let Some(cpu) = foreign {
            let output = program.run(cpu, &args);
            assert_eq!(output.status.code(), Some(2));
            let line = String::from_utf8(output.stderr).unwrap();
            assert!(line.contains(target), "{line}");
        }
    }
}

/// Of every layer, of all kernels that a processor has, and of tract.
#[test]
fn counted_instructions_are_the_same_in_every_run() {
    let Some(program) = Program::get(&AARCH64, "counting on AArch64 Linux") else { return };
    let (job, path) = (Job::get(), text(&program.path));
    let count = |board: &str, flags: &[&str]| {
        let args = ["qemu", "--board", board, "--count", "--image", &path, "--json", &job.model];
        let run = json(&fixnet(&[&args[..], flags].concat()));
        assert_eq!(run["equals_host"], true);
        let layers = run["layers"].as_array().unwrap();
        assert_eq!(layers.len(), job.layers);
        let counts = layers.iter().map(|layer| layer["instructions"].as_u64().unwrap());
        assert!(counts.clone().all(|count| count > 0));
        assert_eq!(run["instructions"].as_u64(), Some(counts.sum()));
        run
    };
    let dotprod = count("raspberry-pi-5", &["--against", "tract", "--checksums"]);
    let neon = count("raspberry-pi-4", &[]);
    let instructions = |run: &Value| run["instructions"].as_u64().unwrap();
    assert_eq!(instructions(&neon), instructions(&count("raspberry-pi-4", &[])));
    // The C library copies memory in another way on another processor.
    let same = count("raspberry-pi-5", &["--kernels", "neon"]);
    assert!(instructions(&neon).abs_diff(instructions(&same)) * 100 < instructions(&neon));
    assert!(instructions(&dotprod) < instructions(&same));
    let i8mm = count("graviton3", &[]);
    assert!(instructions(&i8mm) < instructions(&dotprod));
    let generic = count("raspberry-pi-5", &["--kernels", "generic"]);
    assert!(instructions(&same) < instructions(&generic));
    let tract = dotprod["against"]["tract"]["instructions"].as_u64().unwrap();
    assert!(tract > instructions(&dotprod), "{tract}");
}

/// A stem that runs in parts, in turns with its pool, is counted as one layer.
#[test]
fn a_streamed_stem_is_counted_whole() {
    let Some(program) = Program::get(&AARCH64, "counting streamed layers") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (onnx, file) = (folder.path().join("m.onnx"), folder.path().join("m.fxn"));
    let (onnx, file) = (text(&onnx), text(&file));
    succeed(&fixnet(&["make-model", "resnet18", "--input-size", "96", "--out", &onnx]));
    let quantize = ["quantize", &onnx, "--no-compare", "--calib-limit", "1", "--out", &file];
    succeed(&fixnet(&quantize));
    let bytes = AlignedBytes::from_slice(&fs::read(&file).unwrap());
    assert!(Model::new_checked(&bytes).unwrap().step(0).unwrap().output.is_streamed());
    let path = text(&program.path);
    let board = ["qemu", "--board", "raspberry-pi-4", "--count", "--checksums", "--json"];
    let run = json(&fixnet(&[&board[..], &["--image", &path, &file]].concat()));
    let layers = run["layers"].as_array().unwrap();
    // Products of whole convolutions take some instructions each, and not many.
    let per_mac = |layer: &Value| {
        let [count, macs] = ["instructions", "macs"].map(|key| layer[key].as_u64().unwrap());
        count as f64 / macs as f64
    };
    assert!((0.1..1.0).contains(&per_mac(&layers[0])), "{}", layers[0]);
    assert!(layers[1]["instructions"].as_u64() > Some(0));
}

#[test]
fn armv7_gives_the_bytes_of_the_host() {
    let Some(program) = Program::get(&ARMV7, "the byte test of ARMv7 Linux") else { return };
    let job = Job::get();
    let args = job.run_args(&[]);
    assert_same_bytes(&json(&fixnet(&args)), &program.json("max", &args));
    check_bench(&program, job);
    let refusal = program.refusal(&["compare", "a.onnx", &job.model, "--limit", "4"]);
    assert!(refusal.contains("compare needs tract"), "{refusal}");
    let refusal = program.refusal(&["bench", &job.model, "--against", "tract"]);
    assert!(refusal.contains("this program was built without tract"), "{refusal}");
}

#[test]
fn bench_times_every_layer() {
    let Some(program) = Program::get(&AARCH64, "bench on AArch64 Linux") else { return };
    check_bench(&program, Job::get());
}

/// Under emulation the figures mean nothing, but there is one for every layer.
fn check_bench(program: &Program, job: &Job) {
    for threads in ["1", "3"] {
        let args = ["bench", &job.model, "--runs", "2", "--threads", threads, "--json"];
        let bench = program.json("max", &args);
        assert!(bench["median_ms"].as_f64() > Some(0.0), "{bench}");
        let layers = bench["layers"].as_array().unwrap();
        assert_eq!(layers.len(), job.layers);
        for layer in layers {
            assert!(layer["ns"].as_u64() > Some(0) && layer["kernel"].is_string(), "{layer}");
        }
    }
}

#[test]
fn compare_judges_as_on_the_host() {
    let Some(program) = Program::get(&AARCH64, "compare on AArch64 Linux") else { return };
    let job = Job::get();
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/resnet20-cifar10.onnx");
    let args = ["compare", bundled, &job.model, "--limit", "4", "--layer-images", "2", "--json"];
    let (host, board) = (json(&fixnet(&args)), program.json("max", &args));
    assert_eq!(board["images"], 4);
    assert_eq!(board["agreement"], host["agreement"]);
    let layers = |report: &Value| report["layers"].as_array().unwrap().clone();
    assert_eq!(layers(&board).len(), job.layers);
    for (host, board) in layers(&host).iter().zip(layers(&board)) {
        assert_eq!(host["name"], board["name"]);
        // tract's float kernels differ from machine to machine, by far less than int8 from float.
        for key in ["sqnr_db", "sqnr_isolated_db"] {
            let (host, board) = (host[key].as_f64().unwrap(), board[key].as_f64().unwrap());
            assert!(host > 10.0 && (host - board).abs() < 0.1, "{key}: {host} and {board} dB");
        }
    }
}

#[test]
fn bad_input_gets_the_answer_of_the_host() {
    for target in [&AARCH64, &ARMV7] {
        let Some(program) = Program::get(target, "bad input on Linux boards") else { return };
        let job = Job::get();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| text(&folder.path().join(name));
        let (damaged, short) = (path("damaged.fxn"), path("short.fxn"));
        let mut bytes = fs::read(&job.model).unwrap();
        fs::write(&short, &bytes[..bytes.len() / 2]).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&damaged, &bytes).unwrap();
        let image = &job.images[0];
        for (file, image) in [
            (&path("absent.fxn"), image),
            (image, image),
            (&damaged, image),
            (&short, image),
            (&job.model, &path("absent.png")),
            (&job.model, &job.model),
        ] {
            let args = ["run", file, image];
            let host = fixnet(&args);
            assert_eq!(host.status.code(), Some(2));
            let host = String::from_utf8(host.stderr).unwrap();
            assert_eq!(program.refusal(&args), host.trim_end());
        }
    }
}

/// Boards have C libraries of every age: the program brings its own.
#[test]
fn the_program_needs_no_library_of_the_board() {
    for target in [&AARCH64, &ARMV7] {
        let Some(program) = Program::get(target, "the libraries of the program") else { return };
        let file = fs::read(&program.path).unwrap();
        let elf = object::File::parse(file.as_slice()).unwrap();
        let dynamic = elf.sections().any(|section| section.name() == Ok(".interp"));
        assert!(!dynamic, "{} needs a loader", target.triple);
    }
}

#[test]
fn the_program_fits_the_boards_and_tells_its_version() {
    for target in [&AARCH64, &ARMV7] {
        let Some(program) = Program::get(target, "the size of the program") else { return };
        let bytes = fs::metadata(&program.path).unwrap().len() as usize;
        println!("{}: {bytes} B", target.triple);
        let file = AlignedBytes::from_slice(&fs::read(&Job::get().model).unwrap());
        let model = Model::new_checked(&file).unwrap();
        for board in target.boards() {
            fit_linux(&board, &model, bytes).unwrap();
        }
        let version = program.run("max", &["--version"]);
        let expected = format!("fixnet-board {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
    }
}

/// All that does not depend on the machine: preprocessing, the bytes of every layer, logits, classes.
fn assert_same_bytes(host: &Value, board: &Value) {
    let list = |value: &Value| value.as_array().unwrap_or(&vec![value.clone()]).clone();
    let (host, board) = (list(host), list(board));
    assert_eq!(host.len(), board.len());
    for (host, board) in host.iter().zip(&board) {
        for key in ["image", "input_crc32", "logits"] {
            assert!(!host[key].is_null());
            assert_eq!(host[key], board[key], "{key}");
        }
        assert_eq!(host["top"][0]["class"], board["top"][0]["class"]);
        let layers = |value: &Value| {
            let part = |layer: &Value| {
                let crc32 = layer["crc32"].as_str().expect("a checksum").to_owned();
                (layer["name"].clone(), crc32, layer["macs"].clone())
            };
            value["layers"].as_array().unwrap().iter().map(part).collect::<Vec<_>>()
        };
        assert!(!layers(host).is_empty());
        assert_eq!(layers(host), layers(board), "{}", host["image"]);
    }
}

/// The bundled network, quantized by the host, and inputs for it.
struct Job {
    model: String,
    layers: usize,
    /// Three PNG files and two raw records.
    images: Vec<String>,
}

impl Job {
    fn get() -> &'static Self {
        static JOB: OnceLock<Job> = OnceLock::new();
        JOB.get_or_init(|| {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linux-board");
            fs::create_dir_all(&folder).unwrap();
            let model = text(&folder.join("resnet20.fxn"));
            let flags = ["quantize", "--calib-limit", "16", "--no-compare", "--out", &model];
            succeed(&fixnet(&flags));
            for seed in 0..3 {
                write_png(&text(&folder.join(format!("{seed}.png"))), seed, 32, 32);
            }
            // Two records of a CIFAR-10 batch: a label and three planes of 32x32 bytes.
            let record = |seed| {
                let rgb = dead_leaves(seed, 1, 32, 32).data;
                let plane = |colour: usize| rgb.iter().skip(colour).step_by(3).copied();
                [7].into_iter().chain((0..3).flat_map(plane)).collect::<Vec<u8>>()
            };
            fs::write(folder.join("batch.bin"), [record(4), record(5)].concat()).unwrap();
            let file = AlignedBytes::from_slice(&fs::read(&model).unwrap());
            let layers = Model::new_checked(&file).unwrap().step_count();
            let names = ["0.png", "1.png", "2.png", "batch.bin:0", "batch.bin:1"];
            let images = names.iter().map(|name| text(&folder.join(name))).collect();
            Self { model, layers, images }
        })
    }

    fn run_args<'a>(&'a self, flags: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["run", &self.model, "--checksums", "--json"];
        args.extend(self.images.iter().map(String::as_str));
        args.extend(flags);
        args
    }
}

/// A machine that Linux boards are.
struct Target {
    triple: &'static str,
    emulator: &'static str,
    /// Of the build.
    flags: &'static [&'static str],
}

impl Target {
    fn boards(&self) -> Vec<Board> {
        let boards = Board::all().unwrap().into_iter().filter(|board| {
            board.linux.as_ref().is_some_and(|l| l.targets.iter().any(|t| t == self.triple))
        });
        let boards: Vec<Board> = boards.collect();
        assert!(!boards.is_empty());
        boards
    }

    /// The cores of the boards, as far as the emulator knows them, and all that it can do.
    fn cores(&self) -> Vec<&'static str> {
        let mut cores = vec!["cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76"];
        let boards = self.boards();
        cores.retain(|core| boards.iter().any(|board| board.core == *core));
        assert!(cores.len() >= 3, "the boards' cores");
        cores.push("max");
        cores
    }
}

/// `fixnet-board` for a target.
struct Program {
    target: &'static Target,
    path: PathBuf,
}

impl Program {
    /// None, said loudly, where these tests are not wanted.
    fn get(target: &'static Target, what: &str) -> Option<Self> {
        if std::env::var_os("FIXNET_NO_QEMU").is_some_and(|v| v == "1") {
            tell(&format!("\n!!! {what} DID NOT RUN: FIXNET_NO_QEMU=1 is set"));
            return None;
        }
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| {
            let mut setup = Command::new(firmware_folder().join("setup.sh"));
            setup.arg("linux");
            build_step(setup);
            build(&AARCH64);
            build(&ARMV7);
        });
        let path = target_folder().join(target.triple).join("release/fixnet-board");
        Some(Self { target, path })
    }

    fn run(&self, cpu: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.target.emulator);
        command.args(["-cpu", cpu]).arg(&self.path).args(args);
        run_limited(command, TIME_LIMIT).unwrap()
    }

    fn json(&self, cpu: &str, args: &[&str]) -> Value {
        json(&self.run(cpu, args))
    }

    /// The one line that says why the program does not do it.
    fn refusal(&self, args: &[&str]) -> String {
        let output = self.run("max", args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
        stderr.trim_end().to_owned()
    }
}

fn target_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

fn build(target: &Target) {
    let mut cargo = Command::new(firmware_folder().join("cargo.sh"));
    cargo
        .args([target.triple, "build", "--release", "--locked", "--quiet"])
        .args(["--package", "fixnet-linux-board"])
        .args(target.flags)
        .env("CARGO_TARGET_DIR", target_folder())
        // Flags for the host are not for the board.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    build_step(cargo);
}

fn build_step(command: Command) {
    let mut said = Vec::new();
    let status = follow(command, std::process::Stdio::null(), BUILD_LIMIT, |_, bytes| {
        said.extend_from_slice(bytes);
        std::ops::ControlFlow::Continue(())
    });
    assert!(status.unwrap().success(), "{}", String::from_utf8_lossy(&said).trim_end());
}

fn fixnet(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fixnet"));
    command.args(args);
    run_limited(command, TIME_LIMIT).unwrap()
}

fn succeed(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""));
}

fn json(output: &Output) -> Value {
    succeed(output);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn write_png(path: &str, seed: u64, width: usize, height: usize) {
    fs::write(path, to_png(&dead_leaves(seed, 0, width, height)).unwrap()).unwrap();
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of ASCII").to_owned()
}

/// Past the test harness, which swallows what a test that passes prints.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
