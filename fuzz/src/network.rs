//! Consistent networks of any geometry, drawn from a fuzzer's bytes.

use fixnet::format::{
    ModelSpec, NONE, OutputFunction, OutputKind, OutputSpec, Selection, StepKind, StepRecord,
    StepSpec, Target, TensorRecord, WeightForm, WeightLayout, align_up, flags,
};

use crate::choices::Choices;

/// Most multiply-accumulates of a network: enough for several threads in one of eight.
const WORK: [u64; 2] = [1 << 17, 5 << 20];
const MAX_STEPS: usize = 7;

/// A network of up to seven steps and a classifier, each tensor at a place of its own but for those
/// that are replaced.
pub fn network(choices: &mut Choices<'_>) -> ModelSpec {
    let large = choices.once_in(8);
    let mut plan = Plan {
        tensors: Vec::new(),
        steps: Vec::new(),
        intact: Vec::new(),
        arena: 0,
        budget: WORK[usize::from(large)],
    };
    let side = if large { 40 } else { 14 };
    let shape = [choices.between(1, side), choices.between(1, side), channels(choices, large)];
    let mut current = plan.tensor(choices, shape, false);
    for _ in 0..choices.between(1, MAX_STEPS) {
        current = plan.step(choices, current).unwrap_or(current);
    }
    let output = plan.logits(choices, current);
    let outputs = if choices.once_in(2) { plan.outputs(output) } else { Vec::new() };
    ModelSpec {
        name: "fuzzed".into(),
        target: Target::Portable,
        tensors: plan.tensors,
        steps: plan.steps,
        input_tensor: 0,
        output_tensor: output,
        outputs,
        labels: Vec::new(),
        arena_bytes: plan.arena as u32,
        preprocess: None,
        float_parts: Vec::new(),
    }
}

/// The network for another target, each convolution in a layout that takes its weights.
pub fn packed(spec: &ModelSpec, target: Target, choices: &mut Choices<'_>) -> Option<ModelSpec> {
    let layout = |index: usize| {
        let first = choices.below(WeightLayout::ALL.len());
        let layouts = (0..WeightLayout::ALL.len())
            .map(|n| WeightLayout::ALL[(first + n) % WeightLayout::ALL.len()]);
        let takes = |&layout: &WeightLayout| {
            spec.packed_weights(index, WeightForm { target, layout }).is_some()
        };
        layouts.into_iter().find(takes).unwrap_or(WeightLayout::Ohwi)
    };
    let layouts: Vec<_> = (0..spec.steps.len()).map(layout).collect();
    spec.pack(target, &layouts)
}

fn channels(choices: &mut Choices<'_>, large: bool) -> usize {
    match choices.below(4) {
        0 => choices.between(1, 4),
        1 => 8 * choices.between(1, if large { 16 } else { 8 }),
        2 => choices.between(1, 40),
        _ => choices.between(1, if large { 300 } else { 70 }),
    }
}

struct Plan {
    tensors: Vec<TensorRecord>,
    steps: Vec<StepSpec>,
    /// Whether a tensor still holds its value.
    intact: Vec<bool>,
    arena: usize,
    budget: u64,
}

/// A window over a map, and the map that it gives.
struct Window {
    record: StepRecord,
    output: [usize; 2],
}

impl Plan {
    /// The scores, and everything that is there when all steps have run as a map.
    fn outputs(&self, scores: u16) -> Vec<OutputSpec> {
        let output = |tensor: u16, kind| OutputSpec {
            name: format!("tensor {tensor}"),
            tensor,
            kind,
            function: OutputFunction::None,
            selection: Selection::All,
            count: 0,
        };
        let there = |&tensor: &u16| {
            let index = usize::from(tensor);
            self.intact[index] && self.tensors[index].rows == 0 && tensor != scores
        };
        let maps = (0..self.tensors.len() as u16).filter(there);
        let maps = maps.map(|tensor| output(tensor, OutputKind::Map));
        [output(scores, OutputKind::Scores)].into_iter().chain(maps).collect()
    }

    fn tensor(&mut self, choices: &mut Choices<'_>, shape: [usize; 3], wide: bool) -> u16 {
        let offset = align_up(self.arena) as u32;
        self.arena = offset as usize + elements(shape) * if wide { 4 } else { 1 };
        self.tensor_at(choices, offset, shape, wide)
    }

    fn tensor_at(
        &mut self,
        choices: &mut Choices<'_>,
        offset: u32,
        [height, width, channels]: [usize; 3],
        wide: bool,
    ) -> u16 {
        self.tensors.push(TensorRecord {
            offset,
            channels: channels as u32,
            height: height as u16,
            width: width as u16,
            scale: 0.05,
            zero_point: if wide { 0 } else { zero_point(choices) },
            element: wide.into(),
            rows: 0,
        });
        self.intact.push(true);
        (self.tensors.len() - 1) as u16
    }

