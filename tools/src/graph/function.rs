//! Functions of one variable: activation functions, and what a network builds from elementwise operators on
//! one value (`x * sigmoid(x)`, `1 - t`, `sign(x) * max(|x| - a, 0)` for a constant `a`).
//!
//! What may not be broken: a function is evaluated in 64 bits, the same on every machine (the elementary
//! functions are those of the crate `libm`), since tables of a model file are made from it.

/// Most terms of one function: longer ones stay several layers.
const MAX_TERMS: usize = 64;

/// A term of [`Function`]: pushes a value onto a stack, or replaces those on top of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// Pushes the variable.
    X,
    /// Pushes a constant.
    Constant(f32),
    /// Pushes a constant of the channel.
    PerChannel(Vec<f32>),
    Unary(Unary),
    /// Replaces two values, of which the second was pushed last.
    Binary(Binary),
}

/// Elementary functions, named as the operators of ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    Abs,
    Erf,
    Exp,
    Log,
    Reciprocal,
    Sigmoid,
    Sign,
    Softplus,
    Sqrt,
    Tanh,
}

/// Operations on two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Min,
    Max,
    Pow,
}

/// A function of one variable in postfix notation; constants may differ between channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    terms: Vec<Term>,
}

impl Function {
    /// The variable itself.
    #[must_use]
    pub fn identity() -> Self {
        Self { terms: vec![Term::X] }
    }

    /// A constant.
    #[must_use]
    pub fn constant(value: f32) -> Self {
        Self { terms: vec![Term::Constant(value)] }
    }

    /// A constant for each channel; one constant where they are all the same.
    #[must_use]
    pub fn per_channel(values: &[f32]) -> Self {
        match values {
            [first, rest @ ..] if rest.iter().all(|v| v == first) => Self::constant(*first),
            _ => Self { terms: vec![Term::PerChannel(values.to_vec())] },
        }
    }

    /// `function` of this one.
    #[must_use]
    pub fn then(mut self, function: Unary) -> Self {
        self.terms.push(Term::Unary(function));
        self
    }

    /// This function and another of the same variable, joined by `operation`.
    #[must_use]
    pub fn with(mut self, operation: Binary, other: &Self) -> Self {
        self.terms.extend_from_slice(&other.terms);
        self.terms.push(Term::Binary(operation));
        self
    }

    /// This function of `inner`; none if that has too many terms.
    #[must_use]
    pub fn of(&self, inner: &Self) -> Option<Self> {
        let mut terms = Vec::new();
        for term in &self.terms {
            match term {
                Term::X => terms.extend_from_slice(&inner.terms),
                other => terms.push(other.clone()),
            }
            if terms.len() > MAX_TERMS {
                return None;
            }
        }
        Some(Self { terms })
    }

    /// The terms, in the order in which they are evaluated.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether it is not too long to be one layer.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.terms.len() <= MAX_TERMS
    }

    /// Whether channels have constants of their own.
    #[must_use]
    pub fn is_per_channel(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, Term::PerChannel(_)))
    }

    /// The value at `x`; it may be infinite or not a number.
    #[must_use]
    pub fn evaluate(&self, x: f64, channel: usize) -> f64 {
        let mut stack = Vec::with_capacity(4);
        for term in &self.terms {
            let value = match term {
                Term::X => x,
                Term::Constant(value) => f64::from(*value),
                Term::PerChannel(values) => {
                    values.get(channel).copied().map_or(f64::NAN, f64::from)
                }
                Term::Unary(function) => function.evaluate(stack.pop().unwrap_or(f64::NAN)),
                Term::Binary(operation) => {
                    let right = stack.pop().unwrap_or(f64::NAN);
                    operation.evaluate(stack.pop().unwrap_or(f64::NAN), right)
                }
            };
            stack.push(value);
        }
        stack.pop().unwrap_or(f64::NAN)
    }
}

