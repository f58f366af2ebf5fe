//! Tasks that take turns by the throw of seeded dice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::runtime::Spawner;

/// Seeded dice (`SplitMix64`).
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut state = self.0;
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let number = self.next() % u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(number).unwrap_or_default()
    }

    /// Whether something happens that has so many chances in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).cloned()
    }
}

/// Gives the others a turn.
pub(super) async fn turn() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    scheduler: Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.scheduler.unpark();
    }
}

struct Task {
    future: BoxFuture<'static, ()>,
    bell: Arc<Bell>,
    node: usize,
    /// Whether it waits for a task that it has started.
    parent: bool,
}

/// Where a registry's tasks go.
#[derive(Clone, Default)]
pub(super) struct Started(Arc<Mutex<Vec<Beginning>>>);

/// A node's task that has not taken a turn yet.
type Beginning = (usize, BoxFuture<'static, ()>);

/// The spawner of one node.
#[derive(Clone)]
pub(super) struct NodeSpawner {
    pub(super) node: usize,
    pub(super) started: Started,
}

impl std::fmt::Debug for NodeSpawner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "node {}", self.node)
    }
}

impl Spawner for NodeSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut started = self.started.0.lock().unwrap_or_else(PoisonError::into_inner);
        started.push((self.node, task));
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// Runs tasks one step at a time. A step ends where the task gives the others a turn: what a store does in
/// threads of its own is waited for, so that one seed is one history.
#[derive(Default)]
pub(super) struct Scheduler {
    tasks: Vec<Task>,
    pub(super) started: Started,
}

impl Scheduler {
    pub(super) fn start(&mut self, node: usize, future: BoxFuture<'static, ()>) {
        let bell = Bell {
            rung: AtomicBool::new(true),
            scheduler: std::thread::current(),
        };
        self.tasks.push(Task {
            future,
            bell: Arc::new(bell),
            node,
            parent: false,
        });
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// One step of a task that can take one. `false` when there is none.
    pub(super) fn step(&mut self, dice: &mut Dice) -> bool {
        let ready: Vec<usize> = (0..self.tasks.len())
            .filter(|index| {
                let task = self.tasks.get(*index);
                task.is_some_and(|task| task.bell.rung.load(Ordering::SeqCst))
            })
            .collect();
        let Some(index) = dice.pick(&ready) else {
            return self.wait();
        };
        let Some(task) = self.tasks.get_mut(index) else {
            return false;
        };
        loop {
            task.bell.rung.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(&task.bell));
            let outcome = task.future.as_mut().poll(&mut Context::from_waker(&waker));
            let started: Vec<_> = {
                let mut started = self.started.0.lock().unwrap_or_else(PoisonError::into_inner);
                started.drain(..).collect()
            };
            task.parent |= !started.is_empty();
            let parent = task.parent;
            let rung = task.bell.rung.load(Ordering::SeqCst);
            if outcome.is_ready() {
                // Dropping it may wake others.
                drop(self.tasks.swap_remove(index));
                for (node, future) in started {
                    self.start(node, future);
                }
                return true;
            }
            if rung || parent {
                for (node, future) in started {
                    self.start(node, future);
                }
                return true;
            }
            // Something outside is at work for it.
            while !task.bell.rung.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(50));
            }
        }
    }

    /// Waits for what is at work outside. `false` when nothing comes of it.
    fn wait(&self) -> bool {
        for _ in 0..40 {
            if self.tasks.is_empty() {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(50));
            let mut tasks = self.tasks.iter();
            if tasks.any(|task| task.bell.rung.load(Ordering::SeqCst)) {
                return true;
            }
        }
        false
    }

    /// Ends a task where it stands, as a request whose client goes away.
    pub(super) fn drop_one(&mut self, dice: &mut Dice) {
        if !self.tasks.is_empty() {
            let index = dice.below(self.tasks.len());
            drop(self.tasks.swap_remove(index));
        }
    }

    /// Ends all tasks of a node where they stand.
    pub(super) fn crash(&mut self, node: usize) {
        self.tasks.retain(|task| task.node != node);
    }
}
