use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use crate::route::tree::Tree;

fn mask(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

fn all(tree: &Tree, key: u32) -> Vec<u32> {
    let seen = core::cell::RefCell::new(Vec::new());
    assert_eq!(
        tree.find(key, |value, _| -> Option<()> {
            seen.borrow_mut().push(value);
            None
        }),
        None
    );
    seen.into_inner()
}

#[test]
fn every_prefix_length_of_one_key_is_found_longest_first() {
    let mut tree = Tree::new();
    let key = 0xc0a8_5a5b;
    for len in 0..=32 {
        tree.set(key, len, u32::from(len));
    }
    assert_eq!(all(&tree, key), (0..=32).rev().collect::<Vec<_>>());
    // A key that differs in bit n (from the top) shares the prefixes of length 0 to n.
    for bit in 0..32 {
        let other = key ^ (1 << 31 >> bit);
        assert_eq!(all(&tree, other), (0..=bit).rev().collect::<Vec<_>>());
        assert_eq!(tree.find(other, |value, len| Some((value, len))), Some((bit, bit as u8)));
    }
    for len in (0..=32).step_by(2) {
        assert_eq!(tree.remove(key, len), Some(u32::from(len)));
        assert_eq!(tree.remove(key, len), None);
    }
    assert_eq!(all(&tree, key), (1..32).rev().step_by(2).collect::<Vec<_>>());
}

#[test]
fn both_ends_of_the_key_space_work() {
    let mut tree = Tree::new();
    tree.set(0, 32, 1);
    tree.set(u32::MAX, 32, 2);
    tree.set(0, 0, 3);
    assert_eq!((all(&tree, 0), all(&tree, u32::MAX)), (Vec::from([1, 3]), Vec::from([2, 3])));
    assert_eq!(all(&tree, 1), [3]);
    assert_eq!((tree.get(0, 31), tree.get(0, 0)), (None, Some(3)));
}

#[test]
fn memory_is_used_again_and_bounded_by_the_most_prefixes_there_were() {
    let mut rng = crate::rng::Rng::new(1);
    let mut tree = Tree::new();
    for _ in 0..50 {
        let prefixes: Vec<_> = (0..500).map(|_| (rng.next_u32(), rng.below(33) as u8)).collect();
        prefixes.iter().for_each(|(key, len)| tree.set(*key, *len, 0));
        for (key, len) in prefixes {
            tree.remove(key, len);
        }
        assert!(tree.is_empty());
        // A path has five nodes below the root; a block is at most twice as long as its array, and
        // blocks of seven sizes may be left over from others.
        let (nodes, values) = tree.capacity();
        assert!(nodes < 500 * 5 * 2 && values < 500 * 2, "{nodes} {values}");
    }
}

/// Prefixes that often share bits, so that nodes fill, nest and empty again.
fn prefix() -> impl Strategy<Value = (u32, u8)> {
    let clustered = (any::<u32>(), 0..3u32).prop_map(|(key, cluster)| match cluster {
        0 => key & 0x0000_00ff | 0x0a00_0100,
        1 => key & 0x0003_f03f | 0xac10_0000,
        _ => key,
    });
    (clustered, 0..=32u8).prop_map(|(key, len)| (key & mask(len), len))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_finds_what_a_linear_search_finds(
        steps in prop::collection::vec((prefix(), any::<bool>(), any::<u32>()), 1..200),
        keys in prop::collection::vec(any::<u32>(), 20),
    ) {
        let mut tree = Tree::new();
        let mut model: BTreeMap<(u32, u8), u32> = BTreeMap::new();
        let mut probes = keys;
        for ((key, len), remove, value) in steps {
            // Removing mostly names something that is there.
            if remove {
                let wanted = model.range((key, len)..).next().map_or((key, len), |(at, _)| *at);
                prop_assert_eq!(tree.remove(wanted.0, wanted.1), model.remove(&wanted));
            } else {
                tree.set(key, len, value);
                model.insert((key, len), value);
            }
            prop_assert_eq!(tree.get(key, len), model.get(&(key, len)).copied());
            probes.extend([key, key ^ 1, key | !mask(len)]);
        }
        for probe in probes {
            let mut matching: Vec<_> = model.iter()
                .filter(|((key, len), _)| (key ^ probe) & mask(*len) == 0)
                .map(|((_, len), value)| (*len, *value))
                .collect();
            matching.sort_unstable();
            let expected: Vec<_> = matching.iter().rev().map(|(_, value)| *value).collect();
            prop_assert_eq!(all(&tree, probe), expected);
        }
        let mut listed = BTreeMap::new();
        tree.for_each(&mut |key, len, value| {
            assert_eq!(listed.insert((key, len), value), None);
        });
        prop_assert_eq!(&listed, &model);
        for (key, len) in model.into_keys() {
            tree.remove(key, len);
        }
        prop_assert!(tree.is_empty(), "empty nodes are pruned");
    }
}
