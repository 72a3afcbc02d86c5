//! Networks of any number of input channels: grey and RGBA images, and tensors that are no images, through
//! every command that takes inputs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tools::data::{Pixels, to_npy, to_png};

use super::boards::{BOARD, wanted};
use super::{fixnet, json, misuse, names, refusal, text};

/// A network, and where files of its inputs go.
struct Job {
    folder: tempfile::TempDir,
    onnx: String,
    fxn: String,
    /// Channels, height, width.
    shape: [usize; 3],
}

impl Job {
    fn new(network: &str, shape @ [channels, height, width]: [usize; 3]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| text(&folder.path().join(name));
        let (onnx, fxn) = (path("net.onnx"), path("net.fxn"));
        let (channels, size) = (channels.to_string(), format!("{height}x{width}"));
        let made = json(&[
            "make-model",
            network,
            "--width-multiplier",
            "0.5",
            "--channels",
            &channels,
            "--input-size",
            &size,
            "--out",
            &onnx,
            "--json",
        ]);
        assert_eq!(made["input"], serde_json::json!(shape));
        Self { folder, onnx, fxn, shape }
    }

    fn quantize(&self, more: &[&str]) -> (Value, String) {
        let args = ["quantize", &self.onnx, "--out", &self.fxn, "--json"];
        let args = [&args[..], &["--calib-limit", "32", "--limit", "8"], more].concat();
        let output = fixnet(&args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        (serde_json::from_slice(&output.stdout).unwrap(), stderr)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).unwrap();
        text(&self.path(name))
    }

    /// Values of the network's shape: smooth waves between -2 and 2.
    fn values(&self, seed: usize) -> Vec<f32> {
        let count: usize = self.shape.iter().product();
        (0..count).map(|at| ((at * (seed + 3)) % 64) as f32 / 16.0 - 2.0).collect()
    }

    /// A folder of arrays.
    fn arrays(&self, count: usize) -> String {
        let folder = self.path("arrays");
        fs::create_dir(&folder).unwrap();
        for index in 0..count {
            let [channels, height, width] = self.shape;
            let file = to_npy(&[1, channels, height, width], &self.values(index));
            fs::write(folder.join(format!("{index}.npy")), file).unwrap();
        }
        text(&folder)
    }

    fn logits(&self, input: &str) -> Value {
        json(&["run", &self.fxn, input, "--json"])["logits"].clone()
    }
}

/// A `.npy` file of single bytes.
fn bytes_npy(descr: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut file = to_npy(shape, &vec![0.0; bytes.len()]);
    let data = file.len() - 4 * bytes.len();
    let at = file.windows(3).position(|window| window == b"<f4").unwrap();
    file[at..at + 3].copy_from_slice(descr.as_bytes());
    file.truncate(data);
    file.extend(bytes);
    file
}

fn png<const CHANNELS: usize>(
    size: [usize; 2],
    pixel: fn(usize, usize) -> [u8; CHANNELS],
) -> Vec<u8> {
    to_png(&Pixels::from_fn(size[0], size[1], pixel)).unwrap()
}

/// At least 20 dB at the end, and the images of the network's shape.
fn assert_faithful(report: &Value, shape: [usize; 3]) {
    let last = report["layers"].as_array().unwrap().last().unwrap();
    assert!(last["sqnr_db"].as_f64().unwrap() >= 20.0, "{last}");
    let [channels, height, width] = shape;
    assert_eq!(report["image"], serde_json::json!([height, width, channels]));
}

