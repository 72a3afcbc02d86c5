//! What `inspect` prints of a model file: its input, its steps, its arena and its bytes.

use std::fmt::Write;

use fixnet::format::{Activation, Operator, Output, OutputKind, Step, WeightLayout};
use fixnet::{KernelFamily, KernelSet, Model};
use serde_json::{Value, json};

use super::arena_map::ArenaMap;
use super::float_parts::{float_parts_json, float_parts_text};
use super::table::{bytes, count, left, names, right, shape, table};
use crate::data::{ChannelOrder, Recipe, recipe_of};
use crate::output;

/// The keys of `inspect`: memory, work, layers and tensors.
#[must_use]
pub fn plan_json(model: &Model<'_>, kernels: KernelFamily) -> Value {
    let required = model.required_by_family(kernels, 1);
    let (input, output) = (model.input(), model.output());
    let layers: Vec<Value> = model.steps().map(|step| layer_json(model, kernels, &step)).collect();
    let memory = families(model, kernels).into_iter().map(|set| {
        let required = model.required_by_family(set, 1);
        json!({
            "kernels": set.name(),
            "scratch_bytes": required.scratch,
            "arena_bytes": required.arena(),
        })
    });
    json!({
        "name": model.name(),
        "format_version": version_text(model),
        "target": model.target().name(),
        "kernels": kernels.name(),
        "input": {
            "tensor": input.tensor,
            "shape": input.shape(),
            "scale": input.scale,
            "zero_point": input.zero_point,
        },
        "output": { "tensor": output.tensor, "shape": output.shape(), "scale": output.scale },
        "outputs": outputs_json(model),
        "labels": model.labels().map(|labels| labels.collect::<Vec<_>>()),
        "preprocessing": recipe_of(model).map(|recipe| recipe_json(&recipe, model)),
        "arena_bytes": required.arena(),
        "activation_bytes": required.activations,
        "scratch_bytes": required.scratch,
        "weight_bytes": model.weight_bytes(),
        "file_bytes": model.file_bytes(),
        "macs": model.macs(),
        "memory": memory.collect::<Vec<_>>(),
        "layers": layers,
        "tensors": ArenaMap::new(model).json(),
        "image": model.image_shape(),
        "classes": model.classes(),
        "float_parts": float_parts_json(model),
    })
}

fn outputs_json(model: &Model<'_>) -> Vec<Value> {
    let outputs = model.outputs().map(|output| {
        json!({
            "name": output.name,
            "kind": output.kind.name(),
            "tensor": output.activation.tensor,
            "shape": match output.kind {
                OutputKind::Map => output.activation.shape().to_vec(),
                _ => vec![output.count],
            },
            "scale": output.activation.scale,
            "zero_point": output.activation.zero_point,
        })
    });
    outputs.collect()
}

fn layer_json(model: &Model<'_>, kernels: KernelFamily, step: &Step<'_>) -> Value {
    json!({
        "name": step.layer.name,
        "operator": operator_text(&step.operator),
        "kernel": kernels.kernel_name(&step.operator),
        "macs": step.layer.macs,
        "shape": step.layer.shape,
        "input": step.input.tensor,
        "operand": step.operand.map(|o| o.tensor),
        "others": step.others,
        "output": step.output.tensor,
        "in_place": step.in_place,
        "layout": layout_name(&step.operator),
        "weight_bytes": model.weight_bytes_of(step.index),
        "scratch_bytes": kernels.scratch_bytes(&step.operator),
    })
}

fn recipe_json(recipe: &Recipe, model: &Model<'_>) -> Value {
    let (mean, std) = per_channel(recipe, model.image_shape()[2]);
    json!({
        "scale": recipe.scale,
        "mean": mean,
        "std": std,
        "resize": recipe.resize,
        "crop": recipe.crop,
        "channel_order": recipe.channel_order,
        "mean_image": recipe.mean_image.is_some(),
    })
}

/// The plan as a page of text.
#[must_use]
pub fn plan_text(model: &Model<'_>, kernels: KernelFamily) -> String {
    let header = header_text(model);
    if model.step_count() == 0 {
        return format!("{header}\nfile    {:>11} B\n", model.file_bytes());
    }
    let steps = step_table(model, kernels);
    let map = ArenaMap::new(model).text();
    format!("{header}\n{steps}\n{map}\n{}", memory_table(model, kernels))
}

