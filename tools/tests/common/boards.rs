//! What the tests of emulated boards share: networks with inputs, and what the host makes of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fixnet::format::{CRC32, ModelSpec, Target, payload_flags, write_payload};
use fixnet::profile::Checksums;
use fixnet::{AlignedBytes, KernelFamily, KernelSet, Model, Session, SessionError};
use tools::boards::Board;
use tools::data::dead_leaves::dead_leaves;
use tools::firmware::BoardReport;

pub const FLAGS: u16 = payload_flags::CHECKSUMS | payload_flags::REFUSED_ARENAS;

/// Whether to run the tests of boards; says so, loudly, where not.
pub fn wanted(what: &str) -> bool {
    let unwanted = std::env::var_os("FIXNET_NO_QEMU").is_some_and(|value| value == "1");
    if unwanted {
        // Past the test harness, which swallows what a test that passes prints.
        let _ = writeln!(std::io::stderr(), "\n!!! {what} DID NOT RUN: FIXNET_NO_QEMU=1 is set");
        return false;
    }
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| succeed(&mut Command::new(firmware("setup.sh"))));
    true
}

/// A model file and inputs.
pub struct Network {
    pub file: AlignedBytes,
    /// The same network as every machine can run it.
    portable: AlignedBytes,
    pub inputs: Vec<Vec<u8>>,
}

impl Network {
    /// The trained ResNet-20.
    pub fn bundled(inputs: u64) -> Self {
        static FILE: OnceLock<AlignedBytes> = OnceLock::new();
        let file = FILE.get_or_init(|| Self::quantize(None, 16));
        Self::with_inputs(file.clone(), inputs)
    }

    /// A network of the zoo with random weights, and one input.
    pub fn random(name: &str, pixels: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let onnx = folder.path().join("model.onnx");
        let pixels = pixels.to_string();
        succeed(
            fixnet(&["make-model", name, "--seed", "0", "--input-size", &pixels, "--out"])
                .arg(&onnx),
        );
        Self::with_inputs(Self::quantize(Some(&onnx), 2), 1)
    }

    /// A network in ONNX, and one input.
    #[allow(dead_code, reason = "not every board's tests know one")]
    pub fn of_file(onnx: &Path) -> Self {
        Self::with_inputs(Self::quantize(Some(onnx), 2), 1)
    }

    fn quantize(onnx: Option<&Path>, images: usize) -> AlignedBytes {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.fxn");
        let images = images.to_string();
        let mut command = fixnet(&["quantize", "--no-compare", "--calib-limit", &images, "--out"]);
        succeed(command.arg(&file).args(onnx));
        AlignedBytes::from_slice(&fs::read(file).unwrap())
    }

    fn with_inputs(file: AlignedBytes, count: u64) -> Self {
        let input = Model::new_checked(&file).unwrap().input();
        let image = |index| dead_leaves(3, index, input.width, input.height).data;
        let inputs = (0..count).map(image).collect();
        Self { portable: file.clone(), file, inputs }
    }

    /// The network with its weights laid out for a machine.
    #[allow(dead_code, reason = "not every board has packed files of its own")]
    pub fn packed_for(self, target: Target) -> Self {
        self.packed_within(target, None)
    }

    /// The same in a file of at most so many bytes.
    #[allow(dead_code, reason = "not every board has packed files of its own")]
    pub fn packed_within(self, target: Target, max_bytes: Option<u64>) -> Self {
        let spec = ModelSpec::from_model(&Model::new_checked(&self.portable).unwrap());
        let packed = tools::packing::pack(&spec, target, max_bytes).unwrap();
        let file = fixnet::format::write(&packed).unwrap();
        let packed = Model::new_checked(&file).unwrap();
        assert_eq!(packed.target(), target);
        assert!(*fixnet::format::unpack(&packed).unwrap() == *self.portable);
        Self { file, ..self }
    }

    pub fn model(&self) -> Model<'_> {
        Model::new_checked(&self.file).unwrap()
    }

    pub fn inputs(&self) -> Vec<&[u8]> {
        self.inputs.iter().map(Vec::as_slice).collect()
    }

    pub fn payload(&self) -> Vec<u8> {
        self.payload_of(&self.file)
    }

    /// The payload with another model file.
    pub fn payload_of(&self, file: &[u8]) -> Vec<u8> {
        write_payload(file, &self.inputs(), FLAGS).expect("less than 4 GiB")
    }

    /// Checks a whole report against what each of these kernels computes on the host.
    pub fn check(&self, board: &str, report: &BoardReport, kernels: &[KernelSet]) {
        let model = self.model();
        let portable = Model::new_checked(&self.portable).unwrap();
        let family = family(board, model.target());
        let needed = model.required_by_family(family, 1).arena();
        let short = SessionError::ArenaTooSmall { needed, available: needed - 1 };
        assert_eq!(report.board, board);
        assert_eq!(report.model_crc32, Some(CRC32.checksum(&self.file)));
        assert_eq!(report.arena_bytes, needed);
        assert_eq!(report.arena_short, Some(format!("{short:?}")));
        let shifted = report.arena_shifted.as_deref().expect("a misaligned arena was tried");
        assert!(shifted.starts_with("ArenaMisaligned { needed: 16, address: "), "{shifted}");
        assert_eq!(report.inferences.len(), self.inputs.len());
        for (inference, rgb) in report.inferences.iter().zip(&self.inputs) {
            let layers: Vec<u32> = inference.layers.iter().filter_map(|l| l.crc32).collect();
            assert_eq!(layers.len(), model.step_count());
            let results = (inference.input_crc32, layers, inference.logits.clone());
            for &kernels in kernels {
                assert_eq!(results, host_results(&portable, rgb, kernels), "{}", kernels.name());
            }
            for (layer, step) in inference.layers.iter().zip(model.steps()) {
                assert_eq!(layer.name, step.layer.name);
                assert_eq!(layer.kernel, family.kernel_name(&step.operator));
                assert!(layer.ticks > 0, "{layer:?}");
            }
            let sum: u64 = inference.layers.iter().map(|layer| layer.ticks).sum();
            assert!(sum <= inference.ticks, "{sum} {}", inference.ticks);
            assert!((256..32 << 10).contains(&inference.stack_bytes), "{}", inference.stack_bytes);
        }
    }
}

/// The kernels that run files for `target` in a board's image.
pub fn family(board: &str, target: Target) -> KernelFamily {
    Board::load(board).unwrap().kernels(target).unwrap()
}

/// Checksum of the int8 input, checksum of every layer, logits.
pub fn host_results(model: &Model, rgb: &[u8], kernels: KernelSet) -> (u32, Vec<u32>, Vec<i32>) {
    let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
    let mut session = Session::with_kernels(model, arena.as_mut_slice(), kernels).unwrap();
    session.set_pixels(rgb).unwrap();
    let input = CRC32.checksum(session.tensor_mut(model.input().tensor).unwrap());
    let mut checksums = Checksums::<64>::new();
    let logits = session.run_with(&mut checksums).unwrap().to_vec();
    (input, checksums.values().to_vec(), logits)
}

pub fn fixnet(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fixnet"));
    command.args(args);
    command
}

pub fn firmware(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware").join(path)
}

/// Runs a command that must succeed; fails with what it says.
pub fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", stderr.trim_end());
}