#[test]
fn a_grey_network_takes_grey_images_and_the_luma_of_colours() {
    let job = Job::new("resnet8", [1, 16, 16]);
    let (report, warnings) = job.quantize(&["--mean", "0.5", "--std", "0.25"]);
    assert_faithful(&report, job.shape);
    assert_eq!((warnings.as_str(), &report["preprocessing"]["mean"]), ("", &vec![0.5].into()));
    assert_eq!(report["format_version"], "1.8");
    let colour = job.file("colour.png", &png([16, 16], |x, y| [x as u8 * 9, y as u8 * 13, 200]));
    let luma = |x: usize, y: usize| {
        let [red, green] = [x * 9, y * 13];
        [((19_595 * red + 38_470 * green + 7_471 * 200 + 0x8000) >> 16) as u8]
    };
    let grey = job.file("grey.png", &png([16, 16], luma));
    let pixels: Vec<u8> = (0..256).flat_map(|at| luma(at % 16, at / 16)).collect();
    let array = job.file("grey.npy", &bytes_npy("|u1", &[16, 16], &pixels));
    assert_eq!(job.logits(&colour), job.logits(&grey));
    assert_eq!(job.logits(&array), job.logits(&grey));
    let compared = json(&["compare", &job.onnx, &job.fxn, "--images", &colour, "--json"]);
    assert_eq!(compared["images"], 1);
    json(&["bench", &job.fxn, "--runs", "2", "--json"]);
    json(&["check", &job.onnx, "--json"]);

    let three = ["quantize", &job.onnx, "--mean", "0.4,0.5,0.6"];
    let expected = "--mean 0.4,0.5,0.6: the network takes grey images; give one number";
    assert!(refusal(&three).contains(expected), "{}", refusal(&three));
    let order = refusal(&["quantize", &job.onnx, "--channels", "bgr"]);
    assert!(order.contains("--channels bgr: the network takes grey"), "{order}");
}

#[test]
fn alpha_is_kept_and_opaque_where_a_file_has_none() {
    let job = Job::new("resnet8", [4, 16, 16]);
    let (report, _) = job.quantize(&["--std", "0.5,0.5,0.5,0.25", "--channels", "bgr"]);
    assert_faithful(&report, job.shape);
    assert_eq!(report["preprocessing"]["std"], serde_json::json!([0.5, 0.5, 0.5, 0.25]));
    let plain = job.file("plain.png", &png([16, 16], |x, y| [x as u8 * 9, y as u8 * 13, 200]));
    let opaque = png([16, 16], |x, y| [x as u8 * 9, y as u8 * 13, 200, 255]);
    let opaque = job.file("opaque.png", &opaque);
    let clear = png([16, 16], |x, y| [x as u8 * 9, y as u8 * 13, 200, x as u8]);
    let clear = job.file("clear.png", &clear);
    assert_eq!(job.logits(&plain), job.logits(&opaque));
    assert_ne!(job.logits(&clear), job.logits(&opaque));
    json(&["compare", &job.onnx, &job.fxn, "--images", &clear, "--json"]);
}

/// Audio as 49 x 10 coefficients.
#[test]
fn arrays_make_a_network_of_tensors_and_go_through_every_command() {
    let job = Job::new("resnet8", [1, 49, 10]);
    let arrays = job.arrays(6);
    let (report, warnings) = job.quantize(&["--calib", &arrays]);
    assert_faithful(&report, job.shape);
    assert_eq!((warnings.as_str(), &report["preprocessing"]), ("", &Value::Null));
    assert_eq!(report["format_version"], "1.0");
    let one = text(&Path::new(&arrays).join("0.npy"));
    let compared = json(&["compare", &job.onnx, &job.fxn, "--images", &arrays, "--json"]);
    assert_eq!(compared["images"], 6);
    json(&["bench", &job.fxn, "--input", &one, "--runs", "2", "--json"]);
    let float =
        json(&["run", &job.fxn, &one, "--backend", "tract", "--model", &job.onnx, "--json"]);
    assert!(float["top"].is_array());

    // The same input as int8 on the model's own grid.
    let input = &json(&["inspect", &job.fxn, "--json"])["input"];
    let (scale, zero) =
        (input["scale"].as_f64().unwrap() as f32, input["zero_point"].as_i64().unwrap() as f32);
    let int8 = |value: f32| (value / scale + zero).round_ties_even().clamp(-128.0, 127.0) as i8;
    let steps: Vec<u8> = job.values(0).iter().map(|&v| int8(v).cast_unsigned()).collect();
    let steps = job.file("steps.npy", &bytes_npy("|i1", &[49, 10, 1], &steps));
    assert_eq!(job.logits(&steps), job.logits(&one));
    for report in ["run", "inspect"] {
        let args = [report, &job.fxn, &one];
        fixnet(&args[..if report == "run" { 3 } else { 2 }]).assert().success();
    }
}

