//! What the tests of this crate share.

use futures::future::BoxFuture;
use quay_core::runtime::Spawner;

/// Tasks on the tokio runtime that it was made in.
#[derive(Debug, Clone)]
pub(crate) struct TestSpawner(tokio::runtime::Handle);

impl TestSpawner {
    pub(crate) fn current() -> Self {
        Self(tokio::runtime::Handle::current())
    }
}

impl Spawner for TestSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(work);
    }
}
