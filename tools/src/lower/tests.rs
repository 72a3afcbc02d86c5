use super::*;
use crate::graph::{Conv, GraphOutput, InputLayout, Node, Op, Value, ValueId};

/// A 3x3 convolution of `channels` to `channels`.
fn conv(channels: usize) -> Op {
    Op::Conv(Conv {
        weight: (0..channels * channels * 9).map(|i| i as f32).collect(),
        bias: None,
        out_channels: channels,
        group_channels: channels,
        kernel: [3, 3],
        strides: [1, 1],
        pads: [1; 4],
        dilations: [1, 1],
        groups: 1,
    })
}

fn graph(nodes: Vec<(&str, Op, Vec<ValueId>)>, output_shape: Vec<usize>) -> Graph {
    let count = nodes.len();
    let mut values = vec![Value { name: "input".into(), shape: vec![3, 4, 4] }; count + 1];
    let mut graph = Graph {
        values: Vec::new(),
        nodes: Vec::new(),
        input: 0,
        input_layout: InputLayout::Nchw,
        outputs: vec![GraphOutput::scores(count)],
    };
    for (i, (name, op, inputs)) in nodes.into_iter().enumerate() {
        values[i + 1].name = format!("{name}_out");
        graph.nodes.push(Node { name: name.into(), op, inputs, output: i + 1 });
    }
    values[count].shape = output_shape;
    graph.values = values;
    graph
}

const RELU: Op = Op::Clip { min: 0.0, max: f32::INFINITY };

#[test]
fn a_residual_block_is_two_layers_and_the_deeper_convolution_takes_the_addition() {
    let g = graph(
        vec![
            ("conv1", conv(3), vec![0]),
            ("relu1", RELU, vec![1]),
            ("conv2", conv(3), vec![2]),
            ("down", conv(3), vec![0]),
            ("add", Op::Add, vec![3, 4]),
            ("relu2", RELU, vec![5]),
            ("gap", Op::GlobalAveragePool, vec![6]),
        ],
        vec![3],
    );
    let network = lower(&g).unwrap();
    let names: Vec<_> = network.layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["conv1", "down", "conv2", "gap", "logits"]);
    let block = &network.layers[2];
    assert_eq!(block.clip, (0.0, f32::INFINITY));
    assert_eq!(block.operand, Some(network.layers[1].output));
    assert_eq!(network.tensors[block.output].name, "relu2_out");
}

#[test]
fn a_value_that_is_read_twice_is_not_fused_away() {
    let g = graph(
        vec![
            ("conv1", conv(3), vec![0]),
            ("add", Op::Add, vec![1, 1]),
            ("gap", Op::GlobalAveragePool, vec![2]),
        ],
        vec![3],
    );
    let network = lower(&g).unwrap();
    assert_eq!(network.layers[1].kind, Kind::Add);
    assert_eq!(network.layers[1].input, network.layers[0].output);
    assert_eq!(network.layers[1].operand, Some(network.layers[0].output));
}

#[test]
fn a_gemm_over_a_map_reads_its_columns_in_hwc_order() {
    let weight: Vec<f32> = (0..48).map(|i| i as f32).collect();
    let gemm = Op::Gemm { weight, bias: None, outputs: 1, inputs: 48 };
    let g = graph(vec![("flat", Op::Flatten, vec![0]), ("fc", gemm, vec![1])], vec![1]);
    let network = lower(&g).unwrap();
    let Kind::Logits { weights, .. } = &network.layers[0].kind else { panic!() };
    // Position (y 0, x 1, channel 2) in HWC is column 2 * 16 + 1 in CHW.
    assert_eq!(weights[3 + 2], 33.0);
    assert_eq!(network.layers[0].input, network.input);
}
