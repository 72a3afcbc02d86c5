//! Which bytes of the arena hold which tensor, step by step.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use fixnet::Model;
use fixnet::format::Activation;
use serde_json::{Value, json};

use super::table::{bytes, left, names, right, table};
use crate::output;

/// Cells of the bar that stands for the arena, and on narrow terminals.
const CELLS: usize = 56;
const FEW_CELLS: usize = 24;
/// Columns of a table with the longer bar and names of ordinary length.
const WIDE: usize = 128;

/// A tensor while it holds data.
#[derive(Debug, Clone, PartialEq)]
pub struct Occupant<'m> {
    pub tensor: Activation,
    /// Name of the layer that writes it, or `input`.
    pub name: &'m str,
    /// The step that writes it; none for the input, which is there before step 0.
    pub written_by: Option<usize>,
    /// The steps that read it, in order.
    pub read_by: Vec<usize>,
    /// The last step that runs in turns with one that reads it: the pool behind a streamed map.
    pub read_during: Option<usize>,
    /// The first step that runs in turns with the one that writes it: the convolution before a pool.
    pub written_during: Option<usize>,
    /// Whether it is written over the residual.
    pub in_place: bool,
    /// Whether the last step that reads it writes its own output there, in place.
    pub replaced: bool,
}

impl<'m> Occupant<'m> {
    fn new(name: &'m str, tensor: Activation, written_by: Option<usize>, in_place: bool) -> Self {
        Self {
            tensor,
            name,
            written_by,
            read_by: Vec::new(),
            read_during: None,
            written_during: None,
            in_place,
            replaced: false,
        }
    }

    /// The first step during which it is there.
    #[must_use]
    pub fn first(&self) -> usize {
        self.written_during.or(self.written_by).unwrap_or(0)
    }

    /// The last step that reads or writes it.
    #[must_use]
    pub fn last(&self) -> usize {
        let read = self.read_by.last().copied().max(self.read_during);
        read.or(self.written_by).unwrap_or(0)
    }

    /// What it is to `step`; `None` if its bytes are free, or the output's that replaces it.
    fn cell(&self, step: usize) -> Option<Cell> {
        let (first, last) = (self.first(), self.last());
        if !(first..=last).contains(&step) || (self.replaced && step == last) {
            return None;
        }
        Some(match self.written_by {
            Some(writer) if writer == step && self.in_place => Cell::Rewritten,
            Some(writer) if writer == step => Cell::Written,
            _ if self.written_during == Some(step) => Cell::Written,
            _ if self.read_by.contains(&step) || self.read_during == Some(step) => Cell::Read,
            _ => Cell::Kept,
        })
    }
}

/// What a piece of the arena is to a step; what comes later hides what comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Free,
    Kept,
    Read,
    Written,
    Rewritten,
}

impl Cell {
    const fn symbol(self) -> char {
        match self {
            Self::Free => '·',
            Self::Kept => '░',
            Self::Read => '▒',
            Self::Written => '█',
            Self::Rewritten => '▚',
        }
    }
}

/// All tensors of a plan in the order in which they are written, the input first.
#[derive(Debug, Clone, PartialEq)]
pub struct ArenaMap<'m> {
    pub occupants: Vec<Occupant<'m>>,
    /// Bytes of all activations.
    pub activation_bytes: usize,
    /// Names of the steps' layers.
    pub layers: Vec<&'m str>,
}

impl<'m> ArenaMap<'m> {
    /// The map of `model`'s plan.
    #[must_use]
    pub fn new(model: &Model<'m>) -> Self {
        if model.step_count() == 0 {
            return Self { occupants: Vec::new(), activation_bytes: 0, layers: Vec::new() };
        }
        let input = model.input();
        let mut occupants = vec![Occupant::new("input", input, None, false)];
        let mut newest = HashMap::from([(input.tensor, 0)]);
        for step in model.steps() {
            let operand = step.operand.map(|o| o.tensor);
            let inputs = [Some(step.input.tensor), operand].into_iter().flatten();
            let replaced = operand.unwrap_or(step.input.tensor);
            for tensor in inputs.chain(step.others.iter().copied()) {
                let Some(&at) = newest.get(&tensor) else { continue };
                occupants[at].read_by.push(step.index);
                occupants[at].replaced = step.in_place && tensor == replaced;
            }
            let read = newest.get(&step.input.tensor).and_then(|&at| occupants.get_mut(at));
            if let (Some(read), true) = (read, step.output.is_streamed()) {
                read.read_during = Some(step.index + 1);
            }
            newest.insert(step.output.tensor, occupants.len());
            let writer = Some(step.index);
            let mut written = Occupant::new(step.layer.name, step.output, writer, step.in_place);
            written.written_during = step.index.checked_sub(1).filter(|_| step.input.is_streamed());
            occupants.push(written);
        }
        let ends = occupants.iter().map(|o| o.tensor.range().end);
        let activation_bytes = ends.max().unwrap_or(0);
        let layers = model.steps().map(|s| s.layer.name).collect();
        Self { occupants, activation_bytes, layers }
    }

