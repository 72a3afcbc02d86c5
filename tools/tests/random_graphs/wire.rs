//! ONNX files as exporters write them: lists of integers and floats that are not packed, as the
//! schema of ONNX has it. prost packs them, which rten does not read.

/// Fields of a message that need a change.
struct Schema {
    /// Lists whose elements are written one by one: their number and the width of an element, 0 for
    /// a varint.
    lists: &'static [(u64, usize)],
    /// Messages inside.
    messages: &'static [(u64, &'static Schema)],
}

const MODEL: Schema = Schema { lists: &[], messages: &[(7, &GRAPH)] };
const GRAPH: Schema = Schema { lists: &[], messages: &[(1, &NODE), (5, &TENSOR)] };
const NODE: Schema = Schema { lists: &[], messages: &[(5, &ATTRIBUTE)] };
const ATTRIBUTE: Schema = Schema { lists: &[(7, 4), (8, 0)], messages: &[(5, &TENSOR)] };
const TENSOR: Schema = Schema { lists: &[(1, 0)], messages: &[] };

/// The bytes of a model, as prost encodes it, with its lists unpacked.
pub fn unpacked(model: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(model.len());
    rewrite(model, &MODEL, &mut out);
    out
}

fn rewrite(mut from: &[u8], schema: &Schema, out: &mut Vec<u8>) {
    while !from.is_empty() {
        let key = varint(&mut from);
        let (field, wire) = (key >> 3, key & 7);
        match wire {
            0 => {
                put(out, key);
                put(out, varint(&mut from));
            }
            1 => copy(&mut from, key, 8, out),
            5 => copy(&mut from, key, 4, out),
            _ => {
                let len = varint(&mut from) as usize;
                let (content, rest) = from.split_at(len);
                from = rest;
                bytes(content, field, key, schema, out);
            }
        }
    }
}

/// A field of bytes: a list, a message, or whatever else.
fn bytes(content: &[u8], field: u64, key: u64, schema: &Schema, out: &mut Vec<u8>) {
    if let Some((_, width)) = schema.lists.iter().find(|(number, _)| *number == field) {
        let mut list = content;
        while !list.is_empty() {
            put(out, field << 3 | if *width == 4 { 5 } else { 0 });
            if *width == 4 {
                out.extend(list.split_off(..4).expect("whole elements"));
            } else {
                put(out, varint(&mut list));
            }
        }
        return;
    }
    let mut inner = Vec::new();
    let content = match schema.messages.iter().find(|(number, _)| *number == field) {
        Some((_, schema)) => {
            rewrite(content, schema, &mut inner);
            &inner
        }
        None => content,
    };
    put(out, key);
    put(out, content.len() as u64);
    out.extend(content);
}

fn copy(from: &mut &[u8], key: u64, width: usize, out: &mut Vec<u8>) {
    put(out, key);
    out.extend(from.split_off(..width).expect("a whole number"));
}

fn varint(from: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *from.split_off_first().expect("a whole number");
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
