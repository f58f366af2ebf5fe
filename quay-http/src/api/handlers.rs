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
    "changeToken" => super::repotoken::gone,
    "createToken" => super::repotoken::gone,
    "deleteToken" => super::repotoken::gone,
    "discovery" => super::discovery::discovery,
    "getErrorDescription" => super::errors::describe,
    "getRegistryCapabilities" => super::capabilities::capabilities,
    "getTokens" => super::repotoken::gone,
    "listRepoTokens" => super::repotoken::gone,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::operations::served;

    /// Operations that are served and have no function yet: they answer 501.
    const AWAITED: &[&str] = &[
        "acceptOrganizationTeamInvite",
        "approveServiceKey",
        "changeInstallUser",
        "changeOrganization",
        "changeOrganizationDetails",
        "changeTeamPermissions",
        "changeUserDetails",
        "changeUserPermissions",
        "convertUserToOrganization",
        "createAppToken",
        "createGlobalMessage",
        "createInstallUser",
        "createNewUser",
        "createOrgRobot",
        "createOrgRobotFederation",
        "createOrganization",
        "createOrganizationApplication",
        "createOrganizationApplicationToken",
        "createOrganizationPrototypePermission",
        "createServiceKey",
        "createStar",
        "createUserRobot",
        "createUserRobotFederation",
        "declineOrganizationTeamInvite",
        "deleteAdminedOrganization",
        "deleteCurrentUser",
        "deleteGlobalMessage",
        "deleteInstallUser",
        "deleteOrgRobot",
        "deleteOrgRobotFederation",
        "deleteOrganization",
        "deleteOrganizationApplication",
        "deleteOrganizationApplicationToken",
        "deleteOrganizationPrototypePermission",
        "deleteOrganizationTeam",
        "deleteOrganizationTeamMember",
        "deleteServiceKey",
        "deleteStar",
        "deleteTeamMemberEmailInvite",
        "deleteTeamPermissions",
        "deleteUserAuthorization",
        "deleteUserPermissions",
        "deleteUserRobot",
        "deleteUserRobotFederation",
        "detachExternalLogin",
        "generateUserClientKey",
        "getAppToken",
        "getApplicationInformation",
        "getGlobalMessages",
        "getInstallUser",
        "getLoggedInUser",
        "getMatchingEntities",
        "getOrgRobot",
        "getOrgRobotFederation",
        "getOrgRobotPermissions",
        "getOrgRobots",
        "getOrganization",
        "getOrganizationApplication",
        "getOrganizationApplications",
        "getOrganizationCollaborators",
        "getOrganizationMember",
        "getOrganizationMembers",
        "getOrganizationPrototypePermissions",
        "getOrganizationTeamMembers",
        "getOrganizationTeamPermissions",
        "getServiceKey",
        "getTeamPermissions",
        "getUserAuthorization",
        "getUserInformation",
        "getUserNotification",
        "getUserPermissions",
        "getUserRobot",
        "getUserRobotFederation",
        "getUserRobotPermissions",
        "getUserRobots",
        "getUserTransitivePermission",
        "initializeUser",
        "inviteTeamMemberEmail",
        "linkExternalUser",
        "listAllAppTokens",
        "listAllOrganizations",
        "listAllUsers",
        "listAppTokens",
        "listOrganizationApplicationTokens",
        "listRepoTeamPermissions",
        "listRepoUserPermissions",
        "listServiceKeys",
        "listStarredRepos",
        "listUserAuthorizations",
        "listUserNotifications",
        "logout",
        "regenerateOrgRobotToken",
        "regenerateUserRobotToken",
        "removeOrganizationMember",
        "requestRecoveryEmail",
        "resetOrganizationApplicationClientSecret",
        "retrieveExternalLoginAuthorizationUrl",
        "revokeAppToken",
        "scRegistryStatus",
        "sendInstallUserRecoveryEmail",
        "signinUser",
        "takeOwnership",
        "updateOrganizationApplication",
        "updateOrganizationPrototypePermission",
        "updateOrganizationTeam",
        "updateOrganizationTeamMember",
        "updateServiceKey",
        "updateUserNotification",
        "verifyUser",
    ];

    #[test]
    fn every_served_operation_has_a_function_and_every_function_an_operation() {
        let served: BTreeSet<&str> = served().map(|(_, _, operation)| operation.id.as_str()).collect();
        let handled: BTreeSet<&str> = HANDLED.iter().chain(AWAITED).copied().collect();
        assert_eq!(handled, served);
        assert_eq!(
            handled.len(),
            HANDLED.len() + AWAITED.len(),
            "a name stands in both lists"
        );
        assert!(HANDLED.iter().all(|id| handler(id).is_some()));
    }
}
