//! Networks of which a part stays in float: split, run in one call, compared, and refused where
//! they cannot run.

pub mod nets;

use std::fs;
use std::path::{Path, PathBuf};

use fixnet::float::{FloatError, FloatModel};
use fixnet::format::FloatPartKind;
use fixnet::hybrid::HybridModel;
use fixnet::profile::{Checksums, WallClock};
use fixnet::{AlignedBytes, KernelSet, Model as Fxn, Session, SessionError};
use prost::Message;
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tract_onnx::pb::ModelProto;

use crate::common::onnx::{Model, ints};
use crate::{fixnet, fixture, json, misuse, names, pictures, refusal, refusal_of, text};
use nets::{Net, SPLIT, classifier, trunk};

/// A network of the tests in a folder of its own, and its model file.
struct Files {
    folder: TempDir,
    onnx: String,
    fxn: String,
    size: &'static str,
}

impl Files {
    fn new(net: Net) -> Self {
        let folder = pictures(1);
        let onnx = text(&net.onnx().save(folder.path()));
        let fxn = text(&folder.path().join("test.fxn"));
        Self { folder, onnx, fxn, size: net.size() }
    }

    fn quantize(&self, more: &[&str]) -> Vec<String> {
        let args = ["quantize", &self.onnx, "--out", &self.fxn, "--resize", self.size, "--crop"];
        let limits = [self.size, "--calib-limit", "32", "--limit", "64"];
        [&args[..], &limits, more].concat().into_iter().map(String::from).collect()
    }

    fn image(&self) -> String {
        text(&self.folder.path().join("0.png"))
    }

    fn bytes(&self) -> AlignedBytes {
        AlignedBytes::from_slice(&std::fs::read(&self.fxn).unwrap())
    }
}

fn partitioned(net: Net) -> Files {
    let files = Files::new(net);
    fixnet(&files.quantize(&["--partition", "--no-compare"])).assert().success();
    files
}

fn node_names(summary: &Value) -> Vec<&str> {
    let parts = summary["float_parts"].as_array().unwrap();
    let nodes = parts.iter().flat_map(|part| part["nodes"].as_array().unwrap());
    nodes.map(|node| node["name"].as_str().unwrap()).collect()
}

// ---- Splitting ----------------------------------------------------------------------------------