impl Unary {
    fn evaluate(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Erf => libm::erf(x),
            Self::Exp => libm::exp(x),
            Self::Log => libm::log(x),
            Self::Reciprocal => x.recip(),
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Self::Sign if x == 0.0 => 0.0,
            Self::Sign => x.signum(),
            // Without overflow for large arguments.
            Self::Softplus => x.max(0.0) + libm::log1p(libm::exp(-x.abs())),
            Self::Sqrt => x.sqrt(),
            Self::Tanh => libm::tanh(x),
        }
    }

    /// The name of the ONNX operator.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abs => "Abs",
            Self::Erf => "Erf",
            Self::Exp => "Exp",
            Self::Log => "Log",
            Self::Reciprocal => "Reciprocal",
            Self::Sigmoid => "Sigmoid",
            Self::Sign => "Sign",
            Self::Softplus => "Softplus",
            Self::Sqrt => "Sqrt",
            Self::Tanh => "Tanh",
        }
    }
}

impl Binary {
    fn evaluate(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Sub => left - right,
            Self::Mul => left * right,
            Self::Min => left.min(right),
            Self::Max => left.max(right),
            Self::Pow => libm::pow(left, right),
        }
    }

    /// The name of the ONNX operator.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Sub => "Sub",
            Self::Mul => "Mul",
            Self::Min => "Min",
            Self::Max => "Max",
            Self::Pow => "Pow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x * sigmoid(x)`.
    fn silu() -> Function {
        Function::identity().with(Binary::Mul, &Function::identity().then(Unary::Sigmoid))
    }

    #[test]
    fn functions_have_their_textbook_values() {
        let at = |function: &Function, x: f64| function.evaluate(x, 0);
        assert!((at(&silu(), 1.0) - 0.731_058_578_630_004_9).abs() < 1e-15);
        let of = |function: Unary| Function::identity().then(function);
        let values = [
            (Unary::Abs, -2.5, 2.5),
            (Unary::Erf, 0.5, 0.520_499_877_813_046_5),
            (Unary::Exp, 1.0, core::f64::consts::E),
            (Unary::Log, core::f64::consts::E, 1.0),
            (Unary::Reciprocal, 4.0, 0.25),
            (Unary::Sigmoid, -3.0, 0.047_425_873_177_566_78),
            (Unary::Sign, -7.0, -1.0),
            (Unary::Sign, 0.0, 0.0),
            (Unary::Softplus, 1.0, 1.313_261_687_518_222_8),
            (Unary::Softplus, 1000.0, 1000.0),
            (Unary::Sqrt, 2.25, 1.5),
            (Unary::Tanh, 0.5, 0.462_117_157_260_009_75),
        ];
        for (function, x, value) in values {
            let got = at(&of(function), x);
            assert!((got - value).abs() < 1e-14, "{function:?}({x}) = {got}");
        }
        let cube = Function::identity().with(Binary::Pow, &Function::constant(3.0));
        assert_eq!(at(&cube, -2.0), -8.0);
        let hinge = Function::identity()
            .with(Binary::Sub, &Function::constant(1.0))
            .with(Binary::Max, &Function::constant(0.0))
            .with(Binary::Min, &Function::constant(2.0));
        assert_eq!([0.0, 1.5, 9.0].map(|x| at(&hinge, x)), [0.0, 0.5, 2.0]);
    }

    #[test]
    fn functions_of_functions_are_composed_and_do_not_grow_without_end() {
        let negated = Function::constant(0.0).with(Binary::Sub, &Function::identity());
        let composed = silu().of(&negated).unwrap();
        assert_eq!(composed.evaluate(2.0, 0), silu().evaluate(-2.0, 0));
        let mut long = silu();
        while let Some(longer) = silu().of(&long) {
            long = longer;
        }
        assert!(long.is_short() && long.terms().len() > MAX_TERMS / 4);
    }

    #[test]
    fn a_constant_for_each_channel_is_one_where_they_agree() {
        assert!(!Function::per_channel(&[0.25; 3]).is_per_channel());
        let slopes = Function::per_channel(&[0.25, 0.5]);
        assert!(slopes.is_per_channel());
        assert_eq!([0, 1].map(|channel| slopes.evaluate(0.0, channel)), [0.25, 0.5]);
        assert!(slopes.evaluate(0.0, 2).is_nan());
    }
}
