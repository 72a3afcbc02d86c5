//! What every bare-metal image does: check a payload and its model, run the inputs, report.
//!
//! An image brings what differs between boards - memory, clock, pin, console - as a [`Board`];
//! [`Board::report`] does the rest, and prints one [`Line`] per fact. Nothing is printed while an
//! inference runs, so that a layer's time holds no time of the console.

#![no_std]

mod lines;

use embedded_hal::digital::{ErrorType, OutputPin};
use fixnet::format::{CRC32, Payload};
use fixnet::profile::{Clock, TracePin, continue_crc32};
use fixnet::{Hook, KernelSet, Model, Session, SessionError, StepInfo};

pub use lines::{Line, Refusal};

/// What the image keeps of one layer until the inference is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Record {
    ticks: u64,
    crc32: u32,
}

impl Record {
    /// The initial value of an array of records.
    pub const EMPTY: Self = Self { ticks: 0, crc32: 0 };
}

/// What an image brings.
#[derive(Debug)]
pub struct Board<'b, C, P, L> {
    /// The name of the board's data.
    pub name: &'b str,
    /// What the clock counts, for the report.
    pub clock_source: &'b str,
    pub clock: C,
    /// High while a layer runs, for a logic analyser; [`NoPin`] where there is none.
    pub trace_pin: P,
    /// Prints a line.
    pub lines: L,
    /// Most bytes of stack in use so far.
    pub stack_bytes: fn() -> usize,
    pub kernels: KernelSet,
    /// The arena that inference runs in.
    pub arena: &'b mut [u8],
    /// Room for one record a layer.
    pub records: &'b mut [Record],
}

impl<C: Clock, P: OutputPin, L: FnMut(Line<'_>)> Board<'_, C, P, L> {
    /// Runs the inputs of the payload at the start of `bytes` and reports; the last line is `done`,
    /// or `refused`.
    ///
    /// # Errors
    /// [`Refusal`], which the last line has as well.
    pub fn report(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        (self.lines)(Line::Board(self.name));
        (self.lines)(Line::Clock(self.clock_source, self.clock.ticks_per_second()));
        let result = self.run(bytes);
        (self.lines)(match result {
            Ok(()) => Line::Done,
            Err(refusal) => Line::Refused(refusal),
        });
        result
    }

    fn run(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let payload = Payload::new_checked(bytes)?;
        (self.lines)(Line::ModelCrc32(CRC32.checksum(payload.model())));
        let model = Model::new_checked(payload.model())?;
        model.verify_weights()?;
        let needed = model.required(self.kernels).arena();
        (self.lines)(Line::ArenaBytes(needed));
        if payload.refused_arenas() {
            self.show_refused_arenas(&model, needed);
        }
        let (layers, available) = (model.step_count(), self.records.len());
        if layers > available {
            return Err(Refusal::Layers { needed: layers, available });
        }
        payload.inputs().try_for_each(|input| Ok(self.infer(&payload, &model, input)?))
    }

    fn show_refused_arenas(&mut self, model: &Model<'_>, needed: usize) {
        let kernels = self.kernels;
        let short = self.arena.get_mut(..needed.saturating_sub(1)).unwrap_or_default();
        if let Err(error) = Session::with_kernels(model, short, kernels) {
            (self.lines)(Line::ArenaShort(error));
        }
        let shifted = self.arena.get_mut(1..needed.saturating_add(1)).unwrap_or_default();
        if let Err(error) = Session::with_kernels(model, shifted, kernels) {
            (self.lines)(Line::ArenaShifted(error));
        }
    }

    fn infer(
        &mut self,
        payload: &Payload<'_>,
        model: &Model<'_>,
        input: &[u8],
    ) -> Result<(), SessionError> {
        // No more than the model asks for: the figure itself must work.
        let available = model.required(self.kernels).arena().min(self.arena.len());
        let arena = self.arena.get_mut(..available).unwrap_or_default();
        let mut session = Session::with_kernels(model, arena, self.kernels)?;
        if payload.tensors() {
            session.set_tensor(input)?;
        } else {
            session.set_pixels(input)?;
        }
        let input = session.tensor_mut(model.input().tensor).unwrap_or_default();
        (self.lines)(Line::Input(CRC32.checksum(input)));

        let mut recorder = Recorder {
            clock: &mut self.clock,
            records: &mut *self.records,
            layer_clock: payload.layer_clock(),
            checksums: payload.checksums(),
            started: 0,
            excluded: 0,
        };
        let mut pin = TracePin(&mut self.trace_pin);
        let started = recorder.clock.ticks();
        session.run_with(&mut (&mut pin, &mut recorder))?;
        let excluded = recorder.excluded;
        let ticks = self.clock.ticks().saturating_sub(started).saturating_sub(excluded);
        let stack_bytes = (self.stack_bytes)();

        for (step, record) in model.steps().zip(self.records.iter()) {
            (self.lines)(Line::Layer {
                index: step.index,
                kernel: self.kernels.kernel_name(&step.operator),
                ticks: record.ticks,
                crc32: payload.checksums().then_some(record.crc32),
                name: step.layer.name,
            });
        }
        (self.lines)(Line::Logits(session.logits()));
        if model.tells_outputs() {
            let mut index = 0;
            while let Some(output) = session.output(index) {
                (self.lines)(Line::Output(index, CRC32.checksum(output)));
                index += 1;
            }
        }
        (self.lines)(Line::Ticks(ticks));
        (self.lines)(Line::StackBytes(stack_bytes));
        Ok(())
    }
}

/// Time and checksum of every layer, as far as they were asked for.
struct Recorder<'r, C> {
    clock: &'r mut C,
    records: &'r mut [Record],
    layer_clock: bool,
    checksums: bool,
    started: u64,
    /// Time of checksums, which is none of the inference.
    excluded: u64,
}

impl<C: Clock> Hook for Recorder<'_, C> {
    fn before(&mut self, _info: &StepInfo<'_>) {
        if self.layer_clock {
            self.started = self.clock.ticks();
        }
    }

    fn after(&mut self, info: &StepInfo<'_>, output: &[u8]) {
        let ended = if self.layer_clock { self.clock.ticks() } else { self.started };
        let Some(record) = self.records.get_mut(info.index) else { return };
        if info.rows.0 == 0 {
            // The CRC-32 of nothing is 0.
            *record = Record { ticks: 0, crc32: 0 };
        }
        record.ticks = record.ticks.saturating_add(ended.saturating_sub(self.started));
        if self.checksums {
            let started = self.clock.ticks();
            record.crc32 = continue_crc32(record.crc32, output);
            self.excluded += self.clock.ticks().saturating_sub(started);
        }
    }
}

/// No pin to trace layers with.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPin;

impl ErrorType for NoPin {
    type Error = core::convert::Infallible;
}

impl OutputPin for NoPin {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
