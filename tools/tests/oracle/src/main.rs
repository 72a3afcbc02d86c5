//! An oracle for the importer's tests: runs ONNX files with rten, in a process of its own.
//!
//! What may not be broken: it shares no code with the importer or tract, and answers every request
//! with one line.
//!
//! A request is one line of fields between tabs: the ONNX file; a file of little-endian f32, the
//! inputs of one or more images; the shape of one input, `1,3,8,8`; and names of tensors. The answer
//! is `ok` and, for each image, for each tensor, the values between spaces, each tensor behind a tab;
//! or `error` and the reason behind a tab.

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rten::{Model, Value, ValueOrView, ValueView};
use rten_tensor::AsView;

type Failure = Box<dyn std::error::Error>;

fn main() {
    // A panic is an answer like any other.
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let fields: Vec<&str> = line.split('\t').collect();
        let answered = catch_unwind(AssertUnwindSafe(|| answer(&fields)));
        let text = match answered {
            Ok(Ok(tensors)) => format!("ok{tensors}"),
            Ok(Err(error)) => format!("error\t{}", one_line(&error.to_string())),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("");
                format!("error\tpanic: {}", one_line(text))
            }
        };
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn answer(fields: &[&str]) -> Result<String, Failure> {
    let [model, inputs, shape, tensors @ ..] = fields else {
        return Err("a request has at least three fields".into());
    };
    let model = Model::load_file(model)?;
    let shape: Vec<usize> = shape.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let bytes = std::fs::read(inputs)?;
    let values: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let input = *model.input_ids().first().ok_or("the model has no input")?;
    let outputs = tensors.iter().map(|name| model.node_id(name)).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    for image in values.chunks_exact(shape.iter().product::<usize>().max(1)) {
        let view = ValueView::from_shape(shape.as_slice(), image)?;
        let results = model.run(vec![(input, ValueOrView::from(view))], &outputs, None)?;
        for result in results {
            text.push('\t');
            text.push_str(&floats(result)?);
        }
    }
    Ok(text)
}

fn floats(value: Value) -> Result<String, Failure> {
    let Value::FloatTensor(tensor) = value else { return Err("an output is not float".into()) };
    Ok(tensor.iter().map(f32::to_string).collect::<Vec<_>>().join(" "))
}