#[test]
fn the_ends_that_have_no_int8_form_stay_in_float() {
    for net in SPLIT {
        let files = Files::new(net);
        let summary = json(&files.quantize(&["--partition", "--json"]));
        assert_eq!(node_names(&summary), net.nodes(), "{net:?}");
        assert_eq!(summary["format_version"], "1.1", "{net:?}");
        let share: f64 = summary["float_parts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| part["macs_share"].as_f64().unwrap())
            .sum();
        assert!((0.0..0.2).contains(&share), "{net:?}: {share}");
        let agreement = summary["agreement"].as_f64().unwrap();
        assert!(agreement >= 0.9, "{net:?}: {agreement}");
        let compared = json(&["compare", &files.onnx, &files.fxn, "--limit", "64", "--json"]);
        assert_eq!(compared["agreement"], summary["agreement"], "{net:?}");
        assert_eq!(
            compared["layers"].as_array().unwrap().len(),
            summary["layers"].as_array().unwrap().len()
        );
        for layer in compared["layers"].as_array().unwrap() {
            assert!(layer["sqnr_isolated_db"].as_f64().unwrap() > 15.0, "{net:?}: {layer}");
        }
    }
}

#[test]
fn a_network_that_is_int8_throughout_is_not_split() {
    let files = Files::new(Net::LrnHead);
    let model = classifier(trunk(Model::new(17, &[1, 3, 16, 16]), "x"), "trunk").output("logits");
    let _ = model.save(files.folder.path());
    let summary = json(&files.quantize(&["--partition", "--fallback", "tract", "--json"]));
    assert_eq!(summary["float_parts"], serde_json::json!([]));
    assert_eq!(summary["format_version"], "1.0");
}

#[test]
fn the_table_names_what_stays_in_float() {
    let files = Files::new(Net::HeadAndTail);
    let output = fixnet(&files.quantize(&["--partition", "--no-compare"])).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    for words in ["head by tract", "tail by tract", "lrn (LRN)", "bent (Atan)", "% of the MACs"] {
        assert!(page.contains(words), "no {words:?}: {page}");
    }
}

#[test]
fn without_the_flag_the_node_is_refused_and_the_flag_named() {
    let files = Files::new(Net::LrnHead);
    let line = refusal(&files.quantize(&["--no-compare"]));
    assert!(line.contains("\"lrn\" (LRN") && line.contains("`--partition`"), "{line}");
}

#[test]
fn nodes_between_blocks_cannot_be_split_off() {
    for net in [Net::MiddleBetween, Net::MiddleInside] {
        let files = Files::new(net);
        let line = refusal(&files.quantize(&["--partition", "--no-compare"]));
        assert!(line.contains(&files.onnx), "{line}");
        assert!(line.contains(&format!("node {:?} (Atan)", net.nodes()[0])), "{line}");
        assert!(line.contains("`--fallback tract`"), "{line}");
        assert!(!Path::new(&files.fxn).exists());
    }
}

/// The fixture `name`, as its exporter wrote it, behind a hard swish and before a hard sigmoid.
fn wrapped(name: &str, folder: &Path) -> String {
    let source = PathBuf::from(fixture(name));
    let mut proto = ModelProto::decode(fs::read(&source).unwrap().as_slice()).unwrap();
    let graph = proto.graph.as_mut().unwrap();
    let weights: Vec<&String> = graph.initializer.iter().map(|t| &t.name).collect();
    let input = graph.input.iter().find(|i| !weights.contains(&&i.name)).unwrap().name.clone();
    let output = graph.output[0].name.clone();
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input).filter(|n| **n == input) {
        *name = "head".to_owned();
    }
    let ends = Model::new(17, &[1]).node("Atan", &[&input], "head", &[]);
    let mut ends = ends.node("Atan", &[&output], "tail", &[]);
    graph.node.insert(0, ends.graph().node.remove(0));
    graph.node.append(&mut ends.graph().node);
    graph.output[0].name = "tail".to_owned();
    for set in proto.opset_import.iter_mut().filter(|set| set.domain.is_empty()) {
        set.version = set.version.max(14);
    }
    let data = source.with_extension("onnx.data");
    if data.exists() {
        fs::copy(&data, folder.join(data.file_name().unwrap())).unwrap();
    }
    let path = folder.join("wrapped.onnx");
    fs::write(&path, proto.encode_to_vec()).unwrap();
    text(&path)
}

