//! Words and lists that the descriptions of the API share.

use quay_core::accounts::{AccountOptions, Scope};
use serde_json::{Map, Value, json};

use super::operations::Operation;

/// What a part of the API is about, by Quay's name for it.
pub(crate) fn about(tag: &str) -> &'static str {
    match tag {
        "appspecifictokens" => "Manage the application tokens of the current user.",
        "capabilities" => "Ask what the registry can do.",
        "discovery" => "Ask what the API consists of.",
        "error" => "Look up what a type of error means.",
        "globalmessages" => "Manage the messages that every user sees.",
        "organization" => "Manage organizations, their members and their OAuth applications.",
        "permission" => "Manage permissions in repositories.",
        "prototype" => "Manage the default permissions of new repositories.",
        "repotoken" => "Access tokens of repositories, which are no longer offered.",
        "robot" => "Manage the robot accounts of users and organizations.",
        "search" => "Find users, robots, teams and organizations.",
        "suconfig" => "Ask for the state of the registry.",
        "superuser" => "Administer the registry.",
        "team" => "Manage the teams of organizations.",
        "user" => "Manage the current user.",
        _ => "",
    }
}

/// `createOrgRobot`: "Create org robot".
pub(crate) fn summary(operation: &Operation) -> String {
    let mut words = String::new();
    for (index, character) in operation.id.chars().enumerate() {
        if index == 0 {
            words.extend(character.to_uppercase());
        } else if character.is_uppercase() {
            words.push(' ');
            words.extend(character.to_lowercase());
        } else {
            words.push(character);
        }
    }
    words
}

/// `createOrgRobot`: `CreateOrgRobot`, by which its request is defined.
pub(crate) fn definition(operation: &Operation) -> String {
    let mut characters = operation.id.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// The names in a path's braces.
pub(crate) fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The scopes that may be asked for.
pub(crate) fn scopes(options: Option<&AccountOptions>) -> Map<String, Value> {
    let superusers = options.is_none_or(|options| options.superusers_enabled);
    let offered = Scope::ALL
        .iter()
        .filter(|scope| superusers || **scope != Scope::Superuser);
    offered
        .map(|scope| (scope.as_str().to_owned(), scope.description().into()))
        .collect()
}

/// The schema of errors.
pub(crate) fn api_error() -> Value {
    json!({
        "type": "object",
        "properties": {
            "status": { "type": "integer", "description": "Status code of the response." },
            "type": { "type": "string", "description": "Reference to the type of the error." },
            "detail": { "type": "string", "description": "Details about the specific instance of the error." },
            "title": { "type": "string", "description": "Unique error code to identify the type of error." },
            "error_message": { "type": "string", "description": "Deprecated; alias for detail" },
            "error_type": { "type": "string", "description": "Deprecated; alias for title" },
            "message": { "type": "string", "description": "The error where it has no type." },
        },
    })
}
