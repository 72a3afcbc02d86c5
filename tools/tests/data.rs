//! Folders, label files, batches and damaged images as a user would hand them in.

use std::fs;
use std::path::Path;

use png::{BitDepth, ColorType};
use tempfile::TempDir;
use tools::data::{
    DataError, Dataset, InputShape, OpenOptions, Pixels, Recipe, Sample, Source, Wanted, to_png,
};

const TINY: InputShape = InputShape { height: 2, width: 2, channels: 3 };
const RGB_JPEG: &[u8] = include_bytes!("../../fuzz/corpus/image/rgb.jpg");
const CIFAR: InputShape = InputShape { height: 32, width: 32, channels: 3 };

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write_image(path: &Path, red: u8) {
    fs::write(path, to_png(&Pixels::from_fn(2, 2, |_, _| [red, 0, 0])).unwrap()).unwrap();
}

fn write_batch(path: &Path, labels: &[u8]) {
    let record = |&label: &u8| {
        let planes = (0..3072u32).map(move |at| (at / 1024 * 100 + at % 1024 % 32) as u8);
        std::iter::once(label).chain(planes)
    };
    fs::write(path, labels.iter().flat_map(record).collect::<Vec<u8>>()).unwrap();
}

fn open(path: &Path) -> Result<Dataset, DataError> {
    Dataset::open(path, &OpenOptions::default())
}

