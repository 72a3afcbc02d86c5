//! The registry as a page of the documentation.

use std::fmt::Write;

use super::{Operator, PARTITION, TABLES};

const HEAD: &str = "\
# ONNX operators

What becomes of each operator of the default domain (`ai.onnx`) in an int8 network, what is asked of it beyond
ONNX, and what to do where it is refused. `fixnet check MODEL.onnx` says it of every node of a network.

This page is made from the registry, `tools/src/import/operators`, and a test holds it equal to it:
`FIXNET_BLESS=1 cargo test -p tools --test operators` writes it anew. \"Since\" is the operator set that has the
operator first; spellings of older sets are read as well. A node whose inputs are all constants is computed at
import where the column \"of constants\" says so. An operator that is not listed has no int8 form. Where nothing else
is said of a refused one, `--partition` leaves it in float before or behind the residual blocks, if tract knows it;
else it must be replaced before the export.
";

/// The text of `docs/operators.md`.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_string();
    for (title, operators) in TABLES {
        let imported = operators.iter().any(Operator::is_imported);
        let heading = match imported {
            true => {
                "| Operator | Since | Becomes | Asks for | Of constants | Where it is refused |\n|---|---|---|---|---|---|"
            }
            false => "| Operator | Since | What to do |\n|---|---|---|",
        };
        // Writing to a string does not fail.
        let _ = writeln!(page, "\n## {title}\n\n{heading}");
        for operator in *operators {
            let Operator { name, since, becomes, asks, advice, on_constants, .. } = operator;
            let advice = if *advice == PARTITION { "" } else { advice };
            let _ = match imported {
                true => {
                    let constant = if on_constants.is_some() { "computed" } else { "" };
                    writeln!(
                        page,
                        "| `{name}` | {since} | {becomes} | {asks} | {constant} | {advice} |"
                    )
                }
                false => writeln!(page, "| `{name}` | {since} | {advice} |"),
            };
        }
    }
    page
}
