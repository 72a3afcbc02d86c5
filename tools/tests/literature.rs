//! Networks of the literature, narrow and with two blocks a stage: each goes the whole way, and gives the
//! same bytes of every output with every kernel; and the deepest ones, planned in their whole depth.

mod common;

use std::path::Path;
use std::time::Instant;

use fixnet::format::{Limits, MAX_RECORDS};
use fixnet::profile::WallClock;
use fixnet::{AlignedBytes, KernelSet, Model, ModelError, Session};
use tools::data::{Recipe, Wanted};
use tools::fold::fold;
use tools::graph::Graph;
use tools::images::Images;
use tools::lower::{Network, lower};
use tools::onnx_writer;
use tools::pipeline::{CompareOptions, PackOptions, Packed, QuantizeOptions, Source};
use tools::plan::Demand;
use tools::zoo_models::{self, ModelOptions};

use common::tell;

const IMAGES: usize = 8;
const SEED: u64 = 0;
/// The least that a layer alone keeps. What remains at the end depends on the depth and on chance.
const MIN_LAYER_SQNR_DB: f64 = 12.0;

fn small(input_size: usize, blocks: Option<usize>) -> ModelOptions {
    let (input_size, width_multiplier) = (Some(input_size), 0.25);
    ModelOptions { input_size, width_multiplier, blocks, ..ModelOptions::default() }
}

/// The bytes of every output for the first image of the comparison.
fn outputs(model: &Model<'_>, kernels: KernelSet) -> Vec<Vec<u8>> {
    let images = Images::for_comparison(SEED, 1);
    let sample = images.sample(0, &Wanted::by(model)).unwrap();
    let mut arena = AlignedBytes::zeroed(model.required(kernels).arena());
    let mut session = Session::with_kernels(model, arena.as_mut_slice(), kernels).unwrap();
    sample.content.set(&mut session).unwrap();
    session.run().unwrap();
    let bytes = (0..model.outputs().count()).map(|index| session.output(index).unwrap().to_vec());
    bytes.collect()
}

/// Every kernel gives the outputs of the reference.
fn assert_alike(name: &str, packed: &Packed) {
    let model = packed.model(&Limits::DEFAULT).unwrap();
    let reference = outputs(&model, KernelSet::REFERENCE);
    for (output, bytes) in model.outputs().zip(&reference) {
        let alike = bytes.iter().all(|byte| *byte == bytes[0]) && bytes.len() > 1;
        assert!(!alike, "{name}: all of {} is alike", output.name);
    }
    for kernels in KernelSet::available() {
        assert!(outputs(&model, kernels) == reference, "{name}: {}", kernels.name());
    }
}

#[test]
fn every_network_goes_the_whole_way() {
    let mut done: Vec<(&str, Graph)> = Vec::new();
    for name in zoo_models::names() {
        let graph = zoo_models::build(name, SEED, &small(64, Some(2))).unwrap();
        if let Some((other, _)) = done.iter().find(|(_, other)| *other == graph) {
            tell(&format!("{name}, narrow: with two blocks a stage it is {other}"));
            continue;
        }
        done.push((name, graph.clone()));
        let path = format!("{name}.onnx");
        let source = Source::parse(Path::new(&path), &onnx_writer::to_bytes(&graph)).unwrap();
        let forecast = source.check(&Default::default(), &Limits::DEFAULT).unwrap();
        assert!(forecast.is_supported() && forecast.partition.is_none(), "{name}: {forecast:?}");
        let lowered = source.lower(&Default::default()).unwrap_or_else(|e| panic!("{e}"));
        let images = Images::for_calibration(SEED, IMAGES);
        let recipe = Recipe::default();
        let recipe = lowered.input_shape().is_image().then_some(&recipe);
        let observed = lowered.observe(&images, recipe, &()).unwrap();
        let planned = observed.quantize(QuantizeOptions::default()).unwrap().plan();
        let packed = planned.pack(&PackOptions::default()).unwrap();
        let model = packed.model(&Limits::DEFAULT).unwrap();
        let demand = lowered.demand();
        let found = (demand.macs, demand.elements, demand.arena_bytes);
        let arena = model.required(KernelSet::REFERENCE).activations;
        assert_eq!(found, (model.macs(), model.elements(), arena), "{name}");
        assert_alike(name, &packed);
        let images = Images::for_comparison(SEED, IMAGES);
        let compared = packed.compare(&images, &CompareOptions::default(), &()).unwrap();
        let sqnr = compared.outputs.iter().filter_map(|output| output.sqnr_db);
        let sqnr = sqnr.fold(f64::INFINITY, f64::min);
        let alone = compared.layers.iter().map(|layer| layer.sqnr_isolated_db);
        let alone = alone.fold(f64::INFINITY, f64::min);
        let layers = model.step_count();
        tell(&format!(
            "{name}, narrow: {layers} layers, float to int8 {sqnr:.1} dB, a layer alone {alone:.1} dB"
        ));
        assert!(alone >= MIN_LAYER_SQNR_DB, "{name}: a layer alone keeps {alone} dB");
    }
}

#[test]
fn a_recipe_for_images_is_refused_where_no_images_are_taken() {
    let graph = zoo_models::build("alphazero", SEED, &small(8, Some(1))).unwrap();
    let source = Source::parse(Path::new("az.onnx"), &onnx_writer::to_bytes(&graph)).unwrap();
    let lowered = source.lower(&Default::default()).unwrap();
    let images = Images::for_calibration(SEED, 1);
    let error = lowered.observe(&images, &Recipe::default(), &()).unwrap_err().to_string();
    assert!(error.starts_with("az.onnx: its input has 17 channels"), "{error}");
}

