//! A small residual network with every kind of step, as a specification and as a file.

use fixnet::AlignedBytes;
use fixnet::format::{
    self, AlphaRecord, Header, ModelSpec, NONE, OutputSpec, PreprocessRecord, PreprocessSpec,
    StepKind, StepRecord, StepSpec, TensorRecord, WeightLayout, flags,
};

use super::Random;

/// Bytes of activations of [`small`]: not a multiple of the alignment.
pub const SMALL_ARENA: u32 = 844;
/// Steps of [`small`] in order.
pub const SMALL_LAYERS: [&str; 9] =
    ["stem", "pool", "conv1", "conv2+shortcut", "shortcut", "conv3", "add", "average", "fc"];

pub fn tensor(offset: u32, [height, width, channels]: [u32; 3]) -> TensorRecord {
    TensorRecord {
        offset,
        channels,
        height: height as u16,
        width: width as u16,
        scale: 0.05,
        zero_point: -7,
        element: 0,
        rows: 0,
    }
}

pub fn logits(offset: u32, classes: u32) -> TensorRecord {
    TensorRecord { zero_point: 0, element: 1, ..tensor(offset, [1, 1, classes]) }
}

/// A step from tensor `input` to tensor `output` with nothing set that not every kind needs.
pub fn record(kind: StepKind, input: u16, output: u16) -> StepRecord {
    StepRecord {
        kind: kind as u8,
        flags: 0,
        clamp_min: -128,
        clamp_max: 127,
        input,
        operand: NONE,
        output,
        layer: 0,
        layer_count: 0,
        kernel: [1, 1],
        strides: [1, 1],
        pads: [0; 4],
        dilations: [1, 1],
        fraction_bits: 14,
        groups: 1,
        channels_before: 0,
        shift: 8,
        offset: (-7 << 14) + (1 << 13),
        operand_multiplier: 0,
        input_multiplier: 0,
        weights_offset: 0,
        weights_bytes: 0,
        channels_offset: 0,
        channels_bytes: 0,
        weights_crc32: 0,
        weight_layout: WeightLayout::Ohwi as u16,
        reserved_b: 0,
    }
}

/// A 3x3 window with a border of one.
pub fn window(record: StepRecord, stride: u16) -> StepRecord {
    StepRecord { kernel: [3, 3], strides: [stride; 2], pads: [1; 4], ..record }
}

/// A step with `weights` random weights and `channels` random constants.
pub fn step(
    record: StepRecord,
    macs: u64,
    weights: usize,
    channels: usize,
    random: &mut Random,
) -> StepSpec {
    StepSpec {
        record,
        layer_name: String::new(),
        macs,
        weights: random.int8(weights),
        bias: (0..channels).map(|_| random.i32() >> 16).collect(),
        multipliers: (0..channels).map(|_| (1 << 28) + ((random.i32() >> 5) & !1)).collect(),
        others: Vec::new(),
    }
}

/// `q = x - 128`, each channel a little differently.
pub fn preprocess() -> PreprocessRecord {
    let table = |shift: i32| std::array::from_fn(|x| (x as i32 - shift).clamp(-128, 127) as i8);
    PreprocessRecord {
        resize: 9,
        crop: 8,
        bgr: 0,
        reserved: [0; 3],
        scale: 1.0 / 255.0,
        mean: [0.5, 0.4, 0.3],
        std: [0.2, 0.3, 0.4],
        mean_image_offset: 0,
        pixel_offsets: 0,
        gains: [0; 3],
        tables: [table(126), table(128), table(130)],
    }
}

