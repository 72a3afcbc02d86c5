//! One input on a board, real or emulated, beside this machine's result for it.

use std::fmt::Write;

use fixnet::format::{CRC32, MAX_RECORDS, OutputKind};
use fixnet::profile::Checksums;
use fixnet::{AlignedBytes, Hook, KernelSet, Model, Session, SessionError, StepInfo};
use serde_json::{Value, json};

use super::Scores;
use super::inference::hex;
use super::table::{bytes, count, left, names, right, shape, table};
use crate::boards::Board;
use crate::data::Content;
use crate::firmware::{BoardInference, BoardLayer, BoardReport};
use crate::output;

/// This machine's result for an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostResult {
    /// CRC-32 of the int8 input, HWC.
    pub input_crc32: u32,
    /// CRC-32 of every layer's output.
    pub checksums: Vec<u32>,
    pub logits: Vec<i32>,
    /// CRC-32 of each output.
    pub outputs: Vec<u32>,
    /// The step behind every call of a hook, in order: once a step, or once for each of its parts.
    pub calls: Vec<usize>,
}

/// Notes the steps that run.
#[derive(Default)]
struct Calls(Vec<usize>);

impl Hook for Calls {
    fn after(&mut self, info: &StepInfo<'_>, _output: &[u8]) {
        self.0.push(info.index);
    }
}

/// Runs an input on this machine.
///
/// # Errors
/// [`SessionError`].
pub fn host_result(
    model: &Model<'_>,
    input: &Content,
    kernels: KernelSet,
) -> Result<HostResult, SessionError> {
    let mut arena = AlignedBytes::try_zeroed(model.required(kernels).arena())?;
    let mut session = Session::with_kernels(model, arena.as_mut_slice(), kernels)?;
    input.set(&mut session)?;
    let input_crc32 = CRC32.checksum(session.tensor_mut(model.input().tensor).unwrap_or_default());
    let mut checksums = Box::new(Checksums::<MAX_RECORDS>::new());
    let mut calls = Calls::default();
    let logits = session.run_with(&mut (&mut *checksums, &mut calls))?.to_vec();
    let checksums = checksums.values().to_vec();
    let outputs = (0..model.outputs().count()).filter_map(|index| session.output(index));
    let outputs = outputs.map(|bytes| CRC32.checksum(bytes)).collect();
    Ok(HostResult { input_crc32, checksums, logits, outputs, calls: calls.0 })
}

/// One input on a board.
pub struct BoardRun<'a> {
    pub board: &'a Board,
    pub model: &'a Model<'a>,
    /// Name of the input.
    pub image: &'a str,
    pub report: &'a BoardReport,
    pub inference: &'a BoardInference,
    /// What the board must equal, if this machine ran the input, too.
    pub host: Option<&'a HostResult>,
    /// Whether the board's clock is an emulator's.
    pub emulated: bool,
    /// Guest instructions of one tick, if the clock counts them.
    pub instructions_per_tick: Option<u64>,
    /// What tract takes for the float network there, if that was counted.
    pub tract_instructions: Option<u64>,
}

