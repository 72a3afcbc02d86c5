//! Work and memory that a file asks for are counted from its steps, and bounded.

use fixnet::format::{self, Limits, MAX_RECORDS, ModelSpec, StepKind, StepRecord};
use fixnet::{Model, ModelError};

use crate::by_chance::{refuse_or_run, work};
use crate::support::Random;
use crate::support::model::{self, small};

/// `side` x `side` x 64 through one `first` step, an average over the whole map, and logits.
fn heavy(first: StepRecord, side: u32) -> ModelSpec {
    let random = &mut Random::new(1);
    let map = [side, side, 64];
    let bytes = side * side * 64;
    let conv = first.kind == StepKind::Conv as u8;
    let (weights, channels) = if conv { (64 * 9 * 64, 64) } else { (0, 0) };
    let average =
        StepRecord { kernel: [side as u16; 2], ..model::record(StepKind::AveragePool, 1, 2) };
    let logits = model::record(StepKind::Logits, 2, 3);
    let mut steps = vec![
        model::step(first, 0, weights, channels, random),
        model::step(average, 0, 0, 1, random),
        model::step(logits, 0, 64, 1, random),
    ];
    for (step, name) in steps.iter_mut().zip(["first", "average", "fc"]) {
        step.layer_name = name.to_owned();
    }
    ModelSpec {
        tensors: vec![
            model::tensor(0, map),
            model::tensor(bytes, map),
            model::tensor(0, [1, 1, 64]),
            model::logits(64, 1),
        ],
        steps,
        output_tensor: 3,
        outputs: Vec::new(),
        labels: Vec::new(),
        arena_bytes: 2 * bytes,
        preprocess: None,
        ..small()
    }
}

/// What a layer table says of itself is not believed.
#[test]
fn work_is_counted_from_the_steps() {
    let mut spec = small();
    spec.steps.iter_mut().for_each(|step| step.macs = 0);
    let file = model::file(&spec);
    let model = Model::new_checked(&file).unwrap();
    assert_eq!(model.macs(), 13_824 + 9_216 + 9_216 + 864 + 120);
    assert_eq!(model.elements(), 512 + 1_152 + 128 + 128 + 48 + 48 + 48 + 48 + 10);
    assert_eq!(model.layers().map(|layer| layer.macs).sum::<u64>(), model.macs());
    assert_eq!(model.macs() + model.elements(), work(&model) + 816 + 10);
}

/// What is needed passes, one less is refused with both figures.
#[test]
fn limits_are_exact() {
    let file = model::file(&small());
    let check = |limits: Limits| Model::new_checked_with(&file, &limits).map(|_| ());
    let model = Model::new_checked(&file).unwrap();
    let (macs, elements, arena) = (model.macs(), model.elements(), model::SMALL_ARENA as usize);
    let limits = Limits::DEFAULT.with_macs(macs).with_elements(elements).with_arena(arena);
    assert_eq!(check(limits), Ok(()));
    let fewer = check(limits.with_macs(macs - 1)).unwrap_err();
    assert_eq!(fewer, ModelError::TooMuchWork { needed: macs, limit: macs - 1 });
    let fewer = check(limits.with_elements(elements - 1)).unwrap_err();
    assert_eq!(fewer, ModelError::TooManyElements { needed: elements, limit: elements - 1 });
    let less = check(limits.with_arena(arena - 1)).unwrap_err();
    assert_eq!(less, ModelError::ArenaTooLarge { needed: arena, limit: arena - 1 });
}