/// 8x8x3 to 10 classes: convolution, max pool, a residual block in place, an option-A shortcut, a
/// grouped convolution, an addition, an average pool and logits.
pub fn small() -> ModelSpec {
    let random = &mut Random::new(7);
    let conv = |input, output| window(record(StepKind::Conv, input, output), 1);
    let residual = StepRecord {
        operand: 2,
        flags: flags::IN_PLACE,
        operand_multiplier: 20_000,
        offset: (-7 << 14) + (1 << 13) + 7 * 20_000,
        clamp_min: -7,
        ..conv(3, 4)
    };
    let subsample =
        StepRecord { strides: [2, 2], channels_before: 2, ..record(StepKind::Subsample, 4, 5) };
    let grouped = StepRecord { groups: 4, ..window(record(StepKind::Conv, 4, 6), 2) };
    let addition = StepRecord {
        operand: 6,
        input_multiplier: 150_000,
        operand_multiplier: 170_000,
        offset: (-7 << 18) + (1 << 17) + 7 * 320_000,
        ..record(StepKind::Add, 5, 7)
    };
    // A quarter of the sum of four: 2^28 * 2^(16 - 32 - 14).
    let average = StepRecord { kernel: [2, 2], shift: 16, ..record(StepKind::AveragePool, 7, 8) };
    let mut steps = vec![
        step(conv(0, 1), 8 * 8 * 8 * 27, 8 * 27, 8, random),
        step(window(record(StepKind::MaxPool, 1, 2), 2), 0, 0, 0, random),
        step(conv(2, 3), 4 * 4 * 8 * 72, 8 * 72, 8, random),
        step(residual, 4 * 4 * 8 * 72, 8 * 72, 8, random),
        step(subsample, 0, 0, 0, random),
        step(grouped, 2 * 2 * 12 * 18, 12 * 18, 12, random),
        step(addition, 0, 0, 0, random),
        step(average, 0, 0, 1, random),
        step(record(StepKind::Logits, 8, 9), 120, 120, 10, random),
    ];
    steps[7].bias = vec![0];
    steps[7].multipliers = vec![1 << 28];
    for (step, name) in steps.iter_mut().zip(SMALL_LAYERS) {
        step.layer_name = name.to_owned();
    }
    ModelSpec {
        name: "small".to_owned(),
        tensors: vec![
            tensor(0, [8, 8, 3]),
            tensor(192, [8, 8, 8]),
            tensor(704, [4, 4, 8]),
            tensor(0, [4, 4, 8]),
            tensor(704, [4, 4, 8]),
            tensor(128, [2, 2, 12]),
            tensor(176, [2, 2, 12]),
            tensor(224, [2, 2, 12]),
            tensor(832, [1, 1, 12]),
            logits(304, 10),
        ],
        steps,
        input_tensor: 0,
        output_tensor: 9,
        outputs: Vec::new(),
        labels: Vec::new(),
        target: fixnet::format::Target::Portable,
        arena_bytes: SMALL_ARENA,
        preprocess: Some(PreprocessSpec { record: preprocess(), alpha: None, mean_image: None }),
        float_parts: Vec::new(),
    }
}

/// 6x6x8 to 10 classes: tables, products, an addition of one value a channel, and a concatenation; no
/// preprocessing, as there are 8 channels.
pub fn gated() -> ModelSpec {
    let random = &mut Random::new(11);
    let (map, pixels) = ([6, 6, 8], 36);
    let gate = |kind, input, operand, output| StepRecord {
        operand,
        shift: 14,
        ..record(kind, input, output)
    };
    let pool = |input, output| StepRecord {
        kernel: [6, 6],
        shift: 12,
        ..record(StepKind::AveragePool, input, output)
    };
    let table = record(StepKind::Lookup, 0, 1);
    let tables =
        StepRecord { flags: flags::IN_PLACE, clamp_min: -100, ..record(StepKind::Lookup, 1, 2) };
    let in_place = StepRecord { flags: flags::IN_PLACE, ..gate(StepKind::Multiply, 4, 2, 5) };
    let addition = StepRecord {
        operand: 3,
        input_multiplier: 150_000,
        operand_multiplier: 170_000,
        offset: (-7 << 18) + (1 << 17) + 7 * 320_000,
        ..record(StepKind::Add, 4, 6)
    };
    let concat = StepRecord { shift: 8, ..record(StepKind::Concat, 5, 7) };
    let mut steps = vec![
        step(table, 0, 256, 0, random),
        step(tables, 0, 8 * 256, 0, random),
        step(pool(2, 3), 0, 0, 1, random),
        step(gate(StepKind::Multiply, 2, 3, 4), 0, 0, 1, random),
        step(in_place, 0, 0, 1, random),
        step(addition, 0, 0, 0, random),
        step(concat, 0, 24, 24, random),
        step(pool(7, 8), 0, 0, 1, random),
        step(record(StepKind::Logits, 8, 9), 240, 240, 10, random),
    ];
    steps[6].others = vec![6, 4];
    for (step, name) in steps.iter_mut().zip(GATED_LAYERS) {
        step.layer_name = name.to_owned();
    }
    ModelSpec {
        name: "gated".to_owned(),
        tensors: vec![
            tensor(0, map),
            tensor(288, map),
            tensor(288, map),
            tensor(576, [1, 1, 8]),
            tensor(592, map),
            tensor(288, map),
            tensor(0, map),
            tensor(880, [6, 6, 24]),
            tensor(0, [1, 1, 24]),
            logits(32, 10),
        ],
        steps,
        input_tensor: 0,
        output_tensor: 9,
        outputs: Vec::new(),
        labels: Vec::new(),
        arena_bytes: 880 + pixels * 24,
        preprocess: None,
        ..small()
    }
}

