//! Writes nodes and constants in the spellings that exporters use: one operator has several, by
//! operator set and by chance.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use tract_onnx::pb::{TensorProto, ValueInfoProto};

use super::dice::Dice;
use super::features::{Feature, is_waiting};
use crate::common::onnx::{self, info, int};

/// A tensor of the network in the making: a feature map with a batch of 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    pub name: String,
    pub channels: usize,
    pub size: [usize; 2],
}

impl Map {
    pub fn elements(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }
}

pub struct Builder {
    pub dice: Dice,
    pub opset: i64,
    pub features: BTreeSet<Feature>,
    /// Padding of windows that the file leaves to be computed, by the node's output.
    pub implicit_pads: HashMap<String, [i64; 4]>,
    /// The outputs of earlier blocks.
    pub maps: Vec<Map>,
    graph: GraphProto,
    ir_version: i64,
    style: Style,
    count: usize,
    /// Weights that a later node of the same shape may read again.
    shared: HashMap<Vec<usize>, String>,
}

/// How tensors and nodes are named.
#[derive(Debug, Clone, Copy)]
enum Style {
    Numbers,
    Paths,
    NamelessNodes,
}

impl Builder {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let opset = dice.range(7, 22) as i64;
        // The IR version that came with the operator set: the oldest that may hold it.
        let ir_version = match opset {
            7 | 8 => 3,
            9 => 4,
            10 => 5,
            11 => 6,
            12..=14 => 7,
            15..=18 => 8,
            19 | 20 => 9,
            _ => 10,
        };
        let style = dice.pick(&[Style::Numbers, Style::Paths, Style::NamelessNodes]);
        let graph = GraphProto { name: "random".into(), ..GraphProto::default() };
        let (features, shared) = (BTreeSet::new(), HashMap::new());
        Self {
            dice,
            opset,
            features,
            implicit_pads: HashMap::new(),
            maps: Vec::new(),
            graph,
            ir_version,
            style,
            count: 0,
            shared,
        }
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        &mut self.graph
    }

    pub fn finish(mut self) -> (ModelProto, BTreeSet<Feature>) {
        if self.ir_version < 4 {
            // Before IR version 4 initializers are inputs with a default.
            let declare = |tensor: &TensorProto| {
                let mut input = info(&tensor.name, &tensor.dims);
                set_type(&mut input, tensor.data_type);
                input
            };
            let weights: Vec<ValueInfoProto> = self.graph.initializer.iter().map(declare).collect();
            self.graph.input.extend(weights);
        }
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: self.opset }];
        let proto = ModelProto {
            ir_version: self.ir_version,
            opset_import,
            graph: Some(self.graph),
            ..Default::default()
        };
        (proto, self.features)
    }

    /// Rolls the dice for a feature that is not on the list of those that wait.
    pub fn may(&mut self, feature: Feature, percent: usize) -> bool {
        let rolled = self.dice.chance(percent) && !is_waiting(feature);
        if rolled {
            self.features.insert(feature);
        }
        rolled
    }

    /// Notes a feature that a node has anyway.
    pub fn note(&mut self, feature: Feature) {
        self.features.insert(feature);
    }

    pub fn fresh(&mut self, stem: &str) -> String {
        self.count += 1;
        match self.style {
            Style::Numbers => format!("{}", self.count),
            Style::Paths => format!("/layer{}/{stem}/{stem}_output_0", self.count),
            Style::NamelessNodes => format!("{stem}_{}:0", self.count),
        }
    }

    /// Adds a node; gives the name of its output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh(op);
        let name = match self.style {
            Style::Numbers => format!("{op}_{}", self.count),
            Style::Paths => format!("/layer{}/{op}", self.count),
            Style::NamelessNodes => String::new(),
        };
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name,
            input: inputs.iter().map(|s| s.to_string()).collect(),
            output: vec![output.clone()],
            attribute: attributes,
            ..Default::default()
        });
        output
    }

    /// The node that was added last.
    pub fn last_node(&mut self) -> &mut NodeProto {
        self.graph.node.last_mut().expect("a node was added")
    }

    /// A node whose output is a map of the shape of `x`.
    pub fn same(
        &mut self,
        op: &str,
        x: &Map,
        more: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Map {
        let mut inputs = vec![x.name.as_str()];
        inputs.extend(more);
        let name = self.node(op, &inputs, attributes);
        Map { name, ..x.clone() }
    }

    /// Weights: sometimes those of an earlier node of the same shape.
    pub fn weights(&mut self, dims: &[usize], deviation: f32) -> String {
        if let Some(name) = self.shared.get(dims).cloned()
            && self.may(Feature::SharedWeights, 50)
        {
            return name;
        }
        let values = self.dice.normals(dims.iter().product(), deviation);
        let name = self.floats(dims, values);
        self.shared.insert(dims.to_vec(), name.clone());
        name
    }

    pub fn floats(&mut self, dims: &[usize], values: Vec<f32>) -> String {
        let raw = self.dice.chance(50);
        let mut tensor = self.tensor(DataType::Float, dims);
        if raw {
            tensor.raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        } else {
            tensor.float_data = values;
        }
        self.constant(tensor)
    }

    /// Floats of another width, cast to f32.
    pub fn cast_floats(&mut self, dims: &[usize], values: Vec<f32>) -> String {
        // rten reads no halves.
        let half = self.dice.chance(20);
        let mut tensor = self.tensor(if half { DataType::Float16 } else { DataType::Double }, dims);
        tensor.raw_data = match half {
            true => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
            false => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
        };
        let wide = self.constant(tensor);
        self.node("Cast", &[&wide], vec![int("to", 1)])
    }

    /// A list of integers, sometimes one that is computed.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let small = |v: &i64| (-100..100).contains(v);
        if values.len() > 1 && values.iter().all(small) && self.may(Feature::ShapeConstants, 6) {
            return self.computed_ints(values);
        }
        self.int_tensor(&[values.len()], values)
    }

    /// `values` as what nodes make of constants.
    fn computed_ints(&mut self, values: &[i64]) -> String {
        match self.dice.range(0, 4) {
            0 => {
                let (head, tail) = values.split_at(1);
                let (head, tail) =
                    (self.int_tensor(&[1], head), self.int_tensor(&[tail.len()], tail));
                self.node("Concat", &[&head, &tail], vec![int("axis", 0)])
            }
            1 => {
                let less: Vec<i64> = values.iter().map(|v| v - 3).collect();
                let less = self.int_tensor(&[less.len()], &less);
                let three = self.int_tensor(&[1], &[3]);
                self.node("Add", &[&less, &three], Vec::new())
            }
            2 => {
                let doubled: Vec<i64> = values.iter().map(|v| v * 2).collect();
                let doubled = self.int_tensor(&[doubled.len()], &doubled);
                let two = self.int(2);
                self.node("Div", &[&doubled, &two], Vec::new())
            }
            3 => {
                let mut more = vec![7];
                more.extend(values);
                more.push(9);
                let more = self.int_tensor(&[more.len()], &more);
                let (mut inputs, mut attributes) = (vec![more], Vec::new());
                self.list_of_one(10, "starts", 1, &mut inputs, &mut attributes);
                self.list_of_one(10, "ends", -1, &mut inputs, &mut attributes);
                self.list_of_one(10, "axes", 0, &mut inputs, &mut attributes);
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                self.node("Slice", &inputs, attributes)
            }
            _ => {
                let order: Vec<i64> = (0..values.len() as i64).rev().collect();
                let reversed: Vec<i64> = values.iter().rev().copied().collect();
                let reversed = self.int_tensor(&[reversed.len()], &reversed);
                let order = self.int_tensor(&[order.len()], &order);
                self.node("Gather", &[&reversed, &order], vec![int("axis", 0)])
            }
        }
    }

    /// As [`Builder::list`], of one integer that is not computed itself.
    fn list_of_one(
        &mut self,
        since: i64,
        name: &str,
        value: i64,
        inputs: &mut Vec<String>,
        attributes: &mut Vec<AttributeProto>,
    ) {
        if self.opset < since {
            attributes.push(onnx::ints(name, &[value]));
        } else {
            inputs.push(self.int_tensor(&[1], &[value]));
        }
    }

    /// A scalar: a tensor without dimensions.
    pub fn int(&mut self, value: i64) -> String {
        self.int_tensor(&[], &[value])
    }

    fn int_tensor(&mut self, dims: &[usize], values: &[i64]) -> String {
        let raw = self.dice.chance(50);
        let mut tensor = self.tensor(DataType::Int64, dims);
        if raw {
            tensor.raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        } else {
            tensor.int64_data = values.to_vec();
        }
        self.constant(tensor)
    }

    fn tensor(&mut self, element: DataType, dims: &[usize]) -> TensorProto {
        TensorProto {
            name: self.fresh("weight"),
            data_type: element as i32,
            dims: dims.iter().map(|&d| d as i64).collect(),
            ..Default::default()
        }
    }

    /// `tensor` as an initializer, or as a node.
    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        if self.may(Feature::ConstantNodes, 20) {
            let value = TensorProto { name: String::new(), ..tensor };
            return self.node("Constant", &[], vec![onnx::tensor("value", value)]);
        }
        self.graph.initializer.push(tensor);
        if self.may(Feature::IdentityOfWeights, 3) {
            return self.node("Identity", &[&name], Vec::new());
        }
        name
    }

    /// A list of integers: an attribute before operator set `since`, an input from there on.
    pub fn list(
        &mut self,
        since: i64,
        name: &str,
        values: &[i64],
        inputs: &mut Vec<String>,
        attributes: &mut Vec<AttributeProto>,
    ) {
        if self.opset < since {
            attributes.push(onnx::ints(name, values));
        } else {
            inputs.push(self.ints(values));
        }
    }
}

fn set_type(input: &mut ValueInfoProto, element: i32) {
    use tract_onnx::pb::type_proto::Value::TensorType;
    if let Some(TensorType(tensor)) = input.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        tensor.elem_type = element;
    }
}

/// `axis` of a tensor of `rank`, sometimes counted from the end.
pub fn signed_axis(dice: &mut Dice, axis: usize, rank: usize) -> i64 {
    if dice.chance(30) { axis as i64 - rank as i64 } else { axis as i64 }
}

/// An attribute that is left out where it has its default value, or written.
pub fn optional_int(dice: &mut Dice, name: &str, value: i64, default: i64) -> Vec<AttributeProto> {
    let written = value != default || dice.chance(50);
    written.then(|| int(name, value)).into_iter().collect()
}
