//! Operators at the ends of a network, which are taken off the plan and told of the output.

use super::Import::Translate;
use super::{End, Operator};

const OFF: &str = "nothing: taken off the end, and applied where the output is read";
const ALL: &str = "at the end, over all values of a vector";
const LAST: &str = "export the network without what comes behind its scores";

pub(super) const TABLE: &[Operator] = &[
    Operator {
        asks: "at the end, over all scores",
        advice: "export the network without it, or with it over the scores alone, as its last node",
        end: End::Softmax,
        ..Operator::new("Softmax", 1, "nothing: taken off the end", Translate(|i, n| i.softmax(n)))
    },
    Operator {
        asks: "at the end, over all scores",
        advice: "export the network without it, or with it over the scores alone, as its last node",
        end: End::Softmax,
        ..Operator::new(
            "LogSoftmax",
            1,
            "nothing: taken off the end",
            Translate(|i, n| i.softmax(n)),
        )
    },
    Operator { end: End::NoScores, ..end("ArgMax", 1, Translate(|i, n| i.arg_max(n))) },
    Operator { end: End::NoScores, ..end("TopK", 1, Translate(|i, n| i.top_k(n))) },
    end("LpNormalization", 1, Translate(|i, n| i.lp_normalization(n))),
    Operator {
        asks: "at the end, over all values of a vector, which are divided by it",
        ..end("ReduceL2", 1, Translate(|i, n| i.reduce_l2(n)))
    },
];

const fn end(name: &'static str, since: i64, import: super::Import) -> Operator {
    Operator { asks: ALL, advice: LAST, ..Operator::new(name, since, OFF, import) }
}
