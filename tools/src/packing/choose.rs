//! The cheapest choice of one option a layer within a budget of bytes: a knapsack of groups.

use fixnet::format::WeightLayout;

/// Budgets are divided into so many parts at least, to which bytes are rounded up: what is chosen fits,
/// and comes that close to the best.
const PARTS: u64 = 1 << 13;

/// One layer's weights in one layout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub layout: WeightLayout,
    pub bytes: u64,
    pub cost: f64,
}

/// A choice for the first layers, better than all others of as many bytes or fewer.
#[derive(Debug, Clone)]
struct State {
    parts: u64,
    cost: f64,
    /// Candidate of each layer.
    chosen: Vec<u16>,
}

/// The cheapest options, one a layer, within `budget` bytes; the smallest ones if none fit.
pub(super) fn choose(layers: &[&[Candidate]], budget: Option<u64>) -> Vec<Candidate> {
    let cheapest = |options: &&[Candidate]| {
        let by_cost =
            |a: &&Candidate, b: &&Candidate| a.cost.total_cmp(&b.cost).then(a.bytes.cmp(&b.bytes));
        options.iter().min_by(by_cost).copied()
    };
    let smallest = |options: &&[Candidate]| options.iter().min_by_key(|o| o.bytes).copied();
    let Some(budget) = budget else { return layers.iter().filter_map(cheapest).collect() };
    let unlimited: Vec<Candidate> = layers.iter().filter_map(cheapest).collect();
    if unlimited.iter().map(|o| o.bytes).sum::<u64>() <= budget {
        return unlimited;
    }
    match within(layers, budget) {
        Some(state) => {
            let options = layers.iter().zip(&state.chosen);
            options.filter_map(|(layer, &at)| layer.get(usize::from(at)).copied()).collect()
        }
        None => layers.iter().filter_map(smallest).collect(),
    }
}

/// The cheapest state within the budget.
fn within(layers: &[&[Candidate]], budget: u64) -> Option<State> {
    let part = (budget / PARTS).max(1);
    let limit = budget / part;
    let mut states = vec![State { parts: 0, cost: 0.0, chosen: Vec::new() }];
    for options in layers {
        let mut next: Vec<State> = Vec::new();
        for state in &states {
            for (at, option) in options.iter().enumerate() {
                let parts = state.parts + option.bytes.div_ceil(part);
                if parts > limit {
                    continue;
                }
                let mut chosen = state.chosen.clone();
                chosen.push(at as u16);
                next.push(State { parts, cost: state.cost + option.cost, chosen });
            }
        }
        states = undominated(next);
    }
    states.into_iter().min_by(|a, b| a.cost.total_cmp(&b.cost))
}

/// States for which no other one is both smaller and cheaper.
fn undominated(mut states: Vec<State>) -> Vec<State> {
    states.sort_by(|a, b| a.parts.cmp(&b.parts).then(a.cost.total_cmp(&b.cost)));
    let mut best = f64::INFINITY;
    states.retain(|state| {
        let better = state.cost < best;
        best = best.min(state.cost);
        better
    });
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn option(bytes: u64, cost: f64) -> Candidate {
        Candidate { layout: WeightLayout::Ohwi, bytes, cost }
    }

    fn layer() -> impl Strategy<Value = Vec<Candidate>> {
        prop::collection::vec((1..40u64, 1..100u32), 1..4).prop_map(|options| {
            options.into_iter().map(|(bytes, cost)| option(bytes, cost.into())).collect()
        })
    }

    /// All choices, one by one.
    fn exhaustive(layers: &[Vec<Candidate>], budget: u64) -> Option<f64> {
        let mut sums = vec![(0, 0.0)];
        for layer in layers {
            sums = sums
                .iter()
                .flat_map(|&(bytes, cost)| {
                    layer.iter().map(move |o| (bytes + o.bytes, cost + o.cost))
                })
                .collect();
        }
        sums.into_iter().filter(|s| s.0 <= budget).map(|s| s.1).min_by(f64::total_cmp)
    }

    proptest! {
        #[test]
        fn the_choice_is_the_cheapest_that_fits(
            layers in prop::collection::vec(layer(), 1..6), budget in 0..200u64,
        ) {
            let views: Vec<&[Candidate]> = layers.iter().map(Vec::as_slice).collect();
            let chosen = choose(&views, Some(budget));
            prop_assert_eq!(chosen.len(), layers.len());
            let cost: f64 = chosen.iter().map(|o| o.cost).sum();
            let bytes: u64 = chosen.iter().map(|o| o.bytes).sum();
            match exhaustive(&layers, budget) {
                Some(best) => {
                    prop_assert!(bytes <= budget);
                    prop_assert_eq!(cost, best);
                }
                None => {
                    let least: u64 = layers.iter().flat_map(|l| l.iter().map(|o| o.bytes).min()).sum();
                    prop_assert_eq!(bytes, least);
                }
            }
        }
    }

    #[test]
    fn without_a_budget_every_layer_gets_its_cheapest() {
        let layer = [option(10, 3.0), option(80, 1.0), option(20, 1.0)];
        assert_eq!(choose(&[&layer], None), [option(20, 1.0)]);
    }
}
