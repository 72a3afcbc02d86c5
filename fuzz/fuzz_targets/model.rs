//! The reader and what it accepts: any bytes get a typed error or run everywhere to the same bytes.

#![no_main]

use fixnet::format::{Limits, Payload};
use fixnet::{AlignedBytes, Model};
use fixnet_fuzz::{Choices, everywhere, forge};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// What is run of what is accepted: little enough to be run many times over.
const LIMITS: Limits =
    Limits::DEFAULT.with_macs(1 << 22).with_elements(1 << 22).with_arena(1 << 22);
const MOST_MEMORY: usize = 1 << 25;

fuzz_target!(|data: &[u8]| {
    let mut file = AlignedBytes::from_slice(data);
    let _ = Payload::new_checked(&file).map(|payload| payload.inputs().count());
    forge::seal(file.as_mut_slice());
    let model = match Model::new_checked(&file) {
        Ok(model) => model,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let _ = (model.verify_weights(), model.name(), model.macs(), model.weight_bytes());
    assert_eq!(model.steps().count(), model.step_count());
    assert_eq!(model.layers().count(), model.step_count());
    let runs = model.step_count() > 0 && model.float_parts().count() == 0;
    let small = Model::new_checked_with(&file, &LIMITS).is_ok();
    if runs && small && everywhere::most_memory(&model) <= MOST_MEMORY {
        // The checksum's bytes are decisions that every change of the plan makes anew.
        everywhere::check(&model, 1, &mut Choices::new(&file[12..16]));
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 4 == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    if seed % 16 == 1
        && let Some(file) = forge::replace(&data[..size], max_size, seed)
    {
        data[..file.len()].copy_from_slice(&file);
        return file.len();
    }
    for n in 0..1 + seed / 4 % 3 {
        forge::change_field(&mut data[..size], seed.wrapping_add(n));
    }
    size
});
