//! What is switched on.

use quay_core::accounts::AccountOptions;

use super::operations::{ApiPath, Operation, served};

/// Whether a key of the configuration is on. What this version does not know of is off.
fn is_on(feature: &str, options: &AccountOptions) -> bool {
    match feature {
        "FEATURE_MAILING" => options.mailing,
        "FEATURE_SUPER_USERS" => options.superusers_enabled,
        "FEATURE_USER_CREATION" => options.user_creation,
        "FEATURE_USER_INITIALIZE" => options.user_initialize,
        "FEATURE_DIRECT_LOGIN" => options.direct_login,
        "FEATURE_APP_SPECIFIC_TOKENS" => options.app_tokens,
        "FEATURE_REPO_MIRROR" => options.repository_states,
        "FEATURE_QUOTA_MANAGEMENT" => options.quota_management,
        "FEATURE_EDIT_QUOTA" => options.edit_quota,
        "FEATURE_AUTO_PRUNE" => options.auto_prune,
        "FEATURE_IMAGE_PULL_STATS" => options.pull_statistics,
        "FEATURE_IMMUTABLE_TAGS" => options.immutable_tags,
        "FEATURE_ASSIGN_OAUTH_TOKEN" => options.assign_oauth_tokens,
        "PERMANENTLY_DELETE_TAGS" => options.permanently_delete_tags,
        "FEATURE_SECURITY_SCANNER" => options.security_scanner,
        _ => false,
    }
}

/// The operations that are served here, with their paths and methods. Without options: in any deployment.
pub(crate) fn offered(
    options: Option<&AccountOptions>,
) -> impl Iterator<Item = (&'static ApiPath, &'static str, &'static Operation)> {
    served().filter(move |(_, _, operation)| {
        options.is_none_or(|options| operation.features.iter().all(|feature| is_on(feature, options)))
    })
}