/// Shape arithmetic, external data, channels last: what exporters write is split like anything else.
#[test]
fn networks_of_all_exporters_keep_their_layers_between_float_ends() {
    for name in [
        "basic-dynamo-dynamic",
        "basic-torchscript",
        "bottleneck-dynamo-external",
        "bottleneck-torchscript-dynamic",
        "option-a-torchscript-dynamic",
        "keras-resnet",
        "keras-preactivation",
    ] {
        let folder = tempdir().unwrap();
        let (onnx, fxn) = (wrapped(name, folder.path()), text(&folder.path().join("x.fxn")));
        let limits = ["--calib-limit", "8", "--limit", "16", "--json", "--out", &fxn];
        let ends = json(&[&["quantize", &onnx, "--partition"], &limits[..]].concat());
        let alone = json(&[&["quantize", &fixture(name)], &limits[..]].concat());
        let names = |summary: &Value| -> Vec<String> {
            let layers = summary["layers"].as_array().unwrap();
            layers.iter().map(|layer| layer["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&ends), names(&alone), "{name}");
        // A Softmax that is not the last node any more.
        let mut nodes = node_names(&ends);
        nodes.retain(|name| !name.to_lowercase().contains("softmax"));
        assert_eq!(nodes, ["head", "tail"], "{name}");
        assert!(ends["agreement"].as_f64() > Some(0.7), "{name}: {}", ends["agreement"]);
        for layer in ends["layers"].as_array().unwrap() {
            assert!(layer["sqnr_isolated_db"].as_f64().unwrap() > 15.0, "{name}: {layer}");
        }
    }
}

// ---- Running ------------------------------------------------------------------------------------

#[test]
fn one_table_holds_the_float_nodes_and_the_int8_layers() {
    let files = partitioned(Net::HeadAndTail);
    let run = json(&["run", &files.fxn, &files.image(), "--checksums", "--json"]);
    assert_eq!(run["backend"], "fixnet+tract");
    let layers = run["layers"].as_array().unwrap();
    let at = |name: &str| {
        let found = layers.iter().position(|layer| layer["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {layers:?}"))
    };
    let order = [at("quantize"), at("stem"), at("trunk.conv2"), at("dequantize")];
    assert!(order.is_sorted() && order[0] > 0 && order[3] + 1 < layers.len(), "{order:?}");
    for (index, layer) in layers.iter().enumerate() {
        let int8 = (order[0]..order[3]).contains(&index);
        assert_eq!(layer["crc32"].is_string(), int8, "{layer}");
        assert!(layer["ns"].is_u64() && layer["kernel"].is_string(), "{layer}");
    }
    assert_eq!(run["logits"].as_array().unwrap().len(), 5);
    let tract = ["run", &files.fxn, &files.image(), "--backend", "tract", "--model", &files.onnx];
    let float = json(&[&tract[..], &["--json"]].concat());
    assert_eq!(float["top"][0]["class"], run["top"][0]["class"]);
    let names: Vec<&Value> =
        float["layers"].as_array().unwrap().iter().map(|l| &l["name"]).collect();
    let (head, stem) =
        (names.iter().position(|n| *n == "lrn"), names.iter().position(|n| *n == "stem"));
    assert!(head.is_some() && head < stem && names.contains(&&"trunk.conv2".into()), "{names:?}");
}

#[test]
fn scores_without_a_tail_stay_exact_logits() {
    let files = partitioned(Net::LrnHead);
    let run = json(&["run", &files.fxn, &files.image(), "--json"]);
    assert!(run["logits"].as_array().unwrap().iter().all(Value::is_i64), "{}", run["logits"]);
}

/// The plan between float parts gives the bytes that it gives without them.
#[test]
fn the_trunk_gives_the_bytes_that_it_gives_alone() {
    for net in [Net::LrnHead, Net::HeadAndTail, Net::SquashedTail] {
        let files = partitioned(net);
        let bytes = files.bytes();
        let model = Fxn::new_checked(&bytes).unwrap();
        let hybrid = HybridModel::load(&model).unwrap();
        let rgb: Vec<u8> = (0..16 * 16 * 3u32).map(|i| (i * 37 % 251) as u8).collect();
        let mut all = Vec::new();
        for kernels in KernelSet::available() {
            let needed = model.required(kernels).arena();
            let mut arena = AlignedBytes::zeroed(needed);
            let mut session = hybrid.session(arena.as_mut_slice(), kernels, 1).unwrap();
            session.set_pixels(&rgb).unwrap();
            session.run_head().unwrap();
            let input = session.plan().input_mut().to_vec();
            let mut within = Checksums::<64>::new();
            let run = session.run_with(&mut WallClock::default(), &mut within).unwrap();
            assert_eq!(run.ticks.len(), hybrid.steps(kernels).len(), "{net:?}");
            let mut alone = Checksums::<64>::new();
            session.plan().input_mut().copy_from_slice(&input);
            session.plan().run_with(&mut alone).unwrap();
            assert_eq!(within.values(), alone.values(), "{net:?}");
            assert_eq!(within.values().len(), model.step_count());
            all.push((input, alone.values().to_vec(), run.scores));
        }
        assert!(all.windows(2).all(|two| two[0] == two[1]), "{net:?}: kernels differ");
    }
}

/// What a machine without tract, a microcontroller above all, makes of such a file.
#[test]
fn a_session_alone_refuses_the_file() {
    let files = partitioned(Net::HeadAndTail);
    let bytes = files.bytes();
    let model = Fxn::new_checked(&bytes).unwrap();
    let mut arena = AlignedBytes::zeroed(1 << 20);
    let refused = Session::new(&model, arena.as_mut_slice()).unwrap_err();
    assert_eq!(refused, SessionError::FloatParts { count: 2 });
}

/// A part's weights damaged behind a right checksum, as only a forger makes it.
#[test]
fn a_part_that_tract_refuses_is_a_typed_error() {
    let files = partitioned(Net::LrnHead);
    let bytes = files.bytes();
    let model = Fxn::new_checked(&bytes).unwrap();
    let onnx = model.float_part(FloatPartKind::Head).unwrap().onnx;
    let at = bytes.windows(onnx.len()).position(|window| window == onnx).unwrap();
    let mut forged = bytes.clone();
    forged.as_mut_slice()[at..at + onnx.len()].fill(0xff);
    let model = Fxn::new_checked(&forged).unwrap();
    assert!(model.verify_weights().is_err());
    let error = HybridModel::load(&model).unwrap_err().to_string();
    assert!(error.contains("head in float") && !error.contains('\n'), "{error}");
    // tract panics on an axis that is not there.
    let order = [ints("perm", &[0, 9, 1, 2])];
    let turned = Model::new(17, &[1, 3, 4, 4]).node("Transpose", &["x"], "y", &order).output("y");
    let error = FloatModel::from_bytes(&turned.proto.encode_to_vec()).unwrap_err();
    assert!(matches!(error, FloatError::Load(_)), "{error}");
}

#[test]
fn every_command_reads_a_partitioned_file() {
    let files = partitioned(Net::HeadAndTail);
    let plan = json(&["inspect", &files.fxn, "--json"]);
    assert_eq!(node_names(&plan), Net::HeadAndTail.nodes());
    assert_eq!(plan["image"], serde_json::json!([16, 16, 3]));
    fixnet(&["inspect", &files.fxn]).assert().success();
    let bench = ["bench", &files.fxn, "--runs", "2", "--against", "tract", "--model", &files.onnx];
    let bench = json(&[&bench[..], &["--threads", "2", "--json"]].concat());
    assert!(bench["median_ms"].as_f64() > Some(0.0));
    assert!(bench["against"]["tract"]["ratio"].as_f64() > Some(0.0));
}

// ---- Boards -------------------------------------------------------------------------------------

#[test]
fn a_board_without_an_operating_system_refuses_float_parts() {
    let files = Files::new(Net::LrnHead);
    let on =
        |board: &'static str| files.quantize(&["--partition", "--no-compare", "--board", board]);
    let line = refusal(&on("nucleo-f446re"));
    assert!(line.contains("nucleo-f446re") && line.contains("\"lrn\" (LRN)"), "{line}");
    let fallback = files.quantize(&["--fallback", "tract", "--board", "qemu-mps2-an386"]);
    let line = refusal(&fallback);
    assert!(line.contains("\"lrn\" (LRN)") && line.contains("\"stem\" (Conv)"), "{line}");
    assert!(!Path::new(&files.fxn).exists());
    fixnet(&on("raspberry-pi-4")).assert().success();
    // Nor is its first run on a Linux board checked against values that may differ there.
    for board in ["nucleo-f446re", "jetson-nano"] {
        let flash = ["flash", "--board", board, "--dry-run", &files.fxn];
        let host: &[&str] = if board == "jetson-nano" { &["--host", "nowhere"] } else { &[] };
        let line = refusal(&[&flash[..], host].concat());
        assert!(line.contains("parts in float"), "{line}");
    }
    let line = refusal(&files.quantize(&["--partition", "--board", "toaster"]));
    assert!(line.contains("toaster") && line.contains("nucleo-f446re"), "{line}");
}

#[test]
fn a_model_beyond_the_budget_is_refused_with_the_bytes() {
    let folder = pictures(1);
    let (onnx, fxn) = (folder.path().join("big.onnx"), folder.path().join("big.fxn"));
    let (onnx, fxn) = (text(&onnx), text(&fxn));
    let make = ["make-model", "resnet18", "--width-multiplier", "0.5", "--input-size", "64"];
    fixnet(&[&make[..], &["--out", &onnx]].concat()).assert().success();
    let args = ["quantize", &onnx, "--out", &fxn, "--calib-limit", "1", "--no-compare", "--board"];
    let line = refusal(&[&args[..], &["nucleo-f446re"]].concat());
    assert!(line.contains("needed") || line.contains("needs"), "{line}");
    let numbers = line.split(|c: char| !c.is_ascii_digit()).filter(|n| n.len() > 3).count();
    assert!(numbers >= 2 && line.contains("available"), "{line}");
    assert!(!Path::new(&fxn).exists());
}

// ---- Whole in float -----------------------------------------------------------------------------

fn fallen_back(net: Net) -> (Files, String) {
    let files = Files::new(net);
    let output = fixnet(&files.quantize(&["--partition", "--fallback", "tract"])).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    (files, stderr)
}

#[test]
fn a_network_that_cannot_be_split_runs_whole_in_float() {
    for net in [Net::MiddleBetween, Net::MiddleInside] {
        let (files, warning) = fallen_back(net);
        assert_eq!(warning.lines().count(), 1, "{warning}");
        assert!(warning.starts_with("warning: ") && warning.contains(net.nodes()[0]), "{warning}");
        let run = json(&["run", &files.fxn, &files.image(), "--json"]);
        assert_eq!(run["backend"], "tract");
        assert_eq!(run["logits"].as_array().unwrap().len(), 5);
        assert!(run["layers"].as_array().unwrap().iter().all(|l| l["kernel"].is_string()));
        let output = fixnet(&["run", &files.fxn, &files.image()]).output().unwrap();
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(page.contains("the whole network in float, by tract"), "{page}");
        let plan = json(&["inspect", &files.fxn, "--json"]);
        assert_eq!(plan["float_parts"][0]["part"], "whole");
        assert_eq!(plan["layers"], serde_json::json!([]));
        fixnet(&["inspect", &files.fxn]).assert().success();
        let bench = json(&["bench", &files.fxn, "--runs", "2", "--json"]);
        assert!(bench["median_ms"].as_f64() > Some(0.0));
    }
}

#[test]
fn what_a_whole_float_file_lacks_is_refused_in_one_line() {
    let (files, _) = fallen_back(Net::MiddleInside);
    let (image, svg) = (files.image(), text(&files.folder.path().join("arena.svg")));
    let line = refusal(&["compare", &files.onnx, &files.fxn]);
    assert!(line.contains("whole in float"), "{line}");
    let line = refusal(&["run", &files.fxn, &image, "--checksums"]);
    assert!(line.contains("--checksums"), "{line}");
    let tract = ["run", &files.fxn, &image, "--backend", "tract", "--model", &files.onnx];
    assert!(refusal(&tract).contains("whole in float"));
    let line = refusal(&["inspect", &files.fxn, "--svg", &svg]);
    assert!(line.contains("no arena"), "{line}");
    assert!(misuse(&files.quantize(&["--fallback", "cuda"])).contains("cuda"));
}

#[test]
fn the_fallback_alone_does_not_split() {
    let files = Files::new(Net::LrnHead);
    let output = fixnet(&files.quantize(&["--fallback", "tract"])).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let plan = json(&["inspect", &files.fxn, "--json"]);
    assert_eq!(plan["float_parts"][0]["part"], "whole");
    // A file that is no network at all stays refused.
    let absent = fixnet(&["quantize", "absent.onnx", "--fallback", "tract"]).output().unwrap();
    assert!(refusal_of(&absent).contains("absent.onnx"));
    let left: Vec<PathBuf> = names(files.folder.path()).into_iter().map(PathBuf::from).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