/// Steps of [`gated`] in order.
pub const GATED_LAYERS: [&str; 9] =
    ["table", "tables", "squeeze", "scale", "product", "shifted", "concat", "average", "fc"];

/// 48x48x32 to 16 classes: a residual block and logits, large enough for several threads.
pub fn large() -> ModelSpec {
    let random = &mut Random::new(8);
    let (macs, weights) = (48 * 48 * 32 * 288, 32 * 288);
    let conv = |input, output| window(record(StepKind::Conv, input, output), 1);
    let residual =
        StepRecord { operand: 0, flags: flags::IN_PLACE, operand_multiplier: 20_000, ..conv(1, 2) };
    let inputs = 48 * 48 * 32;
    let logits_step = record(StepKind::Logits, 2, 3);
    let mut steps = vec![
        step(conv(0, 1), macs, weights, 32, random),
        step(residual, macs, weights, 32, random),
        step(logits_step, 16 * inputs, 16 * inputs as usize, 16, random),
    ];
    for (step, name) in steps.iter_mut().zip(["conv1", "conv2", "fc"]) {
        step.layer_name = name.to_owned();
    }
    let map = [48, 48, 32];
    ModelSpec {
        name: "large".to_owned(),
        tensors: vec![
            tensor(0, map),
            tensor(inputs as u32, map),
            tensor(0, map),
            logits(inputs as u32, 16),
        ],
        steps,
        input_tensor: 0,
        output_tensor: 3,
        outputs: Vec::new(),
        labels: Vec::new(),
        arena_bytes: 2 * inputs as u32,
        preprocess: None,
        ..small()
    }
}

/// 8x8x512 to 10 classes: layers of many channels, whose blocks come out uneven, and a residual block.
pub fn wide() -> ModelSpec {
    let random = &mut Random::new(9);
    let conv = |input, output| record(StepKind::Conv, input, output);
    let residual = StepRecord {
        operand: 2,
        flags: flags::IN_PLACE,
        operand_multiplier: 20_000,
        ..window(conv(3, 4), 1)
    };
    let mut steps = vec![
        step(conv(0, 1), 64 * 1024 * 512, 1024 * 512, 1024, random),
        step(conv(1, 2), 64 * 64 * 1024, 64 * 1024, 64, random),
        step(window(conv(2, 3), 1), 64 * 64 * 576, 64 * 576, 64, random),
        step(residual, 64 * 64 * 576, 64 * 576, 64, random),
        step(record(StepKind::Logits, 4, 5), 40_960, 40_960, 10, random),
    ];
    for (step, name) in steps.iter_mut().zip(["expand", "reduce", "conv1", "conv2", "fc"]) {
        step.layer_name = name.to_owned();
    }
    ModelSpec {
        name: "wide".to_owned(),
        tensors: vec![
            tensor(0, [8, 8, 512]),
            tensor(32_768, [8, 8, 1024]),
            tensor(0, [8, 8, 64]),
            tensor(4_096, [8, 8, 64]),
            tensor(0, [8, 8, 64]),
            logits(8_192, 10),
        ],
        steps,
        input_tensor: 0,
        output_tensor: 5,
        outputs: Vec::new(),
        labels: Vec::new(),
        arena_bytes: 98_304,
        preprocess: None,
        ..small()
    }
}

