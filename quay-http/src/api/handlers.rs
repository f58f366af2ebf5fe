//! Which function answers which operation.

mod applications;
mod images;
mod lists;
mod manifests;
mod organizations;
mod past;
mod permissions;
mod policies;
mod pulls;
mod quotas;
mod repositories;
mod robots;
mod search;
mod security;
mod superusers;
mod tags;
mod teams;
mod users;
mod views;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use quay_core::accounts::RepositoryRole;
use quay_core::{Error, ErrorKind};

use super::exchange::Exchange;
use super::reply::Reply;

/// A member of the body that the operation's schema requires to be a text.
fn text<'a>(exchange: &'a Exchange, member: &str) -> &'a str {
    exchange.text(member).unwrap_or_default()
}

/// The role that the body names.
fn role(exchange: &Exchange) -> Result<RepositoryRole, Error> {
    RepositoryRole::from_name(text(exchange, "role"))
        .ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "Invalid role"))
}

/// An error of the registry's as the API tells it: the registry does not say whether somebody must log in first.
fn told(error: Error, exchange: &Exchange) -> Error {
    let anonymous = exchange.caller.principal == quay_core::Principal::Anonymous;
    match error.kind() {
        ErrorKind::Unauthorized if anonymous => {
            Error::new(ErrorKind::InvalidToken, "Requires authentication")
        }
        ErrorKind::Unauthorized => Error::new(ErrorKind::Forbidden, "Unauthorized"),
        // Whether the registry takes writes has been looked at before.
        ErrorKind::ReadOnly => error.with_detail(serde_json::json!({})),
        ErrorKind::NameUnknown | ErrorKind::ManifestUnknown => Error::new(ErrorKind::NotFound, "Not Found"),
        _ => error,
    }
}

/// What is wrong with a request to read a repository's content: told to those alone who may read it.
async fn wrong_read(exchange: &Exchange, error: Error) -> Error {
    let name = match exchange.repository() {
        Ok(name) => name,
        Err(missing) => return missing,
    };
    let registry = &exchange.state.registry;
    match registry.may_pull_from(name, &exchange.caller).await {
        Ok(()) => error,
        Err(refused) => told(refused, exchange),
    }
}