    fn shape(&self, tensor: u16) -> [usize; 3] {
        let record = &self.tensors[usize::from(tensor)];
        [record.height.into(), record.width.into(), record.channels as usize]
    }

    /// The next step and the tensor that it writes; none if it would be too much work.
    fn step(&mut self, choices: &mut Choices<'_>, input: u16) -> Option<u16> {
        match choices.below(13) {
            0..5 => self.conv(choices, input),
            5 => self.pool(choices, input, StepKind::MaxPool),
            6 => self.pool(choices, input, StepKind::AveragePool),
            7 => self.add(choices, input),
            8 => self.subsample(choices, input),
            9 => self.lookup(choices, input),
            10 => self.multiply(choices, input),
            11 => self.concat(choices, input),
            _ => self.streamed(choices, input),
        }
    }

    fn conv(&mut self, choices: &mut Choices<'_>, input: u16) -> Option<u16> {
        let [height, width, channels_in] = self.shape(input);
        let mut window = window(choices, StepKind::Conv, [height, width])?;
        let groups = match choices.below(8) {
            0 => channels_in,
            1 => divisor(choices, channels_in),
            _ => 1,
        };
        let mut channels_out = groups * channels(choices, false).div_ceil(groups);
        let like = self.operand(choices, input, window.output);
        if let Some(operand) = like {
            channels_out = self.shape(operand)[2];
            if channels_out % groups != 0 {
                return None;
            }
        }
        let [rows, columns] = window.output;
        let shape = [rows, columns, channels_out];
        let patch = taps(&window.record) * (channels_in / groups);
        let macs = self.charge(elements(shape), patch)?;
        window.record.groups = groups as u32;
        constants(choices, &mut window.record);
        let output = match like {
            None => self.tensor(choices, shape, false),
            Some(operand) => {
                window.record.operand = operand;
                window.record.operand_multiplier = (choices.word() & 0x3F_FFFF) as i32;
                if choices.once_in(2) {
                    window.record.flags = flags::IN_PLACE;
                    self.replace(choices, operand)
                } else {
                    self.tensor(choices, shape, false)
                }
            }
        };
        let record = StepRecord { input, output, ..window.record };
        self.push(choices, record, macs, channels_out * patch, channels_out);
        Some(output)
    }

    /// A tensor that may be added to what a window gives.
    fn operand(&self, choices: &mut Choices<'_>, input: u16, output: [usize; 2]) -> Option<u16> {
        if choices.once_in(2) {
            return None;
        }
        let fits = |&tensor: &u16| {
            let [height, width, _] = self.shape(tensor);
            tensor != input && self.intact[usize::from(tensor)] && [height, width] == output
        };
        let all: Vec<u16> = (0..self.tensors.len() as u16).filter(fits).collect();
        (!all.is_empty()).then(|| choices.pick(&all))
    }

    /// A tensor exactly where `operand` lies.
    fn replace(&mut self, choices: &mut Choices<'_>, operand: u16) -> u16 {
        self.intact[usize::from(operand)] = false;
        let (offset, shape) = (self.tensors[usize::from(operand)].offset, self.shape(operand));
        self.tensor_at(choices, offset, shape, false)
    }

    fn pool(&mut self, choices: &mut Choices<'_>, input: u16, kind: StepKind) -> Option<u16> {
        let [height, width, channels] = self.shape(input);
        let mut window = window(choices, kind, [height, width])?;
        let shape = [window.output[0], window.output[1], channels];
        let macs = self.charge(elements(shape), taps(&window.record))?;
        constants(choices, &mut window.record);
        let output = self.tensor(choices, shape, false);
        let constants = usize::from(kind == StepKind::AveragePool);
        self.push(choices, StepRecord { input, output, ..window.record }, macs, 0, constants);
        Some(output)
    }

    /// A tensor of this shape, or one with a value for each channel.
    fn elementwise_operand(&self, choices: &mut Choices<'_>, shape: [usize; 3]) -> u16 {
        let fits = |&tensor: &u16| {
            let other = self.shape(tensor);
            self.intact[usize::from(tensor)] && (other == shape || other == [1, 1, shape[2]])
        };
        let all: Vec<u16> = (0..self.tensors.len() as u16).filter(fits).collect();
        choices.pick(&all)
    }

    /// The output of an elementwise step: another tensor, or `operand` replaced.
    fn elementwise_output(
        &mut self,
        choices: &mut Choices<'_>,
        record: &mut StepRecord,
        (input, operand): (u16, u16),
    ) -> u16 {
        let shape = self.shape(input);
        if operand != input && self.shape(operand) == shape && choices.once_in(2) {
            record.flags = flags::IN_PLACE;
            return self.replace(choices, operand);
        }
        self.tensor(choices, shape, false)
    }

