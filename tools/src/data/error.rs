//! What can be wrong with images and with what is done to them. Every message is one line.

use std::path::PathBuf;

use super::InputShape;

/// Largest `resize` and `crop`, and the largest image (in pixels) that a resize may make.
pub(super) const MAX_SIDE: u32 = 1 << 13;

/// Why a recipe cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    #[error("--scale {0}: must be a positive number, as 1 or 1/255")]
    Scale(f32),
    #[error("--mean {0:?}: must be finite numbers")]
    Mean([f32; 4]),
    #[error("--std {0:?}: must be positive numbers")]
    Std([f32; 4]),
    #[error("--{flag} {value}: must be between 1 and {MAX_SIDE}")]
    Side { flag: &'static str, value: u32 },
    #[error("--crop {crop} is more than --resize {resize}; crop at most what is left")]
    CropOverResize { crop: u32, resize: u32 },
    #[error(
        "the mean image has {}x{} pixels of {} channels, the network's input {}x{} of {}",
        found.width, found.height, found.channels, input.width, input.height, input.channels
    )]
    MeanImageSize { found: InputShape, input: InputShape },
    #[error("--{flag} {}: the network takes grey images; give one number", numbers(values))]
    Grey { flag: &'static str, values: [f32; 3] },
    #[error("--channels bgr: the network takes grey images, which have no order of colours")]
    GreyOrder,
    #[error(
        "{file}: {reason}; expected a .npy file of float32 or float64, [H,W,C] or [C,H,W] with 1, 3 or 4 \
         channels"
    )]
    MeanImageFile { file: String, reason: String },
}

/// Why an image or a set of images cannot be used. Every message is one line and names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    #[error("{}: no such file or folder", path.display())]
    Missing { path: PathBuf },

    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: std::io::Error },

    #[error(
        "{}: no images in this folder; expected .png, .jpg or .jpeg files, .npy arrays, one folder a \
         class, or CIFAR-10 .bin batches{}",
        path.display(), others(*passed_over)
    )]
    NoImages { path: PathBuf, passed_over: usize },

    #[error("{}: {reason}; --labels takes one name a line, in the order of the classes", path.display())]
    ClassNames { path: PathBuf, reason: String },

    #[error("{}: is class {class}, as {} is; keep one of the two", path.display(), other.display())]
    SameClass { path: PathBuf, other: PathBuf, class: usize },

    #[error(
        "{}: holds both images and class folders; keep one of the two layouts",
        path.display()
    )]
    MixedFolder { path: PathBuf },

    #[error(
        "{}: not a .png or .jpeg image, nor a .npy array, nor a CIFAR-10 .bin batch", path.display()
    )]
    UnknownKind { path: PathBuf },

    #[error("{}: unreadable array ({reason}); save it with numpy.save", path.display())]
    Array { path: PathBuf, reason: String },

    #[error(
        "{}: is an image, and the network takes tensors of shape {}; give .npy files of float32",
        path.display(), shapes(*wanted)
    )]
    NotATensor { path: PathBuf, wanted: InputShape },

    #[error(
        "{}: {element} of shape {shape:?} does not fit the network's input; expected {}",
        path.display(), tensors(*wanted, *image)
    )]
    TensorShape {
        path: PathBuf,
        element: String,
        shape: Vec<usize>,
        wanted: InputShape,
        image: bool,
    },

    #[error("{}: is no image that --resize and --crop could change; leave them out", path.display())]
    NotResized { path: PathBuf },

    #[error("{}: value {at} is NaN or infinite", path.display())]
    TensorNotFinite { path: PathBuf, at: usize },

    #[error(
        "{}: int8 values are steps of a model file's input, which is not known here; give float32",
        path.display()
    )]
    TensorGrid { path: PathBuf },

    #[error("{}: unreadable image ({reason}); replace or remove the file", path.display())]
    Decode { path: PathBuf, reason: String },

    #[error("the image cannot be written as PNG: {0}")]
    Encode(String),

    #[error(
        "{}: {bytes} bytes are not a whole number of 3073-byte CIFAR-10 records; \
         the file is cut short or not in the binary version of CIFAR-10",
        path.display()
    )]
    CifarSize { path: PathBuf, bytes: u64 },

    #[error("{}: record {index} has label {label}, CIFAR-10 has classes 0 to 9", path.display())]
    CifarLabel { path: PathBuf, index: usize, label: u8 },

    #[error("{}: no record {index}; the file holds {records}", path.display())]
    NoSuchRecord { path: PathBuf, index: usize, records: usize },

    #[error("{0}: holds {records} records; name one of them, as in {0}:0", path.display())]
    RecordNeeded { path: PathBuf, records: usize },

    #[error("{}:{line}: {problem}", path.display())]
    Labels { path: PathBuf, line: usize, problem: String },

    #[error("{}: no label for {image}; add a line \"{image},LABEL\"", path.display())]
    Unlabelled { path: PathBuf, image: String },

    #[error(
        "{name}: label {label} is out of range, the network has {classes} classes (0 to {})",
        classes.saturating_sub(1)
    )]
    LabelRange { name: String, label: usize, classes: usize },

    #[error("{}: nothing left after --skip {skip}; it holds {total} images", path.display())]
    EmptyRange { path: PathBuf, skip: usize, total: usize },

    #[error("{}: --limit 0 leaves no image", path.display())]
    ZeroLimit { path: PathBuf },

    #[error("{name}: {width}x{height} pixels are too few for --crop {crop}; give --resize {crop}")]
    CropTooLarge { name: String, width: usize, height: usize, crop: u32 },

    #[error(
        "{name}: {width}x{height} pixels (after resize and crop) do not fit the network's \
         {}x{} input; {}", input.width, input.height, size_remedy(*input)
    )]
    WrongSize { name: String, width: usize, height: usize, input: InputShape },

    #[error(
        "{name}: {width}x{height} pixels grow too large under --resize {resize}; crop the image first"
    )]
    TooLong { name: String, width: usize, height: usize, resize: u32 },

    #[error(transparent)]
    Recipe(#[from] RecipeError),
}

fn others(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "; 1 file is something else".to_owned(),
        _ => format!("; {count} files are something else"),
    }
}

fn size_remedy(input: InputShape) -> String {
    if input.width == input.height {
        format!("give --resize {0} --crop {0}", input.width)
    } else {
        format!("use images of {}x{} pixels", input.width, input.height)
    }
}

fn numbers(values: &[f32; 3]) -> String {
    values.map(|value| value.to_string()).join(",")
}

/// The shapes that tensors of an input may have.
fn shapes(InputShape { height, width, channels }: InputShape) -> String {
    match channels {
        1 => format!("[{height}, {width}]"),
        _ => format!("[{channels}, {height}, {width}] or [{height}, {width}, {channels}]"),
    }
}

fn tensors(wanted: InputShape, image: bool) -> String {
    let InputShape { height, width, channels } = wanted;
    let pixels = if image { ", or an image" } else { "" };
    format!("float32 {}, int8 [{height}, {width}, {channels}]{pixels}", shapes(wanted))
}
