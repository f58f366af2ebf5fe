//! Access tokens of repositories, which Quay has not offered for years (`quay-api.md`, 3.6).

use quay_core::{Error, ErrorKind};

use super::exchange::Exchange;
use super::reply::Reply;

/// `listRepoTokens`, `createToken`, `getTokens`, `changeToken`, `deleteToken`
pub(crate) async fn gone(exchange: Exchange) -> Result<Reply, Error> {
    let accounts = &exchange.state.accounts;
    accounts
        .require_repository_admin(&exchange.caller, exchange.repository()?)
        .await?;
    let message = "Handling of access tokens is no longer supported";
    Err(Error::new(ErrorKind::Gone, message))
}