    fn multiply(&mut self, choices: &mut Choices<'_>, input: u16) -> Option<u16> {
        let shape = self.shape(input);
        let operand = self.elementwise_operand(choices, shape);
        let macs = self.charge(elements(shape), 1)?;
        let mut record = record(StepKind::Multiply);
        constants(choices, &mut record);
        record.operand = operand;
        let output = self.elementwise_output(choices, &mut record, (input, operand));
        self.push(choices, StepRecord { input, output, ..record }, macs, 0, 1);
        Some(output)
    }

    /// One table, or one for each channel; over its input or elsewhere.
    fn lookup(&mut self, choices: &mut Choices<'_>, input: u16) -> Option<u16> {
        let shape = self.shape(input);
        let macs = self.charge(elements(shape), 1)?;
        let mut record = record(StepKind::Lookup);
        constants(choices, &mut record);
        let tables = if choices.once_in(2) { 1 } else { shape[2] };
        let output = if choices.once_in(2) {
            record.flags = flags::IN_PLACE;
            self.replace(choices, input)
        } else {
            self.tensor(choices, shape, false)
        };
        self.push(choices, StepRecord { input, output, ..record }, macs, tables * 256, 0);
        Some(output)
    }

    /// Up to four maps of one extent, of which some may be the same.
    fn concat(&mut self, choices: &mut Choices<'_>, input: u16) -> Option<u16> {
        let [height, width, mut channels] = self.shape(input);
        let fits = |&tensor: &u16| {
            let [h, w, _] = self.shape(tensor);
            self.intact[usize::from(tensor)] && [h, w] == [height, width]
        };
        let all: Vec<u16> = (0..self.tensors.len() as u16).filter(fits).collect();
        let others: Vec<u16> = (0..choices.below(4)).map(|_| choices.pick(&all)).collect();
        channels += others.iter().map(|&tensor| self.shape(tensor)[2]).sum::<usize>();
        let shape = [height, width, channels];
        let macs = self.charge(elements(shape), 1)?;
        let output = self.tensor(choices, shape, false);
        let mut record = record(StepKind::Concat);
        constants(choices, &mut record);
        self.push(choices, StepRecord { input, output, ..record }, macs, channels, channels);
        if let Some(step) = self.steps.last_mut() {
            step.others = others;
        }
        Some(output)
    }

    fn add(&mut self, choices: &mut Choices<'_>, input: u16) -> Option<u16> {
        let shape = self.shape(input);
        let operand = self.elementwise_operand(choices, shape);
        let macs = self.charge(elements(shape), 1)?;
        let mut record = record(StepKind::Add);
        constants(choices, &mut record);
        record.operand = operand;
        record.operand_multiplier = (choices.word() & 0x3F_FFFF) as i32;
        record.input_multiplier = (choices.word() & 0x3F_FFFF) as i32;
        let output = self.elementwise_output(choices, &mut record, (input, operand));
        self.push(choices, StepRecord { input, output, ..record }, macs, 0, 0);
        Some(output)
    }

    fn subsample(&mut self, choices: &mut Choices<'_>, input: u16) -> Option<u16> {
        let [height, width, channels_in] = self.shape(input);
        let strides = [choices.between(1, 3), choices.between(1, 3)];
        let before = choices.below(9);
        let channels_out = before + channels_in + choices.below(9);
        let shape = [height.div_ceil(strides[0]), width.div_ceil(strides[1]), channels_out];
        let macs = self.charge(elements(shape), 1)?;
        let output = self.tensor(choices, shape, false);
        let mut record = record(StepKind::Subsample);
        record.strides = strides.map(|stride| stride as u16);
        record.channels_before = before as u32;
        self.push(choices, StepRecord { input, output, ..record }, macs, 0, 0);
        Some(output)
    }

    /// A convolution and the max-pool behind it, with some rows of the map between them.
    fn streamed(&mut self, choices: &mut Choices<'_>, input: u16) -> Option<u16> {
        let map = self.conv(choices, input)?;
        let step = self.steps.len() - 1;
        let pooled = self.pool(choices, map, StepKind::MaxPool)?;
        let pool = self.steps[step + 1].record;
        let height = self.shape(map)[0];
        let kernel = usize::from(pool.kernel[0]);
        let fits = self.steps[step].record.operand == NONE
            && pool.strides[0] <= pool.kernel[0]
            && kernel < height;
        if fits {
            self.tensors[usize::from(map)].rows = choices.between(kernel, height - 1) as u16;
            self.intact[usize::from(map)] = false;
        }
        Some(pooled)
    }

