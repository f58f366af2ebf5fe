//! The API's description in Swagger 2.0, as Quay's own clients read it (`quay-api.md`, 3.13).

use quay_core::Error;
use quay_core::accounts::AccountOptions;
use serde_json::{Map, Value, json};

use super::describe::{about, api_error, definition, path_parameters, scopes, summary};
use super::exchange::Exchange;
use super::features::offered;
use super::operations::{ApiPath, AuthFlag, Operation};
use super::reply::Reply;

/// `discovery`
pub(crate) async fn discovery(exchange: Exchange) -> Result<Reply, Error> {
    let detail = Detail::with_internal(exchange.query.flag("internal") == Some(true));
    let document = exchange.state.documents.swagger(&exchange.state.options, detail);
    Ok(Reply::rendered(document))
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What other people's clients may rely on.
    Public,
    /// What Quay's own pages use as well.
    Internal,
}

impl Detail {
    const fn with_internal(internal: bool) -> Self {
        if internal { Self::Internal } else { Self::Public }
    }
}

/// The description of what is switched on.
pub(crate) fn swagger(options: &AccountOptions, detail: Detail) -> Value {
    let mut paths = Map::new();
    let mut definitions = Map::new();
    definitions.insert("ApiError".to_owned(), api_error());
    let mut tags: Vec<&str> = Vec::new();
    for (path, method, operation) in offered(Some(options)) {
        let internal = operation.is(AuthFlag::Internal);
        if operation.is(AuthFlag::Undescribed) || (internal && detail == Detail::Public) {
            continue;
        }
        if !tags.contains(&path.tag()) {
            tags.push(path.tag());
        }
        if let Some(request) = &operation.request {
            definitions.insert(definition(operation), request.clone());
        }
        let entry = paths
            .entry(path.path.clone())
            .or_insert_with(|| of_path(path, detail));
        entry[method.to_ascii_lowercase()] = of_operation(path, method, operation, detail);
    }
    let (scheme, _) = options.base_url.split_once("://").unwrap_or(("https", ""));
    json!({
        "swagger": "2.0",
        "host": options.hostname,
        "basePath": "/",
        "schemes": [scheme],
        "info": {
            "version": "v1",
            "title": options.title,
            "description": "The REST API of the registry. Requests without a session need a token: \
                            create an application in an organization and generate one.",
        },
        "securityDefinitions": {
            "oauth2_implicit": {
                "type": "oauth2",
                "flow": "implicit",
                "authorizationUrl": format!("{}/oauth/authorize", options.base_url),
                "scopes": scopes(Some(options)),
            },
        },
        "paths": paths,
        "definitions": definitions,
        "tags": tags.iter().map(|tag| json!({ "name": tag, "description": about(tag) })).collect::<Vec<_>>(),
    })
}

fn of_path(path: &ApiPath, detail: Detail) -> Value {
    let mut entry = json!({
        "x-name": path.x_name,
        "x-path": path.path,
        "x-tag": path.tag(),
    });
    if let (Some(related), Detail::Internal) = (&path.x_user_related, detail) {
        entry["x-user-related"] = related.as_str().into();
    }
    let parameters: Vec<_> = path_parameters(&path.path).map(path_parameter).collect();
    if !parameters.is_empty() {
        entry["parameters"] = parameters.into();
    }
    entry
}

fn path_parameter(name: &str) -> Value {
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": match name {
            "repository" => "The full path of the repository. e.g. namespace/name",
            _ => "",
        },
        "type": "string",
    })
}

fn of_operation(path: &ApiPath, method: &str, operation: &Operation, detail: Detail) -> Value {
    let mut parameters: Vec<_> = path_parameters(&path.path).map(path_parameter).collect();
    parameters.extend(operation.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": "",
            "type": parameter.kind.as_str(),
        })
    }));
    if operation.request.is_some() {
        parameters.push(json!({
            "name": "body",
            "in": "body",
            "required": !operation.request_optional,
            "description": "Request body contents.",
            "schema": { "$ref": format!("#/definitions/{}", definition(operation)) },
        }));
    }
    let mut entry = json!({
        "operationId": operation.id,
        "description": summary(operation),
        "parameters": parameters,
        "tags": [path.tag()],
        "responses": responses(method),
    });
    if let Some(scope) = operation.scopes.first() {
        entry["security"] = json!([{ "oauth2_implicit": [scope] }]);
    }
    if operation.is(AuthFlag::Internal) {
        entry["x-internal"] = true.into();
    }
    if operation.is(AuthFlag::FreshLogin) && detail == Detail::Internal {
        entry["x-requires-fresh-login"] = true.into();
    }
    entry
}

/// What Quay says of every operation, whatever it answers: its clients are made from this.
fn responses(method: &str) -> Value {
    let error = |description: &str| json!({ "description": description, "schema": { "$ref": "#/definitions/ApiError" } });
    let mut responses = json!({
        "400": error("Bad Request"),
        "401": error("Session required"),
        "403": error("Unauthorized access"),
        "404": error("Not found"),
    });
    let (status, description) = match method {
        "DELETE" => ("204", "Deleted"),
        "POST" => ("201", "Successful creation"),
        _ => ("200", "Successful invocation"),
    };
    responses[status] = json!({ "description": description });
    responses
}

/// What Quay's own pages are told in their first lines: names, paths and parameters of everything.
pub(crate) fn endpoints(options: &AccountOptions) -> Value {
    let mut document = swagger(options, Detail::Internal);
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for operation in paths
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|path| path.values_mut())
        .filter_map(Value::as_object_mut)
    {
        for known in ["description", "tags", "responses", "security"] {
            operation.remove(known);
        }
    }
    document.get_mut("paths").map(Value::take).unwrap_or_default()
}
