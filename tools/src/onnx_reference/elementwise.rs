//! Functions of elements, and of elements of several tensors that are broadcast to one shape.

use super::{Call, Computed, Unknown, floats, strides};
use crate::import::{Data, Tensor};

/// The value of a node; none if its operator is not one of these.
pub(super) fn compute(call: &Call<'_>) -> Option<Computed> {
    if let Some(function) = unary(call) {
        return Some(map(call, function));
    }
    Some(match call.op() {
        "Clip" => clip(call),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Sum" | "Mean" | "PRelu" => {
            several(call)
        }
        _ => return None,
    })
}

fn map(call: &Call<'_>, function: impl Fn(f64) -> f64) -> Computed {
    let (values, shape) = call.floats(0)?;
    let values = values.iter().map(|&value| function(f64::from(value)) as f32).collect();
    Ok(floats(shape.to_vec(), values))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn unary(call: &Call<'_>) -> Option<Box<dyn Fn(f64) -> f64>> {
    let alpha = |default: f32| call.float("alpha", default);
    Some(match call.op() {
        "Relu" => Box::new(|x| x.max(0.0)),
        "Neg" => Box::new(|x| -x),
        "Abs" => Box::new(f64::abs),
        "Sqrt" => Box::new(f64::sqrt),
        "Exp" => Box::new(f64::exp),
        "Log" => Box::new(f64::ln),
        "Reciprocal" => Box::new(f64::recip),
        "Floor" => Box::new(f64::floor),
        "Ceil" => Box::new(f64::ceil),
        "Round" => Box::new(f64::round_ties_even),
        "Sign" => Box::new(|x| if x == 0.0 { 0.0 } else { x.signum() }),
        "Erf" => Box::new(libm::erf),
        "Sin" => Box::new(f64::sin),
        "Cos" => Box::new(f64::cos),
        "Tan" => Box::new(f64::tan),
        "Asin" => Box::new(f64::asin),
        "Acos" => Box::new(f64::acos),
        "Atan" => Box::new(f64::atan),
        "Sinh" => Box::new(f64::sinh),
        "Cosh" => Box::new(f64::cosh),
        "Tanh" => Box::new(f64::tanh),
        "Asinh" => Box::new(f64::asinh),
        "Acosh" => Box::new(f64::acosh),
        "Atanh" => Box::new(f64::atanh),
        "Sigmoid" => Box::new(sigmoid),
        "Softplus" => Box::new(softplus),
        "Softsign" => Box::new(|x| x / (1.0 + x.abs())),
        "Mish" => Box::new(|x| x * softplus(x).tanh()),
        "HardSwish" => Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        "LeakyRelu" => {
            let alpha = alpha(0.01);
            Box::new(move |x| if x < 0.0 { alpha * x } else { x })
        }
        "ThresholdedRelu" => {
            let alpha = alpha(1.0);
            Box::new(move |x| if x > alpha { x } else { 0.0 })
        }
        "Swish" => {
            let alpha = alpha(1.0);
            Box::new(move |x| x * sigmoid(alpha * x))
        }
        "Elu" => {
            let alpha = alpha(1.0);
            Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
        }
        "Celu" => {
            let alpha = alpha(1.0);
            Box::new(move |x| x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0))
        }
        "Selu" => {
            let (alpha, gamma) = (alpha(1.673_263_2), call.float("gamma", 1.050_701));
            Box::new(move |x| gamma * if x < 0.0 { alpha * x.exp_m1() } else { x })
        }
        "HardSigmoid" => {
            let (alpha, beta) = (alpha(0.2), call.float("beta", 0.5));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "Gelu" if call.text("approximate") == b"tanh" => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            Box::new(move |x| 0.5 * x * (1.0 + (root * (x + 0.044_715 * x * x * x)).tanh()))
        }
        "Gelu" => Box::new(|x| 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))),
        _ => return None,
    })
}

fn clip(call: &Call<'_>) -> Computed {
    let bound = |index: usize, name: &str, default: f32| match call.optional(index) {
        Some(tensor) => tensor.to_floats().first().copied().map(f64::from).ok_or(Unknown),
        None => Ok(call.float(name, default)),
    };
    let low = bound(1, "min", f32::NEG_INFINITY)?;
    let high = bound(2, "max", f32::INFINITY)?;
    map(call, |x| x.max(low).min(high))
}

