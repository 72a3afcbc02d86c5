//! The standing proof: whatever `quantize` accepts of random networks agrees with an oracle that
//! shares no code with the importer or tract, and whatever it refuses `check` refuses, too.
//!
//! `FIXNET_GRAPHS` sets the number of networks (default 200), `FIXNET_GRAPH_SEED` the first seed, so
//! that `FIXNET_GRAPH_SEED=17 FIXNET_GRAPHS=1` takes that one alone. docs/testing.md says more.

#[path = "../common/mod.rs"]
mod common;
mod found;
mod generator;
mod int8;
mod judge;
mod oracle;
mod rten_dialect;
mod tally;
mod wire;

use std::path::{Path, PathBuf};

use generator::Network;
use judge::judge;
use oracle::Oracle;
use rayon::prelude::*;
use tally::Tally;

const DEFAULT_GRAPHS: u64 = 200;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("random-graphs")
}

#[test]
fn whatever_is_accepted_agrees_with_an_oracle() {
    let first = number("FIXNET_GRAPH_SEED", 0);
    let seeds = first..first + number("FIXNET_GRAPHS", DEFAULT_GRAPHS);
    // A few to a task: each has an oracle of its own.
    let tasks: Vec<Vec<u64>> = {
        let seeds: Vec<u64> = seeds.collect();
        let share = seeds.len().div_ceil(2 * rayon::current_num_threads()).max(1);
        seeds.chunks(share).map(<[u64]>::to_vec).collect()
    };
    let tallies: Vec<Tally> = tasks.into_par_iter().map(|seeds| judged(&seeds)).collect();
    let mut total = Tally::default();
    tallies.into_iter().for_each(|tally| total.add(tally));
    println!("{total}");
    total.assert();
}

fn judged(seeds: &[u64]) -> Tally {
    let mut oracle = Oracle::start();
    let mut tally = Tally::default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    for &seed in seeds {
        let network = Network::generate(seed);
        let outcome = judge(&network, &mut oracle, folder.path());
        tally.count(&network, outcome, folder.path());
    }
    tally
}
