//! The API's description in `OpenAPI` 3.1: unlike the one in Swagger, it says what is really answered.

use quay_core::accounts::AccountOptions;
use serde_json::{Map, Value, json};

use super::describe::{about, api_error, path_parameters, scopes, summary};
use super::features::offered;
use super::operations::{ApiPath, AuthFlag, Operation, Since};
use super::shape::schema;

/// The description of what is switched on; without options, of all that this version serves.
pub(crate) fn openapi(options: Option<&AccountOptions>) -> Value {
    let mut paths = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for (path, method, operation) in offered(options) {
        if !tags.contains(&path.tag()) {
            tags.push(path.tag());
        }
        let entry = paths
            .entry(path.path.clone())
            .or_insert_with(|| json!({ "parameters": parameters_of_path(path) }));
        entry[method.to_ascii_lowercase()] = of_operation(path, operation);
    }
    let mut paths = Value::from(paths);
    with_avatars_named(&mut paths, &avatar());
    let base = options.map_or("", |options| options.base_url.as_str());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": options.map_or("Project Quay", |options| options.title.as_str()),
            "version": "v1",
            "description": "The REST API of the registry.",
        },
        "servers": [{ "url": if base.is_empty() { "/" } else { base } }],
        "paths": paths,
        "components": {
            "schemas": { "ApiError": api_error(), "Avatar": avatar() },
            "responses": failures(options),
            "securitySchemes": {
                "oauth2": {
                    "type": "oauth2",
                    "flows": {
                        "implicit": {
                            "authorizationUrl": format!("{base}/oauth/authorize"),
                            "scopes": scopes(options),
                        },
                    },
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": options.map_or("_csrf_token", |options| options.session_cookie.as_str()),
                    "description": "Writes need the header X-CSRF-Token as well.",
                },
            },
        },
        "tags": tags.iter().map(|tag| json!({ "name": tag, "description": about(tag) })).collect::<Vec<_>>(),
    })
}

fn parameters_of_path(path: &ApiPath) -> Vec<Value> {
    let parameter = |name| {
        let mut parameter = json!({
            "name": name,
            "in": "path",
            "required": true,
            "schema": { "type": "string" },
        });
        if name == "repository" {
            parameter["description"] = "namespace/name; the slash is not encoded".into();
        }
        parameter
    };
    path_parameters(&path.path).map(parameter).collect()
}

fn of_operation(path: &ApiPath, operation: &Operation) -> Value {
    let mut entry = json!({
        "operationId": operation.id,
        "summary": summary(operation),
        "tags": [path.tag()],
        "responses": responses(operation),
    });
    if !operation.query.is_empty() {
        entry["parameters"] = operation.query.iter().map(parameter).collect();
    }
    if let Some(request) = &operation.request {
        entry["requestBody"] = json!({
            "required": !operation.request_optional,
            "content": { "application/json": { "schema": request } },
        });
    }
    let mut security = vec![json!({ "session": [] })];
    if !operation.scopes.is_empty() {
        security.push(json!({ "oauth2": operation.scopes }));
    }
    if operation.anonymous {
        security.push(json!({}));
    }
    entry["security"] = security.into();
    for (name, said) in [
        ("x-internal", operation.is(AuthFlag::Internal)),
        ("x-requires-fresh-login", operation.is(AuthFlag::FreshLogin)),
        ("x-later-than-3.3", operation.since == Since::Later),
    ] {
        if said {
            entry[name] = true.into();
        }
    }
    if !operation.features.is_empty() {
        entry["x-features"] = operation.features.clone().into();
    }
    entry
}

fn parameter(parameter: &super::operations::QueryParameter) -> Value {
    let mut schema = json!({ "type": parameter.kind.as_str() });
    if !parameter.default.is_null() {
        schema["default"] = parameter.default.clone();
    }
    json!({ "name": parameter.name, "in": "query", "required": parameter.required, "schema": schema })
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for status in &operation.success {
        let mut response = json!({ "description": reason(*status) });
        if let (Some(schema), false) = (schema(&operation.response), *status == 204) {
            response["content"] = json!({ "application/json": { "schema": schema } });
        }
        responses.insert(status.to_string(), response);
    }
    for status in &operation.errors {
        let response = json!({ "$ref": format!("#/components/responses/{status}") });
        responses.entry(status.to_string()).or_insert(response);
    }
    responses.into()
}

/// What operations answer when they fail: once for all of them.
fn failures(options: Option<&AccountOptions>) -> Map<String, Value> {
    let statuses = offered(options).flat_map(|(_, _, operation)| &operation.errors);
    let described = statuses.map(|status| {
        let content = match status {
            429 => json!({ "text/plain": { "schema": { "type": "string" } } }),
            _ => json!({ "application/json": { "schema": { "$ref": "#/components/schemas/ApiError" } } }),
        };
        let response = json!({ "description": reason(*status), "content": content });
        (status.to_string(), response)
    });
    described.collect()
}

/// Names the one shape that stands in nearly every answer.
fn with_avatars_named(schema: &mut Value, avatar: &Value) {
    if schema == avatar {
        *schema = json!({ "$ref": "#/components/schemas/Avatar" });
        return;
    }
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| with_avatars_named(item, avatar)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|item| with_avatars_named(item, avatar)),
        _ => {}
    }
}

/// An avatar, in the notation of answers.
fn avatar() -> Value {
    let shape = json!({
        "name": "string",
        "hash": "string(md5-hex)",
        "color": "string(#rrggbb)",
        "kind": "enum(user|robot|org|team|app)",
    });
    schema(&shape).unwrap_or_default()
}

fn reason(status: u16) -> &'static str {
    let known = http::StatusCode::from_u16(status).ok();
    known
        .and_then(|status| status.canonical_reason())
        .unwrap_or("External service failed")
}