fn lowered(name: &str, blocks: Option<usize>) -> Network {
    let graph = zoo_models::build(name, SEED, &small(32, blocks)).unwrap();
    lower(&fold(&graph).unwrap()).unwrap()
}

/// Depth costs no memory: the arena is that of two blocks a stage.
#[test]
fn the_deepest_networks_take_the_arena_of_shallow_ones() {
    for (name, layers) in [("resnet1202", 1205), ("preact-resnet1001", 1338)] {
        let deep = lowered(name, None);
        let started = Instant::now();
        let demand = Demand::new(&deep);
        let arena = demand.arena_bytes;
        tell(&format!("{name}, narrow: arena {arena} B, placed in {:?}", started.elapsed()));
        assert_eq!(deep.layers.len(), layers, "{name}");
        assert_eq!(arena, Demand::new(&lowered(name, Some(2))).arena_bytes, "{name}");
    }
}

/// What a network takes is known from its shapes, and refused as the reader of its file would.
#[test]
fn limits_are_exact_before_there_is_a_file() {
    let demand = Demand::new(&lowered("resnet20", None));
    let Demand { macs, elements, arena_bytes } = demand;
    let limits = Limits::DEFAULT.with_macs(macs).with_elements(elements).with_arena(arena_bytes);
    assert_eq!(demand.check(&limits), Ok(()));
    let (needed, limit) = (macs, macs - 1);
    let refused = demand.check(&limits.with_macs(limit));
    assert_eq!(refused, Err(ModelError::TooMuchWork { needed, limit }));
    let (needed, limit) = (elements, elements - 1);
    let refused = demand.check(&limits.with_elements(limit));
    assert_eq!(refused, Err(ModelError::TooManyElements { needed, limit }));
    let (needed, limit) = (arena_bytes, arena_bytes - 1);
    let refused = demand.check(&limits.with_arena(limit));
    assert_eq!(refused, Err(ModelError::ArenaTooLarge { needed, limit }));
}

/// What is beyond a limit is refused by the check, in the words of what refuses it later.
fn assert_beyond(source: &Source, limits: &Limits) {
    let forecast = source.check(&Default::default(), limits).unwrap();
    let said = forecast.problem.as_ref().map(ToString::to_string);
    let lowered = source.again().unwrap().lower(&Default::default()).unwrap();
    let refused = lowered.check_limits(limits).unwrap_err().to_string();
    assert_eq!((forecast.is_supported(), said), (false, Some(refused)));
    assert!(forecast.partition.is_none(), "a part of it would be no smaller");
}

#[test]
fn the_check_knows_every_limit() {
    let graph = zoo_models::build("resnet8", SEED, &small(32, None)).unwrap();
    let source = Source::parse(Path::new("x.onnx"), &onnx_writer::to_bytes(&graph)).unwrap();
    let Demand { macs, elements, arena_bytes } = Demand::new(&lowered("resnet8", None));
    let limits = Limits::DEFAULT;
    assert_beyond(&source, &limits.with_macs(macs - 1));
    assert_beyond(&source, &limits.with_elements(elements - 1));
    assert_beyond(&source, &limits.with_arena(arena_bytes - 1));
    let exact = limits.with_macs(macs).with_elements(elements).with_arena(arena_bytes);
    assert!(source.check(&Default::default(), &exact).unwrap().is_supported());
}

/// One layer more than a file holds, found before tract or an image is asked.
#[test]
fn more_layers_than_a_file_holds_are_refused_before_anything_runs() {
    let options = ModelOptions {
        input_size: Some(8),
        width_multiplier: 0.05,
        blocks: Some(682),
        ..ModelOptions::default()
    };
    // 2 layers a block, the stem, two strided shortcuts, a pool and the classifier.
    let layers = 3 * 2 * 682 + 5;
    assert_eq!(layers, MAX_RECORDS + 1);
    let graph = zoo_models::build("resnet20", SEED, &options).unwrap();
    let source = Source::parse(Path::new("long.onnx"), &onnx_writer::to_bytes(&graph)).unwrap();
    let forecast = source.check(&Default::default(), &Limits::DEFAULT).unwrap();
    let error = forecast.problem.as_ref().map_or_else(String::new, ToString::to_string);
    let expected = "long.onnx: the network has 4097 layers; a model file holds at most 4096";
    assert_eq!(error, expected);
}

/// A deep network goes through tract in pieces. That they compute what the file computes is verified where
/// it is lowered, with every tensor between layers as an output, and without; each node is timed once.
#[test]
fn a_network_of_many_nodes_is_judged_in_pieces() {
    let options = ModelOptions {
        input_size: Some(8),
        width_multiplier: 0.05,
        blocks: Some(40),
        ..ModelOptions::default()
    };
    let graph = zoo_models::build("preact-resnet20", SEED, &options).unwrap();
    let source = Source::parse(Path::new("deep.onnx"), &onnx_writer::to_bytes(&graph)).unwrap();
    let lowered = source.lower(&Default::default()).unwrap_or_else(|e| panic!("{e}"));
    let nodes = lowered.float.nodes();
    let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), nodes.len());
    let convolutions =
        lowered.network.layers.iter().filter(|layer| layer.macs(&lowered.network) > 0);
    assert!(nodes.len() >= convolutions.count());
    assert_eq!(lowered.float.output_shapes(), [Some(vec![1, 10])]);
    let (_, ticks) = lowered.float.session().run_timed(&mut WallClock::default()).unwrap();
    assert_eq!(ticks.len(), nodes.len());
}