impl BoardRun<'_> {
    /// Whether input, logits and all checksums there are equal this machine's.
    #[must_use]
    pub fn equals_host(&self) -> bool {
        let Some(host) = self.host else { return true };
        let layers = &self.inference.layers;
        let crc32s = layers.iter().zip(&host.checksums);
        layers.len() == host.checksums.len()
            && self.inference.input_crc32 == host.input_crc32
            && self.inference.logits == host.logits
            && (self.inference.outputs == host.outputs || self.needs_no_outputs())
            && crc32s.into_iter().all(|(layer, &host)| layer.crc32.is_none_or(|own| own == host))
    }

    /// A board says nothing of the only vector of scores but its logits.
    fn needs_no_outputs(&self) -> bool {
        self.inference.outputs.is_empty() && !self.model.tells_outputs()
    }

    /// The keys are a contract with scripts.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.model.layers().zip(&self.inference.layers);
        let layers = rows.map(|(layer, row)| {
            let mut json = json!({
                "name": row.name,
                "kernel": row.kernel,
                "macs": layer.macs,
                "ticks": row.ticks,
            });
            if let Some(crc32) = row.crc32 {
                json["crc32"] = json!(hex(crc32));
            }
            if let Some(instructions) = self.instructions(row.ticks) {
                json["instructions"] = json!(instructions);
            }
            json
        });
        let mut json = json!({
            "board": self.board.name,
            "emulated": self.emulated,
            "image": self.image,
            "input_crc32": hex(self.inference.input_crc32),
            "logits": self.inference.logits,
            "outputs": self.inference.outputs.iter().map(|&crc32| hex(crc32)).collect::<Vec<_>>(),
            "equals_host": self.host.map(|_| self.equals_host()),
            "arena_bytes": self.report.arena_bytes,
            "stack_bytes": self.inference.stack_bytes,
            "clock": self.report.clock_source,
            "ticks_per_second": self.report.ticks_per_second,
            "ticks": self.inference.ticks,
            "layers": layers.collect::<Vec<_>>(),
        });
        if let Some(instructions) = self.instructions(self.inference.ticks) {
            json["instructions"] = json!(instructions);
        }
        if let Some((tract, ratio)) = self.tract() {
            json["against"] = json!({ "tract": { "instructions": tract, "ratio": ratio } });
        }
        json
    }

    /// What tract takes, and how many times fixnet's.
    fn tract(&self) -> Option<(u64, f64)> {
        let (tract, own) = (self.tract_instructions?, self.instructions(self.inference.ticks)?);
        Some((tract, tract as f64 / own.max(1) as f64))
    }

    /// The best classes, the latency table, memory, and whether the bytes are this machine's.
    #[must_use]
    pub fn text(&self) -> String {
        let (image, board) = (output::name(self.image), output::name(&self.board.name));
        let mut text = format!("{image} on {board}");
        if self.emulated {
            text.push_str(" (emulated: times are the emulator's)");
        }
        let scores = Scores::Int8 {
            logits: self.inference.logits.clone(),
            scale: self.model.output().scale,
        };
        let kind = self.model.outputs().next().map(|output| output.kind);
        for best in scores.top(5).iter().filter(|_| kind == Some(OutputKind::Scores)) {
            let label = self.model.labels().and_then(|mut labels| labels.nth(best.class));
            let (class, score, label) = (best.class, best.score * 100.0, label.unwrap_or_default());
            let _ = write!(text, "\nclass {class:<5} {score:6.2} % {label}");
        }
        let outputs = self.model.outputs().zip(&self.inference.outputs);
        for (output, &crc32) in outputs {
            let (name, kind) = (output::name(output.name), output.kind.name());
            let _ = write!(text, "\noutput {name}: {kind}, crc32 {}", hex(crc32));
        }
        let _ = write!(text, "\n\n{}\n", self.layer_table());
        if let Some((tract, ratio)) = self.tract() {
            let _ = writeln!(
                text,
                "tract, in float: {} instructions, {ratio:.2} times as many",
                count(tract)
            );
        }
        let (arena, stack) = (self.report.arena_bytes, self.inference.stack_bytes);
        if arena > 0 {
            let _ = writeln!(text, "arena {} B, stack {} B at most", bytes(arena), bytes(stack));
        }
        let _ = writeln!(text, "input crc32 {}", hex(self.inference.input_crc32));
        let _ = writeln!(text, "logits {}", logits(&self.inference.logits));
        if self.host.is_some() {
            let verdict = if self.equals_host() { "equal" } else { "DIFFER FROM" };
            let what = match self.checksums() {
                true => "logits and the checksums of all layers",
                false => "logits",
            };
            let _ = writeln!(text, "{what} {verdict} this machine's");
        }
        text
    }

    fn checksums(&self) -> bool {
        self.inference.layers.iter().any(|layer| layer.crc32.is_some())
    }

    fn instructions(&self, ticks: u64) -> Option<u64> {
        Some(ticks.saturating_mul(self.instructions_per_tick?))
    }

    fn layer_table(&self) -> String {
        let counted = self.instructions_per_tick.is_some();
        let (cost, per_mac) = match (counted, self.report.ticks_per_second) {
            (true, _) => ("instructions", "instr/MAC"),
            (false, 0) => ("ticks", "ticks/MAC"),
            (false, _) => ("µs", "ns/MAC"),
        };
        let mut columns = vec![
            names("layer"),
            names("kernel"),
            left("shape").rank(1),
            right("MACs").rank(2),
            right(cost),
            right(per_mac).rank(3),
        ];
        if self.checksums() {
            columns.push(left("crc32"));
        }
        let mut rows = table(&columns);
        for (layer, row) in self.model.layers().zip(&self.inference.layers) {
            rows.add_row(self.row(row, shape(&layer.shape), layer.macs));
        }
        let total = BoardLayer {
            name: "whole run".to_string(),
            kernel: String::new(),
            ticks: self.inference.ticks,
            crc32: None,
        };
        rows.add_row(self.row(&total, String::new(), self.model.macs()));
        rows.to_string()
    }

    fn row(&self, row: &BoardLayer, shape: String, macs: u64) -> Vec<String> {
        let mut cells = vec![row.name.clone(), row.kernel.clone(), shape, count(macs)];
        cells.extend(self.cost(row.ticks, macs));
        if self.checksums() {
            cells.push(row.crc32.map(hex).unwrap_or_default());
        }
        cells
    }

    /// The cost of a row, and of each of its multiply-accumulates.
    fn cost(&self, ticks: u64, macs: u64) -> [String; 2] {
        let per_mac = |cost: f64| match macs {
            0 => "-".to_string(),
            _ if cost < macs as f64 => format!("{:.3}", cost / macs as f64),
            _ => format!("{:.2}", cost / macs as f64),
        };
        if let Some(instructions) = self.instructions(ticks) {
            return [count(instructions), per_mac(instructions as f64)];
        }
        match self.report.ticks_per_second {
            0 => [ticks.to_string(), per_mac(ticks as f64)],
            rate => {
                let nanoseconds = ticks as f64 * 1e9 / rate as f64;
                [format!("{:.1}", nanoseconds / 1e3), per_mac(nanoseconds)]
            }
        }
    }
}

/// The first logits, and how many more there are.
fn logits(logits: &[i32]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<String> = logits.iter().take(SHOWN).map(i32::to_string).collect();
    match logits.len() {
        0..=SHOWN => shown.join(", "),
        all => format!("{}, ... and {} more (--json has all)", shown.join(", "), all - SHOWN),
    }
}