fn open_error(path: &Path, options: &OpenOptions) -> String {
    let message = Dataset::open(path, options).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// What a network takes that is given images.
fn images(input: InputShape) -> Wanted {
    Wanted::in_float(input, Some(&Recipe::default()))
}

fn pixels(sample: &Sample) -> &Pixels {
    sample.content.pixels().unwrap()
}

fn samples(dataset: &Dataset, input: InputShape) -> Vec<Sample> {
    (0..dataset.len()).map(|at| dataset.sample(at, &images(input)).unwrap()).collect()
}

fn summary(dataset: &Dataset) -> Vec<(String, u8, Option<usize>)> {
    samples(dataset, TINY)
        .into_iter()
        .map(|s| (s.name.clone(), pixels(&s).data[0], s.label))
        .collect()
}

#[test]
fn a_flat_folder_is_read_in_file_name_order() {
    let dir = folder();
    for (name, red) in [("b.png", 2), ("a.png", 1), ("C.png", 3)] {
        write_image(&dir.path().join(name), red);
    }
    fs::write(dir.path().join("notes.txt"), "not an image").unwrap();
    let dataset = open(dir.path()).unwrap();
    assert!(!dataset.has_labels());
    let expected = [("C.png", 3), ("a.png", 1), ("b.png", 2)];
    assert_eq!(summary(&dataset), expected.map(|(n, red)| (n.to_owned(), red, None)));
}

#[test]
fn a_flat_folder_takes_its_labels_from_labels_csv() {
    let dir = folder();
    write_image(&dir.path().join("a.png"), 1);
    write_image(&dir.path().join("b, c.png"), 2);
    fs::write(dir.path().join("labels.csv"), "file,label\r\nb, c.png,7\r\n\r\na.png, 5\r\n")
        .unwrap();
    let dataset = open(dir.path()).unwrap();
    assert!(dataset.has_labels());
    let labels: Vec<_> = samples(&dataset, TINY).into_iter().map(|s| s.label).collect();
    assert_eq!(labels, [Some(5), Some(7)]);
}

#[test]
fn bad_label_files_are_refused_with_file_and_line() {
    let dir = folder();
    write_image(&dir.path().join("a.png"), 1);
    let cases = [
        ("a.png,3\n", ":1: the header is \"a.png,3\""),
        ("file,label\na.png\n", ":2: \"a.png\" is not of the form"),
        ("file,label\na.png,cat\n", ":2: label \"cat\" is not a class number"),
        ("file,label\na.png,-1\n", ":2: label \"-1\""),
        ("file,label\n\na.png,1\nb.png,1\n", ":4: there is no image b.png"),
        ("file,label\na.png,1\na.png,1\n", ":3: a.png was already listed in line 2"),
        ("file,label\n", "no label for a.png"),
        ("", ":1: the header is \"\""),
    ];
    for (text, expected) in cases {
        fs::write(dir.path().join("labels.csv"), text).unwrap();
        let message = open_error(dir.path(), &OpenOptions::default());
        assert!(message.contains("labels.csv"), "{message}");
        assert!(message.contains(expected), "{message} / {expected}");
    }
}

#[test]
fn labels_must_be_classes_of_the_network() {
    let dir = folder();
    write_image(&dir.path().join("a.png"), 1);
    fs::write(dir.path().join("labels.csv"), "file,label\na.png,10\n").unwrap();
    let options = OpenOptions { classes: Some(10), ..OpenOptions::default() };
    let message = open_error(dir.path(), &options);
    assert!(message.contains("a.png: label 10 is out of range"), "{message}");
    assert!(message.contains("(0 to 9)"), "{message}");
}

#[test]
fn class_folders_are_numbered_by_name_and_taken_in_turn() {
    let dir = folder();
    for (class, name, red) in [("dog", "1.png", 1), ("cat", "2.png", 2), ("cat", "3.png", 3)] {
        fs::create_dir_all(dir.path().join(class)).unwrap();
        write_image(&dir.path().join(class).join(name), red);
    }
    let dataset = open(dir.path()).unwrap();
    let expected = [("2.png", 2, 0), ("1.png", 1, 1), ("3.png", 3, 0)];
    assert_eq!(summary(&dataset), expected.map(|(n, red, c)| (n.to_owned(), red, Some(c))));
}

#[test]
fn folders_without_images_are_refused() {
    let dir = folder();
    assert!(matches!(open(dir.path()), Err(DataError::NoImages { .. })));
    fs::create_dir(dir.path().join("empty-class")).unwrap();
    let message = open_error(dir.path(), &OpenOptions::default());
    assert!(message.contains("empty-class: no images"), "{message}");
    write_image(&dir.path().join("a.png"), 1);
    assert!(matches!(open(dir.path()), Err(DataError::MixedFolder { .. })));
    let missing = dir.path().join("missing");
    assert!(matches!(open(&missing), Err(DataError::Missing { .. })));
    fs::write(dir.path().join("a.txt"), "text").unwrap();
    let text = open(&dir.path().join("a.txt"));
    assert!(matches!(text, Err(DataError::UnknownKind { .. })));
}

#[test]
fn skip_and_limit_cut_the_order() {
    let dir = folder();
    let batch = dir.path().join("test.bin");
    write_batch(&batch, &[0, 1, 2, 3, 4]);
    let range = |skip, limit| OpenOptions { skip, limit, classes: None };
    let dataset = Dataset::open(&batch, &range(1, Some(3))).unwrap();
    let labels: Vec<_> = samples(&dataset, CIFAR).into_iter().map(|s| s.label).collect();
    assert_eq!(labels, [Some(1), Some(2), Some(3)]);
    let message = open_error(&batch, &range(5, None));
    assert!(message.contains("nothing left after --skip 5; it holds 5 images"), "{message}");
    assert!(open_error(&batch, &range(0, Some(0))).contains("--limit 0"));
}

#[test]
fn cifar_records_become_rgb_pixels() {
    let dir = folder();
    write_batch(&dir.path().join("data_batch_2.bin"), &[7]);
    write_batch(&dir.path().join("data_batch_1.bin"), &[3, 9]);
    fs::write(dir.path().join("batches.meta.txt"), "airplane\n").unwrap();
    let dataset = open(dir.path()).unwrap();
    assert!(dataset.has_labels());
    let samples = samples(&dataset, CIFAR);
    let names: Vec<_> = samples.iter().map(|s| (s.name.as_str(), s.label)).collect();
    let expected = [
        ("data_batch_1.bin:0", Some(3)),
        ("data_batch_1.bin:1", Some(9)),
        ("data_batch_2.bin:0", Some(7)),
    ];
    assert_eq!(names, expected);
    assert_eq!(pixels(&samples[0]).pixel(5, 20), [5, 105, 205]);
}

#[test]
fn damaged_batches_are_refused() {
    let dir = folder();
    let batch = dir.path().join("test.bin");
    fs::write(&batch, vec![0; 3072]).unwrap();
    assert!(matches!(open(&batch), Err(DataError::CifarSize { bytes: 3072, .. })));
    fs::write(&batch, []).unwrap();
    assert!(matches!(open(&batch), Err(DataError::CifarSize { bytes: 0, .. })));
    write_batch(&batch, &[10]);
    let error = open(&batch).unwrap().sample(0, &images(CIFAR));
    assert!(matches!(error, Err(DataError::CifarLabel { label: 10, .. })));
}

#[test]
fn one_record_is_named_by_its_index() {
    let dir = folder();
    let batch = dir.path().join("test.bin");
    write_batch(&batch, &[4, 6]);
    let record = |index: &str| Source::parse(&format!("{}:{index}", batch.display()));
    let sample = record("1").unwrap().load(&images(CIFAR)).unwrap();
    assert_eq!((sample.name.as_str(), sample.label), ("test.bin:1", Some(6)));
    let path = format!("{}:1", batch.display());
    assert_eq!(open(Path::new(&path)).unwrap().len(), 1);
    let outside = record("2");
    assert!(matches!(outside, Err(DataError::NoSuchRecord { records: 2, .. })));
    assert!(matches!(record("x"), Err(DataError::Missing { .. })));
    let whole = Source::parse(&batch.display().to_string());
    assert!(matches!(whole, Err(DataError::RecordNeeded { records: 2, .. })));
}

#[test]
fn truncated_images_are_refused_by_name() {
    let dir = folder();
    let noise = Pixels::from_fn(10, 9, |x, y| [((x * 37) ^ (y * 91)) as u8, x as u8, y as u8]);
    for (name, bytes) in [("a.png", &to_png(&noise).unwrap()[..]), ("a.jpg", RGB_JPEG)] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let input = InputShape { height: 9, width: 10, channels: 3 };
        let dataset = open(&path).unwrap();
        dataset.sample(0, &images(input)).unwrap();
        for length in [0, 1, 20, bytes.len() / 2, bytes.len() - 40] {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = dataset.sample(0, &images(input)).unwrap_err();
            let message = error.to_string();
            assert!(matches!(error, DataError::Decode { .. }), "{length}: {message}");
            assert!(message.contains(name) && !message.contains('\n'), "{message}");
        }
    }
}