/// [`small`] with an output of every kind, function and selection, and names of its ten classes.
pub fn many_outputs() -> ModelSpec {
    use fixnet::format::OutputFunction::{self, L2Norm, LogSoftmax, Sigmoid, Softmax};
    use fixnet::format::OutputKind::{self, Index, Map, Probability, Scores, Vector};
    use fixnet::format::Selection::{self, All, Largest, Positions};
    let output = |name: &str, tensor, kind: OutputKind| OutputSpec {
        name: name.to_owned(),
        tensor,
        kind,
        function: OutputFunction::None,
        selection: All,
        count: 0,
    };
    let selected = |name, selection: Selection, kind| OutputSpec {
        selection,
        count: 3,
        ..output(name, 9, kind)
    };
    ModelSpec {
        name: "outputs".to_owned(),
        outputs: vec![
            output("scores", 9, Scores),
            selected("best", Positions, Index),
            selected("largest", Largest, Vector),
            OutputSpec { function: L2Norm, ..output("features", 8, Vector) },
            OutputSpec { function: Sigmoid, ..output("gates", 8, Probability) },
            output("map", 7, Map),
            OutputSpec { function: Softmax, ..selected("chances", Largest, Vector) },
            OutputSpec { function: LogSoftmax, ..output("logarithms", 9, Scores) },
        ],
        labels: (0..10).map(|class| format!("class {class}")).collect(),
        ..small()
    }
}

/// So many steps, to and fro between two places.
pub fn long(steps: usize) -> ModelSpec {
    let random = &mut Random::new(1);
    let map = [1, 1, 16];
    let last = steps - 1;
    let pool = |n: usize| record(StepKind::MaxPool, (n % 2) as u16, ((n + 1) % 2) as u16);
    let logits_step = record(StepKind::Logits, (last % 2) as u16, 2);
    let mut steps: Vec<StepSpec> = (0..last).map(|n| step(pool(n), 0, 0, 0, random)).collect();
    steps.push(step(logits_step, 0, 160, 10, random));
    ModelSpec {
        tensors: vec![tensor(0, map), tensor(16, map), logits(32, 10)],
        steps,
        arena_bytes: 72,
        preprocess: None,
        output_tensor: 2,
        outputs: Vec::new(),
        labels: Vec::new(),
        ..small()
    }
}

/// [`small`] with a per-pixel mean.
pub fn small_with_mean_image() -> ModelSpec {
    let mean: Vec<f32> = (0..192).map(|i| 100.0 + i as f32 / 4.0).collect();
    let offsets = mean.iter().map(|mean| (-mean * 65536.0) as i32 + (1 << 15)).collect();
    let record = PreprocessRecord { gains: [65536, 50_000, 70_000], ..preprocess() };
    let preprocess =
        Some(PreprocessSpec { record, alpha: None, mean_image: Some((mean, offsets)) });
    ModelSpec { preprocess, ..small() }
}

/// [`small`] for images of so many channels.
#[allow(dead_code, reason = "not every test takes other images")]
pub fn image_of(channels: usize, with_mean: bool) -> ModelSpec {
    let mut spec = small();
    let weights = 8 * 9 * channels;
    spec.tensors[0].channels = channels as u32;
    for (at, tensor) in spec.tensors.iter_mut().enumerate() {
        // Behind a larger input.
        tensor.offset += if at == 0 { 0 } else { SMALL_ARENA.next_multiple_of(16) };
    }
    spec.arena_bytes = 2 * SMALL_ARENA.next_multiple_of(16);
    spec.steps[0].weights = (0..weights).map(|i| (i * 29 % 255) as u8 as i8).collect();
    spec.steps[0].macs = 0;
    let preprocess = spec.preprocess.as_mut().expect("preprocessing");
    preprocess.record.gains = [65536, 50_000, 70_000];
    preprocess.alpha = (channels == 4).then(|| AlphaRecord {
        mean: 0.25,
        std: 0.5,
        gain: 60_000,
        table: std::array::from_fn(|x| 127 - (x / 2) as i8),
    });
    if with_mean {
        let mean: Vec<f32> = (0..64 * channels).map(|i| 100.0 + i as f32 / 4.0).collect();
        let offsets = mean.iter().map(|mean| (-mean * 65536.0) as i32).collect();
        preprocess.mean_image = Some((mean, offsets));
    }
    spec
}

pub fn file(spec: &ModelSpec) -> AlignedBytes {
    format::write(spec).expect("a consistent specification")
}

pub fn header(bytes: &[u8]) -> Header {
    zerocopy::FromBytes::read_from_prefix(bytes).map(|(header, _)| header).unwrap()
}

/// A reproducible input.
pub fn input(len: usize) -> Vec<i8> {
    Random::new(99).int8(len)
}
