//! What came of all networks together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::folder;
use crate::generator::Network;
use crate::generator::features::{self, Feature};
use crate::judge::{Fault, Outcome};

/// Networks of a run that must be accepted, of a hundred: the proof is about these.
const MIN_ACCEPTED: usize = 60;
/// Accepted networks that the oracle may be unable to run, of a hundred.
const MAX_UNJUDGED: usize = 10;
/// Networks from which on every feature must be among those that agree.
const ENOUGH_FOR_ALL: usize = 2000;
/// Lines printed of each list.
const SHOWN: usize = 20;

#[derive(Default)]
pub struct Tally {
    graphs: usize,
    whole: usize,
    split: usize,
    fallback: BTreeMap<String, usize>,
    refused: BTreeMap<String, usize>,
    unjudged: BTreeMap<String, usize>,
    wrong: Vec<(u64, Fault, BTreeSet<Feature>)>,
    /// Features of networks that agree, with how many.
    agreeing: BTreeMap<Feature, usize>,
}

impl Tally {
    /// Counts one network; that of a broken promise is kept.
    pub fn count(&mut self, network: &Network, outcome: Outcome, made_in: &Path) {
        self.graphs += 1;
        match outcome {
            Outcome::Agrees { split } => {
                *if split { &mut self.split } else { &mut self.whole } += 1;
                network.features.iter().for_each(|f| *self.agreeing.entry(*f).or_insert(0) += 1);
            }
            Outcome::Fallback { why } => {
                *self.fallback.entry(reason(&why, made_in)).or_insert(0) += 1
            }
            Outcome::Refused { why } => {
                *self.refused.entry(reason(&why, made_in)).or_insert(0) += 1
            }
            Outcome::Unjudged { why } => {
                *self.unjudged.entry(reason(&why, made_in)).or_insert(0) += 1;
            }
            Outcome::Wrong(fault) => {
                let kept = folder();
                let file = kept.join(format!("seed-{}.onnx", network.seed));
                let copied = std::fs::create_dir_all(&kept)
                    .and_then(|()| std::fs::copy(made_in.join("graph.onnx"), file));
                copied.expect("a writable folder");
                self.wrong.push((network.seed, fault, network.features.clone()));
            }
        }
    }

    pub fn add(&mut self, other: Self) {
        self.graphs += other.graphs;
        self.whole += other.whole;
        self.split += other.split;
        self.wrong.extend(other.wrong);
        let sum = |into: &mut BTreeMap<String, usize>, from: BTreeMap<String, usize>| {
            from.into_iter().for_each(|(key, count)| *into.entry(key).or_insert(0) += count);
        };
        sum(&mut self.fallback, other.fallback);
        sum(&mut self.refused, other.refused);
        sum(&mut self.unjudged, other.unjudged);
        for (feature, count) in other.agreeing {
            *self.agreeing.entry(feature).or_insert(0) += count;
        }
    }

    pub fn assert(&self) {
        assert!(
            self.wrong.is_empty(),
            "{} of {} random networks break a promise; their files are in {}",
            self.wrong.len(),
            self.graphs,
            folder().display()
        );
        let agreeing = self.whole + self.split;
        let unjudged: usize = self.unjudged.values().sum();
        assert!(
            unjudged * 100 <= (agreeing + unjudged) * MAX_UNJUDGED,
            "the oracle cannot run {unjudged} of {} accepted networks",
            agreeing + unjudged
        );
        assert!(
            self.graphs < 100 || (agreeing + unjudged) * 100 >= self.graphs * MIN_ACCEPTED,
            "only {} of {} networks are accepted",
            agreeing + unjudged,
            self.graphs
        );
        let expected = |f: &Feature| !features::is_waiting(*f) && !features::REFUSED.contains(f);
        let missing = |f: &&Feature| expected(f) && !self.agreeing.contains_key(f);
        let missing: Vec<_> = features::ALL.iter().filter(missing).collect();
        assert!(
            self.graphs < ENOUGH_FOR_ALL || missing.is_empty(),
            "no network that agrees has {missing:?}"
        );
    }
}

/// A reason without what is different in each network: file, names and numbers.
fn reason(text: &str, made_in: &Path) -> String {
    let text = text.replace(&made_in.display().to_string(), "");
    let mut quoted = false;
    let mut kept = String::new();
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                kept.push(c);
            }
            _ if quoted => {}
            '0'..='9' => {
                if !kept.ends_with('#') {
                    kept.push('#');
                }
            }
            c => kept.push(c),
        }
    }
    kept.chars().take(160).collect()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fallback: usize = self.fallback.values().sum();
        let refused: usize = self.refused.values().sum();
        let unjudged: usize = self.unjudged.values().sum();
        writeln!(
            f,
            "{} random networks: {} agree in int8, {} split, {fallback} in float alone, {} wrong, \
             {refused} refused, {unjudged} not run by the oracle",
            self.graphs,
            self.whole,
            self.split,
            self.wrong.len(),
        )?;
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        self.wrong.iter().for_each(|(_, fault, _)| *kinds.entry(fault.kind).or_insert(0) += 1);
        kinds.iter().try_for_each(|(kind, count)| writeln!(f, "  wrong: {count} x {kind}"))?;
        for (seed, fault, features) in self.wrong.iter().take(SHOWN) {
            writeln!(f, "  seed {seed}: {}: {:.600} {features:?}", fault.kind, fault.facts)?;
        }
        let mut list = |what: &str, reasons: &BTreeMap<String, usize>| {
            let mut reasons: Vec<_> = reasons.iter().collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            reasons.iter().take(SHOWN).try_for_each(|(why, n)| writeln!(f, "  {what}: {n} x {why}"))
        };
        list("float alone", &self.fallback)?;
        list("refused", &self.refused)?;
        list("not run", &self.unjudged)?;
        writeln!(f, "  features of those that agree: {:?}", self.agreeing)
    }
}