fn header_text(model: &Model<'_>) -> String {
    let input = model.input();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}, format {}, target {}",
        output::name(model.name()),
        version_text(model),
        model.target().name(),
    );
    let classes = match model.classes() {
        0 => String::new(),
        classes => format!(", {classes} classes"),
    };
    let _ = writeln!(text, "image   {}{classes}", shape(&model.image_shape()));
    let _ = writeln!(text, "{}", input_text(model));
    text.push_str(&float_parts_text(model));
    if model.step_count() == 0 {
        return text;
    }
    let _ = writeln!(
        text,
        "input   {} int8, real value = (q - {}) * {}",
        shape(&input.shape()),
        input.zero_point,
        input.scale,
    );
    for output in model.outputs() {
        let _ = writeln!(text, "{}", output_text(model, &output));
    }
    text
}

/// `output  10 i32 logits, real value = q * 0.01`; of several outputs and other kinds with name and kind.
fn output_text(model: &Model<'_>, output: &Output<'_>) -> String {
    let Activation { scale, zero_point, wide, .. } = output.activation;
    let real = match wide {
        true => format!("real value = q * {scale}"),
        false => format!("real value = (q - {zero_point}) * {scale}"),
    };
    let what = match (wide, model.tells_outputs()) {
        (true, false) => format!("{} i32 logits", output.activation.elements()),
        (true, true) => format!("{} i32", output.activation.elements()),
        (false, _) => format!("{} int8", shape(&output.activation.shape())),
    };
    let told = format!("{}, {}: ", output::name(output.name), output.kind.name());
    let told = if model.tells_outputs() { told } else { String::new() };
    format!("output  {told}{what}, {real}")
}

fn version_text(model: &Model<'_>) -> String {
    let (major, minor) = model.version();
    format!("{major}.{minor}")
}

/// Mean and deviation of each channel of an image.
fn per_channel(recipe: &Recipe, channels: usize) -> (Vec<f32>, Vec<f32>) {
    let of = |colours: &[f32; 3], alpha: f32| {
        colours.iter().copied().chain([alpha]).take(channels).collect()
    };
    (of(&recipe.mean, recipe.alpha_mean), of(&recipe.std, recipe.alpha_std))
}

/// What becomes of images, or that none are taken.
pub(super) fn input_text(model: &Model<'_>) -> String {
    let [height, width, channels] = model.image_shape();
    match recipe_of(model) {
        Some(recipe) => format!("images  {}", recipe_text(&recipe, model)),
        None => format!("images  none, but tensors [{height}, {width}, {channels}], HWC"),
    }
}

/// `resize 256, crop 224, RGB, (x / 255 - [..]) / [..]`.
fn recipe_text(recipe: &Recipe, model: &Model<'_>) -> String {
    let channels = model.image_shape()[2];
    let (mean, std) = per_channel(recipe, channels);
    let mut text = String::new();
    if let Some(side) = recipe.resize {
        let _ = write!(text, "resize {side}, ");
    }
    if let Some(side) = recipe.crop {
        let _ = write!(text, "crop {side}, ");
    }
    text.push_str(match (channels, recipe.channel_order) {
        (1, _) => "grey",
        (3, ChannelOrder::Rgb) => "RGB",
        (3, ChannelOrder::Bgr) => "BGR",
        (_, ChannelOrder::Rgb) => "RGBA",
        (_, ChannelOrder::Bgr) => "BGRA",
    });
    let x = if recipe.mean_image.is_some() { "(x - mean image)" } else { "x" };
    let unit = recipe.scale == Recipe::default().scale;
    let scaled = if unit { format!("{x} / 255") } else { format!("{x} * {}", recipe.scale) };
    let _ = write!(text, ", ({scaled} - {:?}) / {:?}", mean, std);
    text
}

fn step_table(model: &Model<'_>, kernels: KernelFamily) -> String {
    let mut rows = table(&[
        right("step"),
        names("layer"),
        left("operator").rank(4),
        left("reads").rank(5),
        left("shape"),
        names("kernel"),
        right("MACs").rank(2),
        names("layout").rank(6),
        right("weights").rank(1),
        right("scratch").rank(3),
    ]);
    let map = ArenaMap::new(model);
    for step in model.steps() {
        rows.add_row(vec![
            step.index.to_string(),
            step.layer.name.to_string(),
            operator_text(&step.operator),
            reads_text(&map, &step),
            shape(&step.layer.shape),
            kernels.kernel_name(&step.operator).to_string(),
            count(step.layer.macs),
            layout_name(&step.operator).unwrap_or("-").to_string(),
            bytes(model.weight_bytes_of(step.index)),
            bytes(kernels.scratch_bytes(&step.operator)),
        ]);
    }
    format!("{rows}\n")
}

