//! Where each tensor lies in the arena.
//!
//! What may not be broken: two tensors that are alive at the same time never share a byte, but for
//! the residual that an in-place step replaces; offsets are aligned; and the arena's size is exact,
//! the end of the highest tensor.

use std::ops::Range;

use fixnet::format::ALIGNMENT;

/// A tensor to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    pub bytes: usize,
    /// First step that writes it; the input is written before step 0.
    pub first: usize,
    /// Last step that reads it.
    pub last: usize,
    /// The tensor whose place it takes, because the step that writes it works in place.
    pub replaces: Option<usize>,
}

/// Offsets of all tensors and the size of the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub offsets: Vec<usize>,
    pub arena_bytes: usize,
}

/// Tensors that share one place, one after the other.
#[derive(Debug)]
struct Block {
    bytes: usize,
    first: usize,
    last: usize,
    members: Vec<usize>,
}

/// Places the tensors: chains of in-place tensors become one block each, and the blocks are placed
/// greedily, by several orders, of which the smallest arena wins (Pisarchyk and Lee,
/// arXiv:2001.03288, compare such orders).
#[must_use]
pub fn place(tensors: &[Lifetime]) -> Placement {
    let blocks = chain(tensors);
    let mut orders: Vec<Vec<usize>> = Vec::new();
    let by = |key: &dyn Fn(&Block) -> (usize, usize)| {
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.sort_by_key(|&b| (key(&blocks[b]), b));
        order
    };
    orders.push(by(&|b| (usize::MAX - b.bytes, b.first)));
    orders.push(by(&|b| (b.first, usize::MAX - b.bytes)));
    orders.push(by(&|b| (usize::MAX - (b.last - b.first), usize::MAX - b.bytes)));
    orders.push(by_breadth(&blocks));
    let placements = orders.iter().map(|order| place_blocks(&blocks, order));
    let (ends, block_offsets) = placements.min_by_key(|(end, _)| *end).unwrap_or_default();
    let mut offsets = vec![0; tensors.len()];
    for (block, &offset) in blocks.iter().zip(&block_offsets) {
        for &member in &block.members {
            offsets[member] = offset;
        }
    }
    Placement { offsets, arena_bytes: ends }
}

/// Bytes that are alive during each step: no placement can need fewer than the highest.
#[must_use]
pub fn live_bytes(tensors: &[Lifetime], steps: usize) -> Vec<usize> {
    let blocks = chain(tensors);
    let alive = |step: usize, b: &Block| (b.first..=b.last).contains(&step);
    (0..steps).map(|step| blocks.iter().filter(|b| alive(step, b)).map(|b| b.bytes).sum()).collect()
}

fn chain(tensors: &[Lifetime]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut block_of = vec![usize::MAX; tensors.len()];
    for (index, tensor) in tensors.iter().enumerate() {
        let replaced = tensor.replaces.map(|r| block_of[r]).filter(|&b| b != usize::MAX);
        let block = replaced.unwrap_or_else(|| {
            blocks.push(Block {
                bytes: 0,
                first: tensor.first,
                last: tensor.last,
                members: vec![],
            });
            blocks.len() - 1
        });
        let entry = &mut blocks[block];
        entry.bytes = entry.bytes.max(tensor.bytes);
        entry.first = entry.first.min(tensor.first);
        entry.last = entry.last.max(tensor.last);
        entry.members.push(index);
        block_of[index] = block;
    }
    blocks
}

/// Blocks in the order of the busiest step that they live in.
fn by_breadth(blocks: &[Block]) -> Vec<usize> {
    let steps = blocks.iter().map(|b| b.last + 1).max().unwrap_or(0);
    let breadth = |step: usize| -> usize {
        let alive = blocks.iter().filter(|b| (b.first..=b.last).contains(&step));
        alive.map(|b| b.bytes).sum()
    };
    let breadths: Vec<usize> = (0..steps).map(breadth).collect();
    let busiest = |b: &Block| breadths[b.first..=b.last].iter().copied().max().unwrap_or(0);
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|&b| {
        let block = &blocks[b];
        (usize::MAX - busiest(block), usize::MAX - block.bytes, b)
    });
    order
}

/// Places each block in the lowest gap that is large enough.
fn place_blocks(blocks: &[Block], order: &[usize]) -> (usize, Vec<usize>) {
    let mut offsets = vec![0; blocks.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for &index in order {
        let block = &blocks[index];
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|&&p| blocks[p].first <= block.last && block.first <= blocks[p].last)
            .map(|&p| offsets[p]..offsets[p] + blocks[p].bytes)
            .collect();
        taken.sort_by_key(|r| r.start);
        let mut offset = 0;
        for range in taken {
            if offset + block.bytes <= range.start {
                break;
            }
            offset = offset.max(range.end.next_multiple_of(ALIGNMENT));
        }
        offsets[index] = offset;
        end = end.max(offset + block.bytes);
        placed.push(index);
    }
    (end, offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lifetime() -> impl Strategy<Value = Lifetime> {
        (1usize..5000, 0usize..20, 0usize..6).prop_map(|(bytes, first, length)| Lifetime {
            bytes,
            first,
            last: first + length,
            replaces: None,
        })
    }

    fn overlap(a: &Lifetime, b: &Lifetime) -> bool {
        a.first <= b.last && b.first <= a.last
    }

    proptest! {
        #[test]
        fn living_tensors_never_share_a_byte(tensors in prop::collection::vec(lifetime(), 1..30)) {
            let placement = place(&tensors);
            let range = |i: usize| placement.offsets[i]..placement.offsets[i] + tensors[i].bytes;
            for i in 0..tensors.len() {
                prop_assert!(placement.offsets[i].is_multiple_of(ALIGNMENT));
                prop_assert!(range(i).end <= placement.arena_bytes);
                for j in 0..i {
                    let (a, b) = (range(i), range(j));
                    let disjoint = a.end <= b.start || b.end <= a.start;
                    prop_assert!(disjoint || !overlap(&tensors[i], &tensors[j]));
                }
            }
            let ends = (0..tensors.len()).map(|i| range(i).end).max();
            prop_assert_eq!(ends, Some(placement.arena_bytes));
            let bound = live_bytes(&tensors, 26).into_iter().max();
            prop_assert!(bound <= Some(placement.arena_bytes));
        }
    }

    #[test]
    fn an_in_place_result_lies_on_the_tensor_that_it_replaces() {
        let tensors = [
            Lifetime { bytes: 64, first: 0, last: 2, replaces: None },
            Lifetime { bytes: 64, first: 1, last: 2, replaces: None },
            Lifetime { bytes: 64, first: 2, last: 3, replaces: Some(0) },
        ];
        let placement = place(&tensors);
        assert_eq!(placement.offsets[2], placement.offsets[0]);
        assert_eq!(placement.arena_bytes, 128);
    }
}