/// Each of these would run for minutes, whatever it claims.
#[test]
fn endless_work_is_refused() {
    let conv = model::window(model::record(StepKind::Conv, 0, 1), 1);
    let file = model::file(&heavy(conv, 2048));
    let limit = Limits::DEFAULT.macs;
    let needed = 2048 * 2048 * 64 * 576 + 64;
    let refused = Model::new_checked(&file).unwrap_err();
    assert_eq!(refused, ModelError::TooMuchWork { needed, limit });
    let allowed = Limits::DEFAULT.with_macs(needed);
    assert_eq!(Model::new_checked_with(&file, &allowed).unwrap().macs(), needed);

    let pool =
        StepRecord { kernel: [63, 63], pads: [31; 4], ..model::record(StepKind::MaxPool, 0, 1) };
    let file = model::file(&heavy(pool, 1024));
    let limit = Limits::DEFAULT.elements;
    let needed = (1024 * 1024 * 64) * (63 * 63 + 1) + 1;
    let refused = Model::new_checked(&file).unwrap_err();
    assert_eq!(refused, ModelError::TooManyElements { needed, limit });
}

/// A small file may not ask for all of a machine's memory.
#[test]
fn an_arena_beyond_the_limit_is_refused() {
    let file = model::file(&ModelSpec { arena_bytes: u32::MAX, ..small() });
    let (needed, limit) = (u32::MAX as usize, Limits::DEFAULT.arena);
    let refused = Model::new_checked(&file).unwrap_err();
    assert_eq!(refused, ModelError::ArenaTooLarge { needed, limit });
}

/// As many steps as a plan may have, to and fro between two places.
#[test]
fn the_longest_plan_is_checked_and_runs() {
    assert!(refuse_or_run(&model::file(&model::long(MAX_RECORDS))));
    for count in [MAX_RECORDS + 1, 1 << 16, (1 << 16) + 1] {
        let found = format::write(&model::long(count)).map(|_| ());
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        assert_eq!(found, Err(ModelError::BadCount { count }));
    }
    let mut crowded = small();
    crowded.tensors.resize(MAX_RECORDS + 1, crowded.tensors[0]);
    let count = MAX_RECORDS as u16 + 1;
    assert_eq!(format::write(&crowded).map(|_| ()), Err(ModelError::BadCount { count }));
}

/// A plan has the version that its length asks for, and no other.
#[test]
fn plans_of_more_than_1024_records_have_a_version_of_their_own() {
    let version = |file: &[u8]| Model::new_checked(file).unwrap().version();
    assert_eq!(version(&model::file(&model::long(1024))), (1, 0));
    let mut crowded = small();
    crowded.tensors.resize(1025, crowded.tensors[0]);
    for (spec, other) in [(model::long(1025), 0), (crowded, 5), (model::long(1024), 6)] {
        let mut file = model::file(&spec);
        let long = spec.steps.len().max(spec.tensors.len()) > 1024;
        assert_eq!(version(&file), (1, if long { 6 } else { 0 }));
        file.as_mut_slice()[6] = other;
        let refused = Model::new_checked(&file).unwrap_err();
        let minor = other.into();
        assert_eq!(refused, ModelError::UnsupportedVersion { major: 1, minor });
    }
}

/// The most that checking can take: no step overwrites another's result, and every step reads twice what
/// was there before all of them.
#[test]
fn the_plan_that_is_longest_to_check_is_checked() {
    let (random, last) = (&mut Random::new(1), MAX_RECORDS - 1);
    let mut spec = model::long(1);
    let place = |at: usize| model::tensor(16 * at as u32, [1, 1, 16]);
    spec.tensors = (0..last).map(place).collect();
    spec.tensors.push(model::logits(16 * last as u32, 10));
    spec.output_tensor = last as u16;
    spec.arena_bytes = 16 * last as u32 + 40;
    let add = |to: usize| {
        let record = model::record(StepKind::Add, 0, to as u16);
        StepRecord { operand: 0, input_multiplier: 9, operand_multiplier: 9, ..record }
    };
    spec.steps = (1..last).map(|to| model::step(add(to), 0, 0, 0, random)).collect();
    let logits = model::record(StepKind::Logits, 0, last as u16);
    spec.steps.push(model::step(logits, 0, 160, 10, random));
    assert!(refuse_or_run(&model::file(&spec)));
}