fn write_png(path: &Path, color: ColorType, depth: BitDepth, samples: &[u8]) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 2, 2);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(samples).unwrap();
}

#[test]
fn grey_alpha_and_16_bit_images_become_rgb() {
    let dir = folder();
    let grey = dir.path().join("grey.png");
    write_png(&grey, ColorType::Grayscale, BitDepth::Eight, &[9; 4]);
    let alpha = dir.path().join("alpha.png");
    write_png(&alpha, ColorType::Rgba, BitDepth::Eight, &[1, 2, 3, 0].repeat(4));
    let deep = dir.path().join("deep.png");
    // 257 v is v; what lies half-way goes up.
    let pixel = [257 * 4 + 128u16, 257 * 5 + 129, 65535].map(u16::to_be_bytes).concat();
    write_png(&deep, ColorType::Rgb, BitDepth::Sixteen, &pixel.repeat(4));
    let found: Vec<_> =
        samples(&open(dir.path()).unwrap(), TINY).iter().map(|s| pixels(s).pixel(1, 1)).collect();
    assert_eq!(found, [[1, 2, 3], [4, 6, 255], [9, 9, 9]]);
}

/// Each form of both formats; what was right once stays so with every version of the decoders.
#[test]
fn pixels_are_what_they_were() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/image");
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    for (name, [width, height], expected) in [
        ("cmyk.jpg", [10, 9], 0xefe2_da39),
        ("grey.jpg", [10, 9], 0x9324_e7da),
        ("rgb.jpg", [10, 9], 0x8d01_f036),
        ("grey16.png", [8, 8], 0x9270_e751),
        ("palette.png", [12, 8], 0xa823_7a5c),
        ("rgb.png", [9, 10], 0xcc3f_e648),
        ("rgba.png", [8, 9], 0xbd72_e4dd),
    ] {
        let dataset = open(&corpus.join(name)).unwrap();
        let [sample] = &samples(&dataset, InputShape { height, width, channels: 3 })[..] else {
            panic!("{name}")
        };
        assert_eq!(crc.checksum(&pixels(sample).data), expected, "{name}");
    }
}

#[test]
fn images_of_another_size_are_refused_with_the_flag_to_use() {
    let dir = folder();
    write_image(&dir.path().join("a.png"), 1);
    let dataset = open(dir.path()).unwrap();
    let message = dataset.sample(0, &images(CIFAR)).unwrap_err().to_string();
    assert!(message.contains("a.png: 2x2 pixels"), "{message}");
    assert!(message.contains("--resize 32 --crop 32"), "{message}");
}

fn class_folders(names: &[&str]) -> TempDir {
    let dir = folder();
    for (red, name) in names.iter().enumerate() {
        fs::create_dir(dir.path().join(name)).unwrap();
        write_image(&dir.path().join(name).join("a.png"), red as u8);
    }
    dir
}

