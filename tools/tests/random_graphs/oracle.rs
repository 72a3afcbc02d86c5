//! The oracle: another implementation of ONNX, in a process of its own.
//!
//! By default it is rten, built from `tests/oracle`; `FIXNET_ORACLE` names a command that answers the
//! same requests, as `tests/onnx_runtime_oracle.py` does with ONNX Runtime.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use prost::Message;
use tract_onnx::pb::ModelProto;

use crate::common::onnx::info;
use crate::generator::Network;
use crate::{rten_dialect, wire};

pub struct Oracle {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the oracle makes of one image, one vector a tensor.
pub type Outputs = Vec<Vec<f32>>;

impl Oracle {
    pub fn start() -> Self {
        let words = command();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env("RTEN_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("the oracle {words:?} does not start: {e}"));
        let requests = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, requests, answers }
    }

    /// Runs `network` on `images`; the tensors `outputs` of each. `Err` is why the
    /// oracle cannot.
    pub fn run(
        &mut self,
        folder: &Path,
        network: &Network,
        images: &[Vec<f32>],
        outputs: &[&str],
    ) -> Result<Vec<Outputs>, String> {
        let (model, input) = (folder.join("oracle.onnx"), folder.join("input.f32"));
        let bytes = wire::unpacked(&prepared(network, outputs).encode_to_vec());
        std::fs::write(&model, bytes).expect("a writable folder");
        let bytes: Vec<u8> = images.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(&input, bytes).expect("a writable folder");
        let shape: Vec<String> = network.shape.iter().map(usize::to_string).collect();
        let paths = [&model, &input].map(|path| path.display().to_string());
        let mut request = format!("{}\t{}\t{}", paths[0], paths[1], shape.join(","));
        outputs.iter().for_each(|name| request.push_str(&format!("\t{name}")));
        let answer = self.ask(&request);
        let mut fields = answer.split('\t');
        match fields.next() {
            Some("ok") => {
                let tensors: Outputs = fields.map(floats).collect();
                assert_eq!(tensors.len(), images.len() * outputs.len(), "{request}: {answer}");
                Ok(tensors.chunks(outputs.len()).map(<[_]>::to_vec).collect())
            }
            Some("error") => Err(fields.collect::<Vec<_>>().join(" ")),
            _ => panic!("the oracle answers {answer:?} to {request}"),
        }
    }

    fn ask(&mut self, request: &str) -> String {
        let mut answer = String::new();
        let sent = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush());
        let read = sent.and_then(|()| self.answers.read_line(&mut answer));
        assert!(matches!(read, Ok(1..)), "the oracle ended at {request}");
        answer.trim_end_matches('\n').to_string()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It ends with its input; what is left is only to reap it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn floats(text: &str) -> Vec<f32> {
    text.split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().expect("a number"))
        .collect()
}

fn foreign_command() -> Option<String> {
    std::env::var("FIXNET_ORACLE").ok()
}

fn command() -> Vec<String> {
    match foreign_command() {
        Some(command) => command.split_whitespace().map(String::from).collect(),
        None => vec![rten().display().to_string()],
    }
}

/// The oracle's program, built once.
fn rten() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/Cargo.toml");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--locked", "--manifest-path", manifest])
            .arg("--target-dir")
            .arg(&target)
            .status();
        assert!(status.is_ok_and(|s| s.success()), "cargo cannot build {manifest}");
        target.join("release/fixnet-oracle")
    })
}

/// The network with `outputs` as outputs, in words that the oracle knows.
fn prepared(network: &Network, outputs: &[&str]) -> ModelProto {
    let mut proto = network.plain.clone();
    let graph = proto.graph.get_or_insert_default();
    for name in outputs {
        if !graph.output.iter().any(|output| output.name == *name) {
            let mut output = info(name, &[]);
            untyped_shape(&mut output);
            graph.output.push(output);
        }
    }
    // One parameter a channel means the same for each place and for all; ONNX Runtime wants to be told
    // the latter.
    let norms = graph.node.iter_mut().filter(|node| node.op_type == "BatchNormalization");
    norms.for_each(|node| node.attribute.retain(|a| a.name != "spatial"));
    if foreign_command().is_none() {
        rten_dialect::rewrite(&mut proto, &network.implicit_pads);
    }
    proto
}

/// A float output of any shape.
fn untyped_shape(output: &mut tract_onnx::pb::ValueInfoProto) {
    use tract_onnx::pb::type_proto::Value::TensorType;
    if let Some(TensorType(tensor)) = output.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        tensor.shape = None;
    }
}
