//! Models with parts in float: the plan around them is checked like any other, and a session that
//! cannot run the parts says so.

mod support;

use std::path::{Path, PathBuf};

use fixnet::format::{
    self, CRC32, FloatPartKind, FloatPartRecord, FloatPartSpec, Header, Limits, ModelSpec, NONE,
    Target,
};
use fixnet::{AlignedBytes, Model, ModelError, Session, SessionError};
use support::Random;
use support::model::{self, small};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes that no reader of this crate looks into.
fn part(kind: FloatPartKind, input: [usize; 3], output: [usize; 3]) -> FloatPartSpec {
    let onnx = format!("the {} in float", kind.name()).into_bytes();
    FloatPartSpec { kind, onnx, input, output, macs: 1000 }
}

/// The small network behind a head and before a tail of 5 classes; it ends in its int8 average.
fn between() -> ModelSpec {
    let mut spec = small();
    spec.name = "between".to_owned();
    spec.steps.pop();
    spec.tensors.pop();
    spec.output_tensor = 8;
    let head = part(FloatPartKind::Head, [16, 20, 3], [8, 8, 3]);
    let tail = part(FloatPartKind::Tail, [1, 1, 12], [1, 1, 5]);
    spec.float_parts = vec![head, tail];
    spec
}

/// The small network and a tail that takes its logits.
fn behind_logits() -> ModelSpec {
    let tail = part(FloatPartKind::Tail, [1, 1, 10], [1, 1, 4]);
    ModelSpec { float_parts: vec![tail], ..small() }
}

/// A network without a plan.
fn whole() -> ModelSpec {
    let part = part(FloatPartKind::Whole, [8, 8, 3], [1, 1, 7]);
    ModelSpec {
        name: "whole".to_owned(),
        tensors: Vec::new(),
        steps: Vec::new(),
        input_tensor: NONE,
        output_tensor: NONE,
        outputs: Vec::new(),
        labels: Vec::new(),
        target: Target::Portable,
        arena_bytes: 0,
        float_parts: vec![part],
        ..small()
    }
}

fn header(bytes: &[u8]) -> Header {
    Header::read_from_prefix(bytes).map(|(header, _)| header).unwrap()
}

