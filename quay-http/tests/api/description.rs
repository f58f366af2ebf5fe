//! What the API says of itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Host, everything, operations, options};

fn described(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let members = paths.values().flat_map(|path| path.as_object().unwrap().values());
    let ids = members.filter_map(|member| member["operationId"].as_str());
    ids.map(str::to_owned).collect()
}

fn flags(operation: &Value) -> Vec<&str> {
    let flags = operation["auth"].as_array();
    flags.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn discovery_describes_exactly_what_is_served() {
    let host = Host::with(everything()).await;
    for (path, internal) in [
        ("/api/v1/discovery", false),
        ("/api/v1/discovery?internal=true", true),
    ] {
        let document = host.get(path).await.json();
        let expected: BTreeSet<String> = operations()
            .iter()
            .filter(|(_, _, operation)| operation["served"] == true)
            .filter(|(_, _, operation)| {
                let flags = flags(operation);
                !flags.contains(&"undescribed") && (internal || !flags.contains(&"internal"))
            })
            .map(|(_, _, operation)| operation["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(described(&document), expected, "{path}");
    }
}

#[tokio::test]
async fn discovery_has_the_form_that_clients_are_made_from() {
    let host = Host::new().await;
    let document = host.get("/api/v1/discovery").await.json();
    assert_eq!(document["swagger"], "2.0");
    assert_eq!(document["host"], "registry.example");
    assert_eq!(document["basePath"], "/");
    assert_eq!(document["schemes"][0], "https");
    let oauth = &document["securityDefinitions"]["oauth2_implicit"];
    assert_eq!(
        oauth["authorizationUrl"],
        "https://registry.example/oauth/authorize"
    );
    assert!(oauth["scopes"]["repo:read"].is_string());

    let path = &document["paths"]["/api/v1/organization/{orgname}"];
    assert_eq!(path["x-name"], "endpoints.api.organization.Organization");
    assert_eq!(path["x-path"], "/api/v1/organization/{orgname}");
    assert_eq!(path["x-tag"], "organization");
    assert_eq!(path["parameters"][0]["name"], "orgname");
    let change = &path["put"];
    assert_eq!(change["security"][0]["oauth2_implicit"][0], "org:admin");
    for status in ["200", "400", "401", "403", "404"] {
        assert!(change["responses"][status].is_object(), "{status}");
    }
    assert!(path["delete"]["responses"]["204"].is_object());
    assert!(path["delete"]["x-requires-fresh-login"].is_null());
    let body = change["parameters"].as_array().unwrap().last().unwrap();
    let definition = body["schema"]["$ref"].as_str().unwrap();
    let definition = definition.strip_prefix("#/definitions/").unwrap();
    assert_eq!(document["definitions"][definition]["type"], "object");

    let document = host.get("/api/v1/discovery?internal=true").await.json();
    let path = &document["paths"]["/api/v1/organization/{orgname}"];
    assert_eq!(path["delete"]["x-requires-fresh-login"], true);
    assert_eq!(document["paths"]["/api/v1/signin"]["post"]["x-internal"], true);
    let related = &document["paths"]["/api/v1/organization/{orgname}/robots"]["x-user-related"];
    assert_eq!(related, "endpoints.api.robot.UserRobotList");
}

#[tokio::test]
async fn what_is_switched_off_is_not_described() {
    let mut options = options();
    options.superusers_enabled = false;
    options.app_tokens = false;
    let host = Host::with(options).await;
    for path in ["/api/v1/discovery?internal=true", "/api/v1/openapi.json"] {
        let document = host.get(path).await.json();
        let described = described(&document);
        assert!(described.contains("getLoggedInUser"), "{path}");
        for off in [
            "listAppTokens",
            "listAllUsers",
            "requestRecoveryEmail",
            "initializeUser",
        ] {
            assert!(!described.contains(off), "{path}: {off}");
        }
        assert!(!document.to_string().contains("super:user\":"), "{path}");
    }
}

#[tokio::test]
async fn every_reference_of_the_openapi_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            _ => {}
        }
    }
    let host = Host::with(everything()).await;
    let document = host.get("/api/v1/openapi.json").await.json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
