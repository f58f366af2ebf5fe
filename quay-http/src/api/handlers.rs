//! Which function answers which operation.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use quay_core::Error;

use super::exchange::Exchange;
use super::reply::Reply;

/// Answers one operation.
pub(crate) type Handler = fn(Exchange) -> BoxFuture<'static, Result<Reply, Error>>;

/// The table: `"operationId" => path::to::function`, each an `async fn(Exchange) -> Result<Reply, Error>`.
macro_rules! handlers {
    ($($id:literal => $function:path,)*) => {
        /// The function that answers an operation.
        pub(crate) fn handler(operation_id: &str) -> Option<Handler> {
            match operation_id {
                $($id => Some(|exchange| $function(exchange).boxed()),)*
                _ => None,
            }
        }

        /// Every operation that has a function.
        #[cfg(test)]
        const HANDLED: &[&str] = &[$($id,)*];
    };
}

handlers! {
    "discovery" => super::discovery::discovery,
    "getErrorDescription" => super::errors::describe,
    "getRegistryCapabilities" => super::capabilities::capabilities,
}