fn labels(dataset: &Dataset) -> Vec<(u8, usize)> {
    let samples = samples(dataset, TINY);
    samples.into_iter().map(|s| (pixels(&s).data[0], s.label.unwrap())).collect()
}

#[test]
fn folders_named_by_numbers_are_those_classes() {
    let dir = class_folders(&["9", "10", "2", "0999", "0"]);
    let classes = OpenOptions { classes: Some(1000), ..OpenOptions::default() };
    let dataset = Dataset::open(dir.path(), &classes).unwrap();
    let mut labels = labels(&dataset);
    labels.sort_unstable();
    assert_eq!(labels, [(0, 9), (1, 10), (2, 2), (3, 999), (4, 0)]);
    let [note] = dataset.notes() else { panic!("{:?}", dataset.notes()) };
    assert!(note.contains("5 class folders for 1000 classes"), "{note}");
    let few = OpenOptions { classes: Some(10), ..OpenOptions::default() };
    assert!(open_error(dir.path(), &few).contains("out of range"));
}

#[test]
fn folders_that_are_the_same_class_are_refused() {
    let dir = class_folders(&["1", "01", "2"]);
    let message = open_error(dir.path(), &OpenOptions::default());
    assert!(message.contains("is class 1, as ") && message.contains("01"), "{message}");
}

#[test]
fn one_name_that_is_no_number_makes_all_of_them_names() {
    let dir = class_folders(&["10", "9", "n01"]);
    let three = OpenOptions { classes: Some(3), ..OpenOptions::default() };
    let dataset = Dataset::open(dir.path(), &three).unwrap();
    assert_eq!(labels(&dataset), [(0, 0), (1, 1), (2, 2)]);
    assert!(dataset.notes().is_empty(), "{:?}", dataset.notes());
    let ten = OpenOptions { classes: Some(10), ..OpenOptions::default() };
    let note = &Dataset::open(dir.path(), &ten).unwrap().notes()[0].clone();
    assert!(note.contains("3 class folders for 10 classes") && note.contains("0 to 2"), "{note}");
}

#[test]
fn files_that_are_no_images_are_counted() {
    let dir = folder();
    write_image(&dir.path().join("a.png"), 1);
    for name in ["b.webp", "c.JPG2", "d", "e.bin", "notes.txt", ".hidden"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let dataset = open(dir.path()).unwrap();
    let [note] = dataset.notes() else { panic!("{:?}", dataset.notes()) };
    assert!(note.contains(": 4 files are passed over, as no .png or .jpeg image: e.bin"), "{note}");
    let classes = class_folders(&["cat", "dog"]);
    fs::write(classes.path().join("dog/x.webp"), "x").unwrap();
    let dataset = open(classes.path()).unwrap();
    assert!(dataset.notes()[0].contains("1 file is passed over"), "{:?}", dataset.notes());
    fs::remove_file(dir.path().join("a.png")).unwrap();
    fs::remove_file(dir.path().join("e.bin")).unwrap();
    assert!(open_error(dir.path(), &OpenOptions::default()).contains("3 files are something else"));
}

#[test]
fn labels_may_be_quoted_as_csv_has_it() {
    let dir = folder();
    let names = ["a.png", "b, c.png", "it's \"x\".png", "d.png"];
    for (red, name) in names.iter().enumerate() {
        write_image(&dir.path().join(name), red as u8);
    }
    let text = "\u{feff}\"file\",\"label\"\r\n\"a.png\",5\n\"b, c.png\",\"7\"\n\n\
                \"it's \"\"x\"\".png\", 6\nd.png,8";
    fs::write(dir.path().join("labels.csv"), text).unwrap();
    let mut labels = labels(&open(dir.path()).unwrap());
    labels.sort_unstable();
    assert_eq!(labels, [(0, 5), (1, 7), (2, 6), (3, 8)]);
    fs::write(dir.path().join("labels.csv"), format!("file,label\n\"{}", "a,".repeat(1 << 20)))
        .unwrap();
    let message = open_error(dir.path(), &OpenOptions::default());
    assert!(message.contains(":2: the record has no end"), "{message}");
    fs::write(dir.path().join("labels.csv"), b"file,label\n\xff.png,1\n").unwrap();
    assert!(open_error(dir.path(), &OpenOptions::default()).contains("no text"));
}