/// Boards of a game, a region of a map of features.
#[test]
fn any_number_of_channels_is_taken_in_either_order() {
    for (network, shape @ [channels, height, width]) in
        [("resnet20", [17, 8, 8]), ("resnet8", [1024, 14, 14]), ("keras-resnet20-v1", [6, 9, 8])]
    {
        let job = Job::new(network, shape);
        let (report, warnings) = job.quantize(&[]);
        assert_faithful(&report, shape);
        assert!(warnings.contains("calibrated on generated noise of mean 0"), "{warnings}");
        let values = job.values(1);
        let chw = job.file("chw.npy", &to_npy(&shape, &values));
        let plane = height * width;
        let hwc = (0..values.len()).map(|at| values[at % channels * plane + at / channels]);
        let hwc: Vec<f32> = hwc.collect();
        let hwc = job.file("hwc.npy", &to_npy(&[1, height, width, channels], &hwc));
        assert_eq!(job.logits(&chw), job.logits(&hwc), "{network}");
        json(&["check", &job.onnx, "--json"]);
    }
}

#[test]
fn what_is_no_input_of_the_network_is_refused_in_one_line_with_both_shapes() {
    let job = Job::new("resnet8", [6, 8, 9]);
    job.quantize(&["--no-compare"]);
    let run = |path: &str| refusal(&["run", &job.fxn, path]);
    let expected = "expected float32 [6, 8, 9] or [8, 9, 6], int8 [8, 9, 6]";
    let other = job.file("other.npy", &to_npy(&[6, 9, 8], &[0.0; 432]));
    let message = run(&other);
    let found = "float32 of shape [6, 9, 8] does not fit the network's input";
    assert_eq!(message, format!("error: {other}: {found}; {expected}"));
    for (name, descr, shape, element) in [
        ("bytes.npy", "|u1", &[8, 9, 6][..], "uint8 of shape [8, 9, 6]"),
        ("chw8.npy", "|i1", &[6, 8, 9], "int8 of shape [6, 8, 9]"),
        ("long.npy", "<i8", &[6, 8, 9], "int64 of shape [6, 8, 9]"),
    ] {
        let path = job.file(name, &bytes_npy(descr, shape, &[0; 432]));
        let message = run(&path);
        assert!(message.starts_with(&format!("error: {path}: {element} does not")), "{message}");
        assert!(message.ends_with(expected), "{message}");
    }
    let image = job.file("image.png", &png([9, 8], |_, _| [0; 3]));
    let message = run(&image);
    assert!(message.contains("is an image, and the network takes tensors of shape [6, 8, 9]"));
    let noise = job.file("noise.npy", b"no array");
    assert!(run(&noise).contains(": unreadable array (not a .npy file)"), "{}", run(&noise));
    let nan = job.file("nan.npy", &to_npy(&[6, 8, 9], &[f32::NAN; 432]));
    assert!(run(&nan).contains("value 0 is NaN or infinite"));
    let neither = job.file("words.txt", b"words");
    assert!(run(&neither).contains("not a .png or .jpeg image, nor a .npy array"));
    let good = job.file("good.npy", &to_npy(&[6, 8, 9], &job.values(0)));
    let resized = refusal(&["run", &job.fxn, &good, "--resize", "8"]);
    assert!(resized.contains("is no image that --resize"), "{resized}");

    let quantize = |more: &[&str]| refusal(&[&["quantize", &job.onnx][..], more].concat());
    let steps = job.file("steps.npy", &bytes_npy("|i1", &[8, 9, 6], &[0; 432]));
    let message = quantize(&["--calib", &steps]);
    assert!(message.contains("which is not known here; give float32"), "{message}");
    assert!(quantize(&["--input", "image"]).contains("6 channels, and images have 1, 3 or 4"));
    assert!(quantize(&["--std", "1"]).contains("--std: is about images"));
    assert!(!names(job.folder.path()).iter().any(|name| name.ends_with(".tmp")));
    assert!(misuse(&["make-model", "resnet8", "--input-size", "8x", "--out", "x"]).contains("8x"));
}

/// Both payloads: pixels of a grey image, and the int8 values of a tensor.
#[test]
fn an_emulated_board_gives_the_bytes_of_the_host_for_grey_images_and_tensors() {
    if !wanted("fixnet qemu") {
        return;
    }
    let job = Job::new("resnet8", [1, 16, 16]);
    let arrays = job.arrays(4);
    let grey = job.file("grey.png", &png([16, 16], |x, y| [(x * y) as u8]));
    let array = text(&Path::new(&arrays).join("1.npy"));
    for (more, input) in [(&[][..], &grey), (&["--calib", &arrays], &array)] {
        job.quantize(more);
        let run = json(&["qemu", "--board", BOARD, &job.fxn, input, "--checksums", "--json"]);
        assert_eq!(run["equals_host"], true, "{input}");
        assert_eq!(run["logits"], job.logits(input));
    }
}