    /// Bytes that hold data while `step` runs.
    #[must_use]
    pub fn live_bytes(&self, step: usize) -> usize {
        let live = self.occupants.iter().filter(|o| o.cell(step).is_some());
        live.map(|o| o.tensor.bytes()).sum()
    }

    /// The first step with the most live bytes.
    #[must_use]
    pub fn peak_step(&self) -> usize {
        let steps = 0..self.layers.len();
        steps.rev().max_by_key(|&step| self.live_bytes(step)).unwrap_or(0)
    }

    /// One object a tensor.
    #[must_use]
    pub fn json(&self) -> Value {
        let tensor = |o: &Occupant<'_>| {
            json!({
                "tensor": o.tensor.tensor,
                "name": o.name,
                "shape": o.tensor.shape(),
                "scale": o.tensor.scale,
                "zero_point": o.tensor.zero_point,
                "offset": o.tensor.offset,
                "bytes": o.tensor.bytes(),
                "first": o.first(),
                "last": o.last(),
                "in_place": o.in_place,
            })
        };
        self.occupants.iter().map(tensor).collect()
    }

    /// One row a tensor: its place, its life, and the arena while it is written.
    #[must_use]
    pub fn text(&self) -> String {
        let mut rows = table(&[
            right("step"),
            names("writes"),
            right("offset").rank(2),
            right("bytes"),
            left("alive").rank(1),
            right("live bytes").rank(3),
            left("arena"),
        ]);
        let cells = match output::columns() {
            Some(columns) if columns < WIDE => FEW_CELLS,
            _ => CELLS,
        };
        for occupant in &self.occupants {
            let (step, live, bar) = match occupant.written_by {
                None => (String::new(), occupant.tensor.bytes(), self.input_bar(occupant, cells)),
                Some(step) => (step.to_string(), self.live_bytes(step), self.bar(step, cells)),
            };
            rows.add_row(vec![
                step,
                occupant.name.to_string(),
                occupant.tensor.offset.to_string(),
                bytes(occupant.tensor.bytes()),
                format!("{}..{}", occupant.first(), occupant.last()),
                bytes(live),
                bar,
            ]);
        }
        format!("{rows}\n{}", self.legend())
    }

    fn legend(&self) -> String {
        let [free, kept, read, written, rewritten] =
            [Cell::Free, Cell::Kept, Cell::Read, Cell::Written, Cell::Rewritten].map(Cell::symbol);
        let peak = self.peak_step();
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{written} written  {rewritten} rewritten in place  {read} read  {kept} kept  \
             {free} free; the bar is {} B",
            self.activation_bytes,
        );
        let _ = writeln!(
            text,
            "most live bytes: {} in step {peak}, {}",
            self.live_bytes(peak),
            output::name(self.layers.get(peak).unwrap_or(&"")),
        );
        text
    }

    fn input_bar(&self, input: &Occupant<'_>, count: usize) -> String {
        let mut cells = vec![Cell::Free; count];
        cells[self.cells(&input.tensor, count)].fill(Cell::Written);
        cells.into_iter().map(Cell::symbol).collect()
    }

    /// The arena while `step` runs.
    fn bar(&self, step: usize, count: usize) -> String {
        let mut cells = vec![Cell::Free; count];
        for occupant in &self.occupants {
            let Some(cell) = occupant.cell(step) else { continue };
            for place in &mut cells[self.cells(&occupant.tensor, count)] {
                *place = cell.max(*place);
            }
        }
        cells.into_iter().map(Cell::symbol).collect()
    }

    /// The cells of a bar of `count` that a tensor touches.
    fn cells(&self, tensor: &Activation, count: usize) -> Range<usize> {
        let (range, total) = (tensor.range(), self.activation_bytes.max(1));
        range.start * count / total..(range.end * count).div_ceil(total)
    }
}