    fn logits(&mut self, choices: &mut Choices<'_>, input: u16) -> u16 {
        let inputs = elements(self.shape(input));
        let classes = choices.between(1, 20);
        let output = self.tensor(choices, [1, 1, classes], true);
        let mut record = record(StepKind::Logits);
        constants(choices, &mut record);
        let record = StepRecord { input, output, ..record };
        self.push(choices, record, (inputs * classes) as u64, inputs * classes, classes);
        output
    }

    fn charge(&mut self, outputs: usize, each: usize) -> Option<u64> {
        let work = outputs as u64 * each as u64;
        self.budget = self.budget.checked_sub(work)?;
        Some(work)
    }

    fn push(
        &mut self,
        choices: &mut Choices<'_>,
        record: StepRecord,
        macs: u64,
        weights: usize,
        channels: usize,
    ) {
        let bias = choices.below(32);
        let scale = choices.below(31);
        self.steps.push(StepSpec {
            record,
            layer_name: format!("step {}", self.steps.len()),
            macs,
            weights: choices.int8(weights),
            bias: choices.words(channels).map(|word| word as i32 >> bias).collect(),
            multipliers: choices
                .words(channels)
                .map(|word| ((word & 0x7FFF_FFFE) >> scale & !1) as i32)
                .collect(),
            others: Vec::new(),
        });
    }
}

impl Choices<'_> {
    /// Words of all sizes.
    fn words(&mut self, len: usize) -> impl Iterator<Item = u32> + use<> {
        let mut random = crate::choices::Random::new(self.byte().into());
        (0..len).map(move |_| random.next())
    }
}

fn elements(shape: [usize; 3]) -> usize {
    shape.iter().product()
}

fn taps(record: &StepRecord) -> usize {
    usize::from(record.kernel[0]) * usize::from(record.kernel[1])
}

fn divisor(choices: &mut Choices<'_>, n: usize) -> usize {
    let all: Vec<usize> = (1..=n).filter(|&divisor| n % divisor == 0).collect();
    choices.pick(&all)
}

/// A window that fits the map.
fn window(choices: &mut Choices<'_>, kind: StepKind, map: [usize; 2]) -> Option<Window> {
    let mut record = record(kind);
    let square = choices.pick(&[[1, 1], [3, 3], [3, 3], [5, 5], [7, 7], [2, 2], [1, 3], [3, 1]]);
    record.kernel = match choices.once_in(4) {
        true => [choices.between(1, 4) as u16, choices.between(1, 4) as u16],
        false => square,
    };
    record.strides =
        choices.pick(&[[1, 1], [1, 1], [2, 2], [2, 2], [1, 2], [2, 1], [3, 3], [4, 1]]);
    if kind == StepKind::Conv {
        record.dilations = choices.pick(&[[1, 1], [1, 1], [1, 1], [2, 2], [1, 3]]);
    }
    let same = choices.once_in(2);
    let mut output = [0; 2];
    for axis in 0..2 {
        let span = usize::from(record.dilations[axis]) * usize::from(record.kernel[axis] - 1) + 1;
        let (before, after) = match same {
            true => ((span - 1) / 2, (span - 1) / 2),
            false => (choices.below(span), choices.below(span)),
        };
        record.pads[axis] = before as u16;
        record.pads[axis + 2] = after as u16;
        let free = (map[axis] + before + after).checked_sub(span)?;
        output[axis] = free / usize::from(record.strides[axis]) + 1;
    }
    Some(Window { record, output })
}

/// Requantization of any kind that a reader accepts.
fn constants(choices: &mut Choices<'_>, record: &mut StepRecord) {
    record.shift = choices.pick(&[8, 8, 6, 10, 0, 1, 16, 30]);
    record.fraction_bits = choices.pick(&[14, 14, 14, 15, 16, 1, 8, 13]);
    record.offset = match choices.below(4) {
        0 => choices.word() as i32,
        _ => (1 << 13) - ((i32::from(choices.byte() as i8)) << 14),
    };
    (record.clamp_min, record.clamp_max) = choices.pick(&[
        (-128, 127),
        (0, 127),
        (-128, -1),
        (-7, 100),
        (-20, 107),
        (5, 5),
        (-128, -128),
        (127, 127),
    ]);
}

fn zero_point(choices: &mut Choices<'_>) -> i8 {
    match choices.below(6) {
        0 => -128,
        1 => 0,
        2 => -7,
        3 => 127,
        _ => choices.byte() as i8,
    }
}

fn record(kind: StepKind) -> StepRecord {
    StepRecord {
        kind: kind as u8,
        flags: 0,
        clamp_min: -128,
        clamp_max: 127,
        input: 0,
        operand: NONE,
        output: 0,
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
        offset: 0,
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
