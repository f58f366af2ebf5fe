//! Conformance suites for the ports, and what tests need besides (feature `testing`).
//!
//! Each port has a module with a `Fixture` that you implement, a list of named cases, and `run`, which
//! works on any executor. Every case begins with an empty store of its own, passes alone and in any order,
//! and depends on no timing. Cases may be added in any release.
//!
//! ```
//! use quay_core::memory::MemoryBlobs;
//! use quay_core::testing::{Instance, blob_store};
//! # use std::sync::Arc;
//! # use quay_core::BlobStore;
//!
//! struct Mine(Arc<MemoryBlobs>);
//!
//! #[async_trait::async_trait]
//! impl Instance<dyn BlobStore> for Mine {
//!     fn store(&self) -> Arc<dyn BlobStore> {
//!         self.0.clone()
//!     }
//! }
//!
//! let report = futures::executor::block_on(blob_store::run(&|| {
//!     Box::pin(async { Box::new(Mine(Arc::default())) as Box<dyn Instance<dyn BlobStore>> })
//! }));
//! report.assert_passed();
//! ```

pub mod accounts;
pub mod auth;
pub mod blob_store;
mod garbage;
mod history;
mod lifecycle;
pub mod metadata;
mod past;
mod quota;
mod report;
mod runtime;
mod scan;
pub mod scanner;
pub mod simulation;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

pub use report::{Failure, Report};
pub use runtime::{ManualClock, SeededRandom, ThreadSpawner, test_runtime};

/// One isolated, empty store for one case. Dropping it cleans up.
#[async_trait]
pub trait Instance<S: ?Sized + Send + Sync>: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<S>;

    /// The same store as another process would find it after this one has ended. `None` when the store
    /// does not outlive its process; cases that need it are then reported as not applicable.
    async fn reopen(&mut self) -> Option<Arc<S>> {
        None
    }
}

/// Makes an instance for each case.
pub type Fixture<'a, S> = dyn Fn() -> BoxFuture<'a, Box<dyn Instance<S>>> + Send + Sync + 'a;

/// A named case of a suite.
pub struct Case<S: ?Sized> {
    /// Its name: what must hold.
    pub name: &'static str,
    run: for<'a> fn(&'a mut dyn Instance<S>) -> BoxFuture<'a, Result<(), Failure>>,
}

impl<S: ?Sized> std::fmt::Debug for Case<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Case")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<S: ?Sized + Send + Sync> Case<S> {
    /// Runs it on an instance of its own.
    ///
    /// # Errors
    /// A [`Failure`], also when the case does not apply.
    pub async fn run(&self, instance: &mut dyn Instance<S>) -> Result<(), Failure> {
        (self.run)(instance).await
    }
}

/// Runs cases one after the other.
async fn run_all<S: ?Sized + Send + Sync>(cases: &'static [Case<S>], fixture: &Fixture<'_, S>) -> Report {
    let mut report = Report::default();
    for case in cases {
        let mut instance = fixture().await;
        report.add(case.name, case.run(&mut *instance).await);
    }
    report
}

/// Declares the cases of a suite from functions of their names, in this module or in several below it.
macro_rules! cases {
    ($store:ty: $($name:ident,)*) => {
        $crate::testing::cases! { @all $store: $($name = $name,)* }
    };
    ($store:ty: $($module:ident { $($name:ident,)* })*) => {
        $crate::testing::cases! { @all $store: $($($name = $module::$name,)*)* }
    };
    (@all $store:ty: $($name:ident = $function:path,)*) => {
        /// The cases of this suite.
        pub const CASES: &[$crate::testing::Case<$store>] = &[$(
            $crate::testing::Case {
                name: stringify!($name),
                run: |instance| Box::pin($function(instance)),
            },
        )*];

        /// Runs every case on a store of its own from `fixture`.
        pub async fn run(fixture: &$crate::testing::Fixture<'_, $store>) -> $crate::testing::Report {
            $crate::testing::run_all(CASES, fixture).await
        }
    };
}
use cases;

/// Fails a case, in words, unless something holds.
macro_rules! ensure {
    ($holds:expr, $($message:tt)*) => {
        if !$holds {
            return Err($crate::testing::Failure::new(format!($($message)*)));
        }
    };
}
use ensure;