/// The steps whose results `step` reads: `7 + 5 in place`.
fn reads_text(map: &ArenaMap<'_>, step: &Step<'_>) -> String {
    let writer = |tensor: u16| {
        let before = map.occupants.iter().rev().filter(|o| o.tensor.tensor == tensor);
        let mut writers = before.map(|o| o.written_by).filter(|w| w.is_none_or(|w| w < step.index));
        writers.next().flatten().map_or("input".to_string(), |w| w.to_string())
    };
    let mut text = writer(step.input.tensor);
    if let Some(operand) = step.operand {
        let _ = write!(text, " + {}", writer(operand.tensor));
    }
    for &other in step.others {
        let _ = write!(text, " + {}", writer(other));
    }
    if step.in_place {
        text.push_str(" in place");
    }
    text
}

/// `conv 3x3 /2`.
fn operator_text(operator: &Operator<'_>) -> String {
    let window = |name: &str, [height, width]: [usize; 2], strides: [usize; 2]| {
        format!("{name} {height}x{width}{}", strides_text(strides))
    };
    match operator {
        Operator::Conv { shape, .. } => {
            let mut text = window("conv", shape.kernel, shape.strides);
            if shape.groups > 1 {
                let _ = write!(text, " groups {}", shape.groups);
            }
            text
        }
        Operator::MaxPool { shape, .. } => window("max-pool", shape.kernel, shape.strides),
        Operator::AveragePool { shape, .. }
        | Operator::AveragePoolExcludingPadding { shape, .. } => {
            window("average-pool", shape.kernel, shape.strides)
        }
        Operator::Add(_) => "add".to_string(),
        Operator::Subsample { strides, .. } => format!("subsample{}", strides_text(*strides)),
        Operator::Logits { .. } => "classifier".to_string(),
        Operator::Lookup { tables, .. } if tables.len() > 1 => "table a channel".to_string(),
        Operator::Lookup { .. } => "table".to_string(),
        Operator::Multiply(_) => "multiply".to_string(),
        Operator::Concat { .. } => "concat".to_string(),
        _ => "unknown".to_string(),
    }
}

/// ` /2`, or nothing for a stride of 1.
fn strides_text([height, width]: [usize; 2]) -> String {
    match (height, width) {
        (1, 1) => String::new(),
        _ if height == width => format!(" /{height}"),
        _ => format!(" /{height}x{width}"),
    }
}

/// How the weights of a step lie in the file.
fn layout_name(operator: &Operator<'_>) -> Option<&'static str> {
    match operator {
        Operator::Conv { weights, .. } => Some(weights.form.layout.name()),
        Operator::Logits { .. } => Some(WeightLayout::Ohwi.name()),
        _ => None,
    }
}

/// The kernels of this machine that run the file, and those that are asked for.
fn families(model: &Model<'_>, asked: KernelFamily) -> Vec<KernelFamily> {
    let mut families: Vec<KernelFamily> = KernelSet::available()
        .map(KernelSet::family)
        .filter(|family| family.runs(model.target()))
        .collect();
    if !families.contains(&asked) {
        families.push(asked);
    }
    families
}

/// The arena of every kernel set that may run the file, and the bytes of the file.
fn memory_table(model: &Model<'_>, kernels: KernelFamily) -> String {
    let mut rows =
        table(&[left("kernels"), right("activations"), right("scratch"), right("arena, bytes")]);
    for set in families(model, kernels) {
        let required = model.required_by_family(set, 1);
        rows.add_row(vec![
            set.name().to_string(),
            bytes(required.activations),
            bytes(required.scratch),
            bytes(required.arena()),
        ]);
    }
    format!(
        "{rows}\n\nweights {:>11} B\nfile    {:>11} B\nwork    {:>11} MACs\n",
        model.weight_bytes(),
        model.file_bytes(),
        model.macs(),
    )
}