/// What is wrong with a request to change a repository's content: told to those alone who may change it.
async fn wrong(exchange: &Exchange, error: Error) -> Error {
    let name = match exchange.repository() {
        Ok(name) => name,
        Err(missing) => return missing,
    };
    match exchange.state.registry.may_change(name, &exchange.caller).await {
        Ok(()) => error,
        Err(refused) => told(refused, exchange),
    }
}

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
    "acceptOrganizationTeamInvite" => teams::accept,
    "addManifestLabel" => manifests::add_label,
    "approveServiceKey" => superusers::approve_key,
    "changeInstallUser" => superusers::change_user,
    "changeOrganization" => superusers::change_organization,
    "changeOrganizationDetails" => organizations::change,
    "changeRepoState" => repositories::change_state,
    "changeRepoVisibility" => repositories::change_visibility,
    "changeOrganizationQuota" => quotas::change_for_organization,
    "changeOrganizationQuotaLimit" => quotas::change_limit,
    "changeRepositoryQuota" => quotas::change_for_repository,
    "changeTag" => tags::change,
    "changeTeamPermissions" => permissions::set_team,
    "changeToken" => super::repotoken::gone,
    "changeUserDetails" => users::change,
    "changeOrganizationQuotaSuperUser" => quotas::change_any,
    "changeUserQuotaSuperUser" => quotas::change_any,
    "changeUserPermissions" => permissions::set_user,
    "conductRepoSearch" => search::repositories,
    "conductSearch" => search::everything,
    "convertUserToOrganization" => users::convert,
    "createAppToken" => applications::create_app_token,
    "createGlobalMessage" => superusers::create_message,
    "createInstallUser" => superusers::create_user,
    "createNewUser" => users::sign_up,
    "createOrgImmutabilityPolicy" => policies::create_immutability,
    "createOrgRobot" => robots::create,
    "createOrgRobotFederation" => robots::set_federation,
    "createOrganization" => organizations::create,
    "createOrganizationApplication" => applications::create,
    "createOrganizationApplicationToken" => applications::create_token,
    "createOrganizationAutoPrunePolicy" => policies::create_prune,
    "createOrganizationPrototypePermission" => organizations::create_prototype,
    "createOrganizationQuota" => quotas::create_for_organization,
    "createOrganizationQuotaLimit" => quotas::create_limit,
    "createRepositoryQuota" => quotas::create_for_repository,
    "createRepositoryQuotaLimit" => quotas::create_repository_limit,
    "createOrganizationQuotaSuperUser" => quotas::create_any,
    "createUserQuotaSuperUser" => quotas::create_any,
    "createRepo" => repositories::create,
    "createRepositoryAutoPrunePolicy" => policies::create_prune,
    "createRepositoryImmutabilityPolicy" => policies::create_immutability,
    "createServiceKey" => superusers::create_key,
    "createStar" => users::star,
    "createToken" => super::repotoken::gone,
    "createUserAutoPrunePolicy" => policies::create_prune,
    "createUserRobot" => robots::create,
    "createUserRobotFederation" => robots::set_federation,
    "declineOrganizationTeamInvite" => teams::decline,
    "deleteAdminedOrganization" => organizations::delete,
    "deleteAssignedAuthorization" => users::decline_assignment,
    "deleteCurrentUser" => users::delete,
    "deleteFullTag" => tags::delete,
    "deleteGlobalMessage" => superusers::delete_message,
    "deleteInstallUser" => superusers::delete_user,
    "deleteManifestLabel" => manifests::delete_label,
    "deleteOrgImmutabilityPolicy" => policies::delete_immutability,
    "deleteOrgRobot" => robots::delete,
    "deleteOrgRobotFederation" => robots::delete_federation,
    "deleteOrganization" => superusers::delete_organization,
    "deleteOrganizationApplication" => applications::delete,
    "deleteOrganizationApplicationToken" => applications::delete_token,
    "deleteOrganizationAutoPrunePolicy" => policies::delete_prune,
    "deleteOrganizationPrototypePermission" => organizations::delete_prototype,
    "deleteOrganizationTeam" => teams::delete,
    "deleteOrganizationTeamMember" => teams::remove_member,
    "deleteOrganizationQuota" => quotas::delete_for_organization,
    "deleteOrganizationQuotaLimit" => quotas::delete_limit,
    "deleteRepositoryQuota" => quotas::delete_for_repository,
    "deleteRepositoryQuotaLimit" => quotas::delete_repository_limit,
    "deleteOrganizationQuotaSuperUser" => quotas::delete_any,
    "deleteUserQuotaSuperUser" => quotas::delete_any,
    "deleteRepository" => repositories::delete,
    "deleteRepositoryAutoPrunePolicy" => policies::delete_prune,
    "deleteRepositoryImmutabilityPolicy" => policies::delete_immutability,
    "deleteServiceKey" => superusers::delete_key,
    "deleteStar" => users::unstar,
    "deleteTeamMemberEmailInvite" => teams::delete_invite,
    "deleteTeamPermissions" => permissions::delete_team,
    "deleteToken" => super::repotoken::gone,
    "deleteUserAuthorization" => users::delete_authorization,
    "deleteUserAutoPrunePolicy" => policies::delete_prune,
    "deleteUserPermissions" => permissions::delete_user,
    "deleteUserRobot" => robots::delete,
    "deleteUserRobotFederation" => robots::delete_federation,
    "detachExternalLogin" => users::detach_external,
    "discovery" => super::discovery::discovery,
    "dryRunOrgImmutabilityPolicy" => policies::preview_immutability,
    "dryRunOrganizationAutoPrunePolicy" => policies::preview_prune,
    "dryRunRepositoryAutoPrunePolicy" => policies::preview_prune,
    "dryRunRepositoryImmutabilityPolicy" => policies::preview_immutability,
    "dryRunUserAutoPrunePolicy" => policies::preview_prune,
    "explainRepositoryPermission" => permissions::explain,
    "generateUserClientKey" => users::client_key,
    "getAppToken" => applications::get_app_token,
    "getApplicationInformation" => applications::information,
    "getErrorDescription" => super::errors::describe,
    "getGlobalMessages" => superusers::messages,
    "getImage" => images::get,
    "getInstallUser" => superusers::get_user,
    "getLoggedInUser" => users::me_call,
    "getManifestLabel" => manifests::get_label,
    "getMatchingEntities" => search::entities,
    "getManifestPullStatistics" => pulls::of_manifest,
    "getOrgImmutabilityPolicy" => policies::get_immutability,
    "getOrgRobot" => robots::get,
    "getOrgRobotFederation" => robots::federation,
    "getOrgRobotPermissions" => robots::permissions,
    "getOrgRobots" => robots::list_robots,
    "getOrganization" => organizations::get,
    "getOrganizationApplication" => applications::get,
    "getOrganizationApplications" => applications::list_all,
    "getOrganizationAutoPrunePolicy" => policies::get_prune,
    "getOrganizationCollaborators" => organizations::collaborators,
    "getOrganizationMember" => organizations::get_member,
    "getOrganizationMembers" => organizations::list_members,
    "getOrganizationPrototypePermissions" => organizations::prototypes,
    "getOrganizationTeamMembers" => teams::list_members,
    "getOrganizationTeamPermissions" => teams::permissions,
    "getRegistryCapabilities" => super::capabilities::capabilities,
    "getOrganizationQuota" => quotas::of_organization,
    "getOrganizationQuotaLimit" => quotas::limit_of_organization,
    "getRegistrySize" => quotas::registry_size,
    "getUserQuota" => quotas::own,
    "getUserQuotaLimit" => quotas::own_limit,
    "getRepo" => repositories::get,
    "getRepoImageSecurity" => security::of_image,
    "getRepoManifest" => manifests::get,
    "getRepositoryAutoPrunePolicy" => policies::get_prune,
    "getRepositoryImmutabilityPolicy" => policies::get_immutability,
    "getRepoManifestSecurity" => security::of_manifest,
    "getServiceKey" => superusers::get_key,
    "getTagPullStatistics" => pulls::of_tag,
    "getTeamPermissions" => permissions::get_team,
    "getTokens" => super::repotoken::gone,
    "getUserAuthorization" => users::one_authorization,
    "getUserAutoPrunePolicy" => policies::get_prune,
    "getUserInformation" => users::user,
    "getUserNotification" => users::one_notice,
    "getUserPermissions" => permissions::get_user,
    "getUserRobot" => robots::get,
    "getUserRobotFederation" => robots::federation,
    "getUserRobotPermissions" => robots::permissions,
    "getUserRobots" => robots::list_robots,
    "getUserTransitivePermission" => permissions::transitive,
    "initializeUser" => users::initialize,
    "inviteTeamMemberEmail" => teams::invite,
    "linkExternalUser" => search::link,
    "listAllAppTokens" => applications::list_all_app_tokens,
    "listAllOrganizations" => superusers::list_organizations,
    "listAllUsers" => superusers::list_users,
    "listAppTokens" => applications::list_app_tokens,
    "listAssignedAuthorizations" => users::assignments,
    "listManifestLabels" => manifests::labels,
    "listOrgImmutabilityPolicies" => policies::list_immutability,
    "listOrganizationApplicationTokens" => applications::list_tokens,
    "listOrganizationQuota" => quotas::list_of_organization,
    "listOrganizationQuotaLimit" => quotas::limits_of_organization,
    "listRepositoryQuota" => quotas::list_of_repository,
    "listUserQuota" => quotas::list_own,
    "listUserQuotaLimit" => quotas::own_limits,
    "listOrganizationQuotaSuperUser" => quotas::list_any,
    "listUserQuotaSuperUser" => quotas::list_any,
    "recountNamespaceUsage" => quotas::recount,
    "queueRegistrySizeCalculation" => quotas::queue_registry_size,
    "listOrganizationAutoPrunePolicies" => policies::list_prune,
    "listRepoTags" => tags::list,
    "listRepoTeamPermissions" => permissions::list_teams,
    "listRepoTokens" => super::repotoken::gone,
    "listRepoUserPermissions" => permissions::list_users,
    "listRepos" => repositories::list,
    "listRepositoryImages" => images::list,
    "listRepositoryAutoPrunePolicies" => policies::list_prune,
    "listRepositoryImmutabilityPolicies" => policies::list_immutability,
    "listServiceKeys" => superusers::list_keys,
    "listStarredRepos" => users::stars,
    "listTagImages" => images::of_tag,
    "listUserAuthorizations" => users::authorizations,
    "listUserAutoPrunePolicies" => policies::list_prune,
    "listUserNotifications" => users::notices,
    "logout" => users::sign_out,
    "regenerateOrgRobotToken" => robots::regenerate,
    "regenerateUserRobotToken" => robots::regenerate,
    "removeOrganizationMember" => organizations::remove_member,
    "removeTagFromTimemachine" => past::erase,
    "requestRecoveryEmail" => users::recovery,
    "resetOrganizationApplicationClientSecret" => applications::reset_secret,
    "restoreRepository" => past::undo,
    "restoreTag" => tags::restore,
    "retrieveExternalLoginAuthorizationUrl" => users::external_login,
    "revokeAppToken" => applications::delete_app_token,
    "scRegistryStatus" => superusers::registry_status,
    "sendInstallUserRecoveryEmail" => superusers::send_recovery,
    "signinUser" => users::sign_in,
    "takeOwnership" => superusers::take_ownership,
    "updateOrgImmutabilityPolicy" => policies::change_immutability,
    "updateOrganizationApplication" => applications::change,
    "updateOrganizationAutoPrunePolicy" => policies::change_prune,
    "updateOrganizationPrototypePermission" => organizations::change_prototype,
    "updateOrganizationTeam" => teams::put,
    "updateOrganizationTeamMember" => teams::add_member,
    "updateRepo" => repositories::describe,
    "updateRepositoryAutoPrunePolicy" => policies::change_prune,
    "updateRepositoryImmutabilityPolicy" => policies::change_immutability,
    "updateServiceKey" => superusers::change_key,
    "updateUserAutoPrunePolicy" => policies::change_prune,
    "updateUserNotification" => users::one_notice,
    "verifyUser" => users::verify,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::operations::served;

    #[test]
    fn every_served_operation_has_a_function_and_every_function_an_operation() {
        let served: BTreeSet<&str> = served().map(|(_, _, operation)| operation.id.as_str()).collect();
        let handled: BTreeSet<&str> = HANDLED.iter().copied().collect();
        assert_eq!(handled, served);
        assert_eq!(handled.len(), HANDLED.len(), "a name stands there twice");
        assert!(HANDLED.iter().all(|id| handler(id).is_some()));
    }
}
