//! Steps that take another number of tensors than two: tables, and concatenations.

use zerocopy::FromBytes;

use super::Session;
use crate::arena::{self, Views};
use crate::error::Fault;
use crate::format::{Operator, Step};
use crate::kernels::ConcatArgs;
use crate::numerics::TABLE_ENTRIES;

impl Session<'_, '_> {
    /// Copies the input to where the output is, if it is elsewhere, and replaces the values there.
    pub(super) fn look_up(
        &mut self,
        step: &Step<'_>,
        tables: &[[i8; TABLE_ENTRIES]],
        clamp: (i8, i8),
    ) -> Result<(), Fault> {
        let output = step.output.range();
        if !step.in_place {
            let [from, to] = self
                .arena
                .get_disjoint_mut([step.input.range(), output.clone()])
                .map_err(|_| Fault::Arena)?;
            if from.len() != to.len() {
                return Err(Fault::Arena);
            }
            to.copy_from_slice(from);
        }
        let output = arena::int8_mut(self.arena, output).ok_or(Fault::Arena)?;
        self.kernels.lookup(tables, clamp, output)
    }

    /// One input after the other, each to its channels of the output.
    pub(super) fn concat(&mut self, step: &Step<'_>) -> Result<(), Fault> {
        let Operator::Concat { weights, channels, ref requantization } = step.operator else {
            return Err(Fault::Plan);
        };
        let mut first = 0;
        let others = step.others.iter().map(|&tensor| self.model.activation(tensor));
        for map in core::iter::once(Some(step.input)).chain(others) {
            let map = map.ok_or(Fault::Arena)?;
            let part = first..first + map.channels;
            first = part.end;
            let (output, scratch) = (step.output.range(), self.scratch.clone());
            let views = arena::views(self.arena, map.range(), None, output, scratch);
            let Views { input, output, .. } = views.ok_or(Fault::Arena)?;
            let output = <[i8]>::mut_from_bytes(output).map_err(|_| Fault::Arena)?;
            let args = ConcatArgs {
                input,
                first: part.start,
                total: step.output.channels,
                weights: weights.get(part.clone()).ok_or(Fault::Plan)?,
                channels: channels.part(part).ok_or(Fault::Plan)?,
                requantization,
                output,
            };
            self.kernels.concat(args)?;
        }
        Ok(())
    }
}
