//! Work and memory that a file asks for are counted from its steps, and bounded.

use fixnet::format::{self, Limits, ModelSpec, StepKind, StepRecord};
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
    let mut spec = small();
    let map = [1, 1, 16];
    spec.tensors = vec![model::tensor(0, map), model::tensor(16, map), model::logits(32, 10)];
    (spec.arena_bytes, spec.preprocess, spec.output_tensor) = (72, None, 2);
    let random = &mut Random::new(1);
    let pool = |n: u16| model::record(StepKind::MaxPool, n % 2, (n + 1) % 2);
    let logits = model::record(StepKind::Logits, 1, 2);
    spec.steps = (0..1023).map(|n| model::step(pool(n), 0, 0, 0, random)).collect();
    spec.steps.push(model::step(logits, 0, 160, 10, random));
    assert!(refuse_or_run(&model::file(&spec)));
    spec.steps.insert(0, model::step(pool(1), 0, 0, 0, random));
    let found = format::write(&spec).map(|_| ());
    assert_eq!(found, Err(ModelError::BadCount { count: 1025 }));
}