/// Puts the checksum of the plan right, as an attacker would.
fn seal(bytes: &mut [u8]) {
    let end = (header(bytes).plan_bytes as usize).clamp(16, bytes.len());
    let crc = CRC32.checksum(&bytes[16..end]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

fn forged_header(spec: &ModelSpec, change: impl FnOnce(&mut Header)) -> ModelError {
    let mut bytes = model::file(spec);
    let mut changed = header(&bytes);
    change(&mut changed);
    bytes.as_mut_slice()[..size_of::<Header>()].copy_from_slice(changed.as_bytes());
    seal(bytes.as_mut_slice());
    Model::new_checked(&bytes).map(|_| ()).expect_err("a forged header was accepted")
}

fn forged_part(
    spec: &ModelSpec,
    part: usize,
    change: impl FnOnce(&mut FloatPartRecord),
) -> ModelError {
    let mut bytes = model::file(spec);
    let size = size_of::<FloatPartRecord>();
    let at = header(&bytes).float_parts_offset as usize + part * size;
    let record = &mut bytes.as_mut_slice()[at..at + size];
    let mut changed = FloatPartRecord::read_from_bytes(record).unwrap();
    change(&mut changed);
    record.copy_from_slice(changed.as_bytes());
    seal(bytes.as_mut_slice());
    Model::new_checked(&bytes).map(|_| ()).expect_err("a forged part was accepted")
}

fn refused(spec: &ModelSpec) -> ModelError {
    format::write(spec).map(|_| ()).expect_err("an inconsistent model was accepted")
}

/// `FIXNET_BLESS=1` stores them anew; a released format version must never need that.
#[test]
fn stored_models_keep_their_bytes() {
    let models =
        [("float-head-tail", between()), ("float-tail", behind_logits()), ("float-whole", whole())];
    for (name, spec) in models {
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let path = folder.join(format!("{name}.fxn"));
        let written = model::file(&spec);
        if std::env::var_os("FIXNET_BLESS").is_some() {
            std::fs::write(&path, &*written).unwrap();
        }
        let stored = std::fs::read(&path).unwrap();
        assert!(stored == *written, "{name}: the writer's bytes have changed");
    }
}

#[test]
fn a_model_tells_its_parts() {
    let bytes = model::file(&between());
    let model = Model::new_checked(&bytes).unwrap();
    model.verify_weights().unwrap();
    assert_eq!(model.version(), (1, 1));
    assert_eq!((model.image_shape(), model.classes()), ([16, 20, 3], 5));
    assert_eq!(model.input().shape(), [8, 8, 3]);
    assert!(!model.output().wide && model.output().shape() == [1, 1, 12]);
    let parts: Vec<_> = model.float_parts().collect();
    let kinds: Vec<_> = parts.iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [FloatPartKind::Head, FloatPartKind::Tail]);
    assert_eq!(parts[0].onnx, b"the head in float");
    assert_eq!((parts[1].input, parts[1].output, parts[1].macs), ([1, 1, 12], [1, 1, 5], 1000));
    let bytes = model::file(&behind_logits());
    let model = Model::new_checked(&bytes).unwrap();
    assert!(model.output().wide && model.classes() == 4);
    assert_eq!(model.image_shape(), [8, 8, 3]);
}

#[test]
fn a_whole_network_has_no_plan() {
    let bytes = model::file(&whole());
    let model = Model::new_checked(&bytes).unwrap();
    assert_eq!((model.name(), model.image_shape(), model.classes()), ("whole", [8, 8, 3], 7));
    assert_eq!((model.step_count(), model.tensor_count(), model.macs()), (0, 0, 0));
    assert!(model.preprocess().is_some());
}

#[test]
fn a_model_without_parts_keeps_the_first_version() {
    let bytes = model::file(&small());
    assert_eq!(Model::new_checked(&bytes).unwrap().version(), (1, 0));
    let raised = forged_header(&small(), |h| h.version_minor = 1);
    assert_eq!(raised, ModelError::UnsupportedVersion { major: 1, minor: 1 });
    let lowered = forged_header(&between(), |h| h.version_minor = 0);
    assert_eq!(lowered, ModelError::ReservedNotZero);
}

#[test]
fn a_session_refuses_what_it_cannot_run() {
    for (spec, count) in [(between(), 2), (behind_logits(), 1), (whole(), 1)] {
        let bytes = model::file(&spec);
        let model = Model::new_checked(&bytes).unwrap();
        let mut arena = AlignedBytes::zeroed(65_536);
        let refused = Session::new(&model, arena.as_mut_slice()).unwrap_err();
        assert_eq!(refused, SessionError::FloatParts { count });
    }
}

#[test]
fn plans_that_end_in_int8_need_a_tail() {
    let mut spec = between();
    spec.float_parts.pop();
    assert_eq!(refused(&spec), ModelError::BadReference { step: 7 });
    let spec = ModelSpec { output_tensor: 7, ..between() };
    assert_eq!(refused(&spec), ModelError::BadFloatPart { part: 1 });
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    for (part, spec) in [(0, between()), (1, between()), (0, behind_logits()), (0, whole())] {
        let bad = |change: fn(&mut FloatPartRecord)| {
            let found = forged_part(&spec, part, change);
            assert_eq!(found, ModelError::BadFloatPart { part: part as u16 }, "{}", spec.name);
        };
        bad(|p| p.reserved = 1);
        bad(|p| p.offset = 0);
        bad(|p| p.offset += 1);
        bad(|p| p.offset = u32::MAX - 15);
        bad(|p| p.offset -= 16);
        bad(|p| p.bytes = 0);
        bad(|p| p.bytes = u32::MAX);
        bad(|p| p.input.height = 0);
        bad(|p| p.output.channels = 0);
        bad(|p| p.output.channels = u32::MAX);
        let limit = Limits::DEFAULT.macs;
        let endless = forged_part(&spec, part, |p| p.macs = Limits::DEFAULT.macs + 1);
        assert_eq!(endless, ModelError::TooMuchWork { needed: limit + 1, limit });
    }
    let shape = |part: usize, change: fn(&mut FloatPartRecord)| {
        let found = forged_part(&between(), part, change);
        assert_eq!(found, ModelError::BadFloatPart { part: part as u16 });
    };
    for kind in [0, 4, u16::MAX] {
        let found = forged_part(&between(), 1, |p| p.kind = kind);
        assert_eq!(found, ModelError::BadFloatPart { part: 1 });
    }
    shape(0, |p| p.output.width = 9);
    shape(1, |p| p.input.channels = 13);
    shape(1, |p| p.output.height = 2);
    // Images of other than three colours are those of a later version, if of any.
    for channels in [1, 2, 4] {
        for (spec, first) in [(between(), 0), (whole(), 0)] {
            let other = forged_part(&spec, first, |p| p.input.channels = channels);
            assert_eq!(other, ModelError::UnsupportedVersion { major: 1, minor: 1 });
        }
    }
}

#[test]
fn parts_in_the_wrong_company_are_refused() {
    let head = || part(FloatPartKind::Head, [8, 8, 3], [8, 8, 3]);
    let tail = || part(FloatPartKind::Tail, [1, 1, 10], [1, 1, 4]);
    let whole_part = || part(FloatPartKind::Whole, [8, 8, 3], [1, 1, 4]);
    let with = |float_parts| refused(&ModelSpec { float_parts, ..small() });
    assert_eq!(with(vec![tail(), head()]), ModelError::BadFloatPart { part: 1 });
    assert_eq!(with(vec![head(), head()]), ModelError::BadFloatPart { part: 1 });
    assert_eq!(with(vec![head(), whole_part()]), ModelError::BadFloatPart { part: 1 });
    assert_eq!(with(vec![head(), tail(), tail()]), ModelError::BadCount { count: 3 });
    // A whole network beside a plan, and no plan without a whole network.
    assert_eq!(with(vec![whole_part()]), ModelError::BadCount { count: 10 });
    let spec = ModelSpec { float_parts: vec![head()], ..whole() };
    assert_eq!(refused(&spec), ModelError::BadCount { count: 0 });
    let arena = refused(&ModelSpec { arena_bytes: 16, ..whole() });
    assert_eq!(arena, ModelError::BadTensor { tensor: NONE });
    let offset = forged_header(&whole(), |h| h.steps_offset = 96);
    assert!(matches!(offset, ModelError::BadSection { offset: 96, .. }));
}

#[test]
fn tables_of_parts_outside_the_plan_are_refused() {
    let section = |change: fn(&mut Header)| {
        let found = forged_header(&between(), change);
        assert!(matches!(found, ModelError::BadSection { .. }), "{found:?}");
    };
    section(|h| h.float_parts_offset = 0);
    section(|h| h.float_parts_offset += 4);
    section(|h| h.float_parts_offset = h.plan_bytes);
    section(|h| h.float_parts_offset = u32::MAX - 15);
    assert_eq!(
        forged_header(&between(), |h| h.float_part_count = u16::MAX),
        ModelError::BadCount { count: u16::MAX }
    );
    assert_eq!(forged_header(&between(), |h| h.reserved = 1), ModelError::ReservedNotZero);
}

#[test]
fn a_flipped_bit_in_a_part_is_noticed() {
    let bytes = model::file(&between());
    let parts = header(&bytes).float_parts_offset as usize;
    let (records, _) = <[FloatPartRecord]>::ref_from_prefix_with_elems(&bytes[parts..], 2).unwrap();
    for (part, record) in records.iter().enumerate() {
        for at in record.offset..record.offset + record.bytes {
            let mut damaged = bytes.clone();
            damaged.as_mut_slice()[at as usize] ^= 1 << (at % 8);
            let found = Model::new_checked(&damaged).unwrap().verify_weights().unwrap_err();
            let wanted = matches!(found, ModelError::FloatPartChecksum { part: p, .. } if usize::from(p) == part);
            assert!(wanted, "{found:?}");
        }
    }
}

/// Any bytes in the header and the table of parts are refused or leave a model that tells only
/// what lies in the file.
#[test]
fn forged_bytes_are_refused_or_stay_inside_the_file() {
    let random = &mut Random::new(11);
    let mut accepted = 0;
    for spec in [between(), behind_logits(), whole()] {
        let bytes = model::file(&spec);
        let parts = header(&bytes).float_parts_offset as usize;
        let table = parts..parts + spec.float_parts.len() * size_of::<FloatPartRecord>();
        let places: Vec<usize> = (16..size_of::<Header>()).chain(table).collect();
        for _ in 0..20_000 {
            let mut forged = bytes.clone();
            for _ in 0..=random.below(2) {
                let at = places[random.below(places.len() as u64) as usize];
                forged.as_mut_slice()[at] = random.i8() as u8;
            }
            seal(forged.as_mut_slice());
            let Ok(model) = Model::new_checked(&forged) else { continue };
            accepted += 1;
            assert!(model.float_parts().all(|part| !part.onnx.is_empty()));
            assert_eq!(model.float_parts().count(), spec.float_parts.len());
            let _ = (model.verify_weights(), model.image_shape(), model.classes());
            let mut arena = AlignedBytes::zeroed(65_536);
            assert!(Session::new(&model, arena.as_mut_slice()).is_err());
        }
    }
    assert!(accepted > 0, "no forged file was accepted: the test tests nothing");
}