/// Operators on several tensors, from the first one on.
fn several(call: &Call<'_>) -> Computed {
    // Older sets name the axis where the second one begins.
    if call.opset < 7 && call.int("broadcast", 0) != 0 {
        return Err(Unknown);
    }
    if call.input(0)?.as_ints().is_some() {
        return integers(call);
    }
    let mut result = call.input(0)?.clone();
    for index in 1..call.inputs.len() {
        let (left, right) = (&result, call.input(index)?);
        call.floats(index)?;
        result = broadcast(left, right, |a, b| match call.op() {
            "Add" | "Sum" | "Mean" => a + b,
            "Sub" => a - b,
            "Mul" => a * b,
            "Div" => a / b,
            "Pow" => a.powf(b),
            "Min" => a.min(b),
            "Max" => a.max(b),
            _ => {
                if a < 0.0 {
                    a * b
                } else {
                    a
                }
            }
        })?;
    }
    if call.op() == "Mean" {
        let count = call.inputs.len() as f32;
        let values = result.to_floats().iter().map(|value| value / count).collect();
        result = floats(result.shape, values);
    }
    Ok(result)
}

/// Two lists of integers, of one length or one of them a single number, as shapes are computed.
fn integers(call: &Call<'_>) -> Computed {
    let (left, right) = (call.input(0)?, call.input(1)?);
    let (a, b) = (left.as_ints().ok_or(Unknown)?, right.as_ints().ok_or(Unknown)?);
    let len = a.len().max(b.len());
    if call.inputs.len() != 2 || ![1, len].contains(&a.len()) || ![1, len].contains(&b.len()) {
        return Err(Unknown);
    }
    let value = |at: usize| {
        let (a, b) = (a[at % a.len().max(1)], b[at % b.len().max(1)]);
        match call.op() {
            "Add" | "Sum" => a.checked_add(b),
            "Sub" => a.checked_sub(b),
            "Mul" => a.checked_mul(b),
            "Div" => a.checked_div(b),
            "Min" => Some(a.min(b)),
            "Max" => Some(a.max(b)),
            _ => None,
        }
    };
    let values = (0..len).map(value).collect::<Option<Vec<_>>>().ok_or(Unknown)?;
    let shape = if left.shape.len() > right.shape.len() || a.len() > b.len() {
        &left.shape
    } else {
        &right.shape
    };
    Ok(Tensor { shape: shape.clone(), data: Data::Int(values) })
}

/// Both tensors aligned at their last axes; those of one element are repeated.
pub(super) fn broadcast(
    left: &Tensor,
    right: &Tensor,
    function: impl Fn(f64, f64) -> f64,
) -> Computed {
    if left.as_ints().is_some() || right.as_ints().is_some() {
        return Err(Unknown);
    }
    let rank = left.shape.len().max(right.shape.len());
    let widened = |tensor: &Tensor| {
        let mut shape = vec![1; rank - tensor.shape.len()];
        shape.extend(&tensor.shape);
        shape
    };
    let shapes = [widened(left), widened(right)];
    let mut shape = Vec::with_capacity(rank);
    for (&a, &b) in shapes[0].iter().zip(&shapes[1]) {
        if a != b && a != 1 && b != 1 {
            return Err(Unknown);
        }
        shape.push(a.max(b));
    }
    let steps = shapes.map(|own| {
        let strides = strides(&own);
        own.iter()
            .zip(strides)
            .map(|(&size, stride)| if size == 1 { 0 } else { stride })
            .collect::<Vec<_>>()
    });
    let (left, right) = (left.to_floats(), right.to_floats());
    let own = strides(&shape);
    let value = |at: usize| {
        let (mut a, mut b) = (0, 0);
        for axis in 0..rank {
            let index = at / own[axis] % shape[axis];
            a += index * steps[0][axis];
            b += index * steps[1][axis];
        }
        function(f64::from(left[a]), f64::from(right[b])) as f32
    };
    let values = (0..shape.iter().product()).map(value).collect();
    Ok(floats(shape, values))
}
