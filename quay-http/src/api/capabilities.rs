//! What this registry can do (`quay-api.md`, 9).

use quay_core::Error;
use serde_json::json;

use super::exchange::Exchange;
use super::reply::Reply;

/// `getRegistryCapabilities`
pub(crate) async fn capabilities(_: Exchange) -> Result<Reply, Error> {
    Ok(Reply::ok(&json!({
        "sparse_manifests": {
            "supported": false,
            "required_architectures": [],
            "optional_architectures_allowed": false,
        },
        "mirror_architectures": [],
    })))
}
