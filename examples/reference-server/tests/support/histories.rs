//! Histories of a register that several clients wrote and read at once: whether there is an order of their
//! operations, each at one moment between its call and its answer, that explains all answers (linearisability).

use std::collections::HashSet;

/// What a client asked of the register, with what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Read(Option<u8>),
    Write(u8),
    /// Written if it held that value; whether it was.
    Swap(Option<u8>, u8, bool),
    /// Emptied; whether it held something.
    Delete(bool),
}

/// An operation, with the numbers of its call and its answer among those of all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) called: u64,
    pub(crate) answered: u64,
    pub(crate) done: Done,
}

impl Done {
    /// What the register holds after it; `None` when it cannot have been told so.
    #[expect(clippy::option_option, reason = "a register may be empty")]
    fn after(self, holds: Option<u8>) -> Option<Option<u8>> {
        match self {
            Self::Read(value) => (value == holds).then_some(holds),
            Self::Write(value) => Some(Some(value)),
            Self::Swap(from, to, true) => (from == holds).then_some(Some(to)),
            Self::Swap(from, _, false) => (from != holds).then_some(holds),
            Self::Delete(true) => holds.is_some().then_some(None),
            Self::Delete(false) => holds.is_none().then_some(None),
        }
    }
}

/// Whether a history of at most 128 operations on a register that was empty is linearisable.
pub(crate) fn is_linearisable(history: &[Operation]) -> bool {
    assert!(history.len() <= 128, "the history is too long");
    let all = if history.len() == 128 {
        u128::MAX
    } else {
        (1_u128 << history.len()) - 1
    };
    let mut seen: HashSet<(u128, Option<u8>)> = HashSet::new();
    let mut open = vec![(0_u128, None)];
    while let Some((taken, holds)) = open.pop() {
        if taken == all {
            return true;
        }
        if !seen.insert((taken, holds)) {
            continue;
        }
        let left = || (0..history.len()).filter(|index| taken & (1 << index) == 0);
        // Whatever comes next was called before anything that is left was answered.
        let first = left().map(|index| history[index].answered).min();
        for index in left() {
            if Some(history[index].called) < first
                && let Some(holds) = history[index].done.after(holds)
            {
                open.push((taken | (1 << index), holds));
            }
        }
    }
    false
}

#[test]
fn what_cannot_be_explained_is_found() {
    let at = |called, answered, done| Operation {
        called,
        answered,
        done,
    };
    let (write, read) = (Done::Write, |value| Done::Read(Some(value)));
    let good = [
        at(0, 5, write(1)),
        at(1, 2, Done::Read(None)),
        at(3, 4, read(1)),
        at(6, 9, Done::Swap(Some(1), 2, true)),
        at(7, 8, Done::Swap(Some(1), 3, false)),
        at(10, 11, read(2)),
        at(12, 13, Done::Delete(true)),
        at(14, 15, Done::Delete(false)),
    ];
    assert!(is_linearisable(&good));
    // An old value after a new one was seen.
    let stale = [
        at(0, 1, write(1)),
        at(2, 9, write(2)),
        at(3, 4, read(2)),
        at(5, 6, read(1)),
    ];
    assert!(!is_linearisable(&stale));
    // A write that was answered and is not there.
    assert!(!is_linearisable(&[
        at(0, 1, write(1)),
        at(2, 3, Done::Read(None))
    ]));
    // Two swaps from one value.
    let twice = [
        at(0, 1, write(1)),
        at(2, 5, Done::Swap(Some(1), 2, true)),
        at(3, 4, Done::Swap(Some(1), 3, true)),
    ];
    assert!(!is_linearisable(&twice));
}
