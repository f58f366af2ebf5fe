//! Paths of the API (`quay-api.md`, 1.1).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::LazyLock;

use http::Method;
use percent_encoding::percent_decode_str;
use quay_core::accounts::AccountOptions;

use super::exchange::PathParameters;
use super::features::offered;
use super::operations::{Operation, paths};

const BASE: &str = "/api/v1/";

/// Every path of the API. What is not served or switched off has no methods: it keeps the repository's name in a
/// shorter path from taking it in.
#[derive(Debug)]
pub(crate) struct Router {
    /// The more particular ones first.
    routes: Vec<Route>,
    nested_names: bool,
}

#[derive(Debug)]
struct Route {
    parts: Vec<Part>,
    /// Whether it was declared with a slash at the end.
    slash: bool,
    methods: Vec<(&'static str, &'static Operation)>,
    /// Methods that are served where something is switched on that is off here.
    off: Vec<&'static str>,
}

/// In the order in which they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Fixed(&'static str),
    /// An algorithm and a digest: tags go nowhere.
    ManifestReference(&'static str),
    Parameter(&'static str),
    /// Two parts of the path, or more.
    Repository(&'static str),
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Routed {
    Found {
        operation: &'static Operation,
        parameters: PathParameters,
        allowed: String,
    },
    /// The path is declared with a slash at the end, which the request left out.
    SlashMissing,
    /// The path is there and the method is not, or it asks for the methods.
    Methods(String),
    Unknown,
}

impl Router {
    /// A router of what is switched on.
    pub(crate) fn new(options: &AccountOptions, nested_names: bool) -> Self {
        let mut methods: HashMap<&str, Vec<(&'static str, &'static Operation)>> = HashMap::new();
        for (path, method, operation) in offered(Some(options)) {
            methods
                .entry(path.path.as_str())
                .or_default()
                .push((method, operation));
        }
        let mut routes: Vec<Route> = paths()
            .iter()
            .map(|path| {
                let methods = methods.remove(path.path.as_str()).unwrap_or_default();
                let served = path.methods.iter().filter(|(_, operation)| operation.served);
                let off = served
                    .map(|(method, _)| method.as_str())
                    .filter(|method| methods.iter().all(|(on, _)| on != method))
                    .collect();
                Route::new(&path.path, methods, off)
            })
            .collect();
        routes.sort_by_cached_key(|route| (Reverse(route.fixed()), route.ranks()));
        Self { routes, nested_names }
    }

    /// Finds what a request asks for. `path` is as it was sent.
    pub(crate) fn route(&self, method: &Method, path: &str) -> Routed {
        let Some((segments, slash)) = segments(path) else {
            return Routed::Unknown;
        };
        let mut allowed: Vec<&'static str> = Vec::new();
        let fitting = self
            .routes
            .iter()
            .filter_map(|route| Some((route, route.parameters(&segments, self.nested_names)?)));
        for (route, parameters) in fitting {
            if route.methods.is_empty() || !route.refers(&parameters) {
                return if allowed.is_empty() {
                    Routed::Unknown
                } else {
                    Routed::Methods(allow(allowed))
                };
            }
            match (route.slash, slash) {
                (true, false) => return Routed::SlashMissing,
                (false, true) => continue,
                (true, true) | (false, false) => {}
            }
            if let Some(operation) = route.operation(method) {
                return Routed::Found {
                    operation,
                    parameters,
                    allowed: allow(route.methods.iter().map(|(method, _)| *method).collect()),
                };
            }
            if route.off.contains(&method.as_str()) {
                return Routed::Unknown;
            }
            allowed.extend(route.methods.iter().map(|(method, _)| *method));
        }
        if allowed.is_empty() {
            return Routed::Unknown;
        }
        Routed::Methods(allow(allowed))
    }
}

impl Route {
    fn new(
        path: &'static str,
        methods: Vec<(&'static str, &'static Operation)>,
        off: Vec<&'static str>,
    ) -> Self {
        let path = path.strip_prefix(BASE).unwrap_or(path);
        let (path, slash) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        Self {
            parts: path.split('/').map(Part::new).collect(),
            slash,
            methods,
            off,
        }
    }

    /// Whether what stands for a manifest is a reference to one.
    fn refers(&self, parameters: &PathParameters) -> bool {
        self.parts.iter().all(|part| match part {
            Part::ManifestReference(name) => is_manifest_reference(parameters.get(name)),
            _ => true,
        })
    }

    fn fixed(&self) -> usize {
        let fixed = |part: &&Part| matches!(part, Part::Fixed(_));
        self.parts.iter().filter(fixed).count()
    }

    /// Where two routes have as much that is fixed, the one that has it earlier comes first.
    fn ranks(&self) -> Vec<u8> {
        let rank = |part: &Part| match part {
            Part::Fixed(_) => 0,
            Part::ManifestReference(_) => 1,
            Part::Parameter(_) => 2,
            Part::Repository(_) => 3,
        };
        self.parts.iter().map(rank).collect()
    }

    fn operation(&self, method: &Method) -> Option<&'static Operation> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let mut methods = self.methods.iter();
        methods
            .find(|(known, _)| *known == method.as_str())
            .map(|&(_, operation)| operation)
    }

    /// What the parts of a path mean, if it is this route's.
    fn parameters(&self, segments: &[String], nested_names: bool) -> Option<PathParameters> {
        // A path holds one repository at the most, which takes what the other parts leave.
        let spare = segments.len().checked_sub(self.parts.len())?;
        let mut parameters = PathParameters::default();
        let mut rest = segments;
        for part in &self.parts {
            let take = match part {
                Part::Repository(_) => spare.checked_add(1)?,
                _ => 1,
            };
            let (taken, left) = rest.split_at_checked(take)?;
            rest = left;
            let is_repository = matches!(part, Part::Repository(_));
            if !is_repository && taken.iter().any(|text| text.contains('/')) {
                return None;
            }
            let name = match part {
                Part::Fixed(text) => {
                    if taken != [*text] {
                        return None;
                    }
                    continue;
                }
                Part::Repository(name) => {
                    // Clients made from a description escape a parameter as a whole: `devel%2Fimage`.
                    let names = taken.iter().flat_map(|text| text.split('/'));
                    let mut count = 0_usize;
                    for name in names {
                        if name.is_empty() {
                            return None;
                        }
                        count += 1;
                    }
                    if count < 2 || (count > 2 && !nested_names) {
                        return None;
                    }
                    name
                }
                Part::ManifestReference(name) | Part::Parameter(name) => name,
            };
            parameters.values.push(((*name).to_owned(), taken.join("/")));
        }
        rest.is_empty().then_some(parameters)
    }
}

impl Part {
    fn new(text: &'static str) -> Self {
        let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        match name {
            None => Self::Fixed(text),
            Some("repository") => Self::Repository("repository"),
            Some("manifestref") => Self::ManifestReference("manifestref"),
            Some(name) => Self::Parameter(name),
        }
    }
}

/// The parts of a path below the base, decoded, and whether it ends in a slash. None when a part is empty,
/// or is no text. A slash that a part hides is for a repository's name alone to hold.
fn segments(path: &str) -> Option<(Vec<String>, bool)> {
    let path = path.strip_prefix(BASE)?;
    let (path, slash) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
    let decoded = path.split('/').map(|part| {
        let part = percent_decode_str(part).decode_utf8().ok()?;
        (!part.is_empty() && !part.contains('\0')).then(|| part.into_owned())
    });
    Some((decoded.collect::<Option<_>>()?, slash))
}

fn is_manifest_reference(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, digest)| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
        !algorithm.is_empty()
            && !digest.is_empty()
            && algorithm.bytes().all(known)
            && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Methods as `Allow` lists them.
fn allow(mut methods: Vec<&'static str>) -> String {
    /// The order in which people name them.
    static ORDER: LazyLock<Vec<&str>> =
        LazyLock::new(|| vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    let listed = ORDER.iter().filter(|method| methods.contains(*method));
    listed.copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(router: &Router, method: &str, path: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match router.route(&method, &format!("/api/v1/{path}")) {
            Routed::Found {
                operation,
                parameters,
                ..
            } => {
                let values = parameters.values.iter().map(|(_, value)| value.as_str());
                format!("{} {}", operation.id, values.collect::<Vec<_>>().join(" "))
                    .trim_end()
                    .to_owned()
            }
            Routed::SlashMissing => "slash".to_owned(),
            Routed::Methods(allowed) => allowed,
            Routed::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn table() {
        let options = AccountOptions::new("https", "registry.example");
        let router = Router::new(&options, true);
        for (method, path, expected) in [
            ("GET", "user/", "getLoggedInUser"),
            ("HEAD", "user/", "getLoggedInUser"),
            ("GET", "user", "slash"),
            ("POST", "organization", "slash"),
            ("GET", "organization/devel", "getOrganization devel"),
            ("GET", "organization/devel/", "unknown"),
            ("GET", "organization//", "unknown"),
            ("PATCH", "organization/devel", "GET, HEAD, PUT, DELETE, OPTIONS"),
            ("OPTIONS", "signin", "POST, OPTIONS"),
            ("GET", "organization/", "POST, OPTIONS"),
            ("GET", "users/a%20b", "getUserInformation a b"),
            ("GET", "users/a%2Fb", "unknown"),
            ("GET", "users/a%00b", "unknown"),
            ("GET", "users/%FF", "unknown"),
            (
                "GET",
                "repository/a/b/permissions/user/",
                "listRepoUserPermissions a/b",
            ),
            ("GET", "repository/a/b/permissions/user", "slash"),
            (
                "GET",
                "repository/a/b/c/permissions/user/me",
                "getUserPermissions a/b/c me",
            ),
            // What is no other path may be a name of more parts.
            (
                "GET",
                "repository/a/permissions/user/me",
                "getRepo a/permissions/user/me",
            ),
            (
                "GET",
                "repository/a%2Fb/permissions/user/me",
                "getUserPermissions a/b me",
            ),
            (
                "GET",
                "repository/a%2fb/c/permissions/user/",
                "listRepoUserPermissions a/b/c",
            ),
            ("GET", "repository/a%2F/permissions/user/me", "unknown"),
            ("GET", "repository/%2Fa/permissions/user/me", "unknown"),
            ("GET", "repository/a%2F%2Fb/permissions/user/me", "unknown"),
            (
                "GET",
                "repository/a/b/permissions/user/m%2Fe",
                "getRepo a/b/permissions/user/m/e",
            ),
            (
                "GET",
                "repository/a/b/permissions%2Fuser/me",
                "getRepo a/b/permissions/user/me",
            ),
            ("DELETE", "user/starred/a%2Fb", "deleteStar a/b"),
            (
                "GET",
                "repository/a/b/permissions/user/me/transitive",
                "getUserTransitivePermission a/b me",
            ),
            ("DELETE", "user/starred/a/b", "deleteStar a/b"),
            ("DELETE", "user/starred/a", "unknown"),
            ("GET", "superuser/users/", "listAllUsers"),
            ("GET", "superuser/users/me", "getInstallUser me"),
            ("POST", "recovery", "unknown"),
            ("GET", "repository/a/b", "getRepo a/b"),
            ("GET", "repository/a%2Fb/c", "getRepo a/b/c"),
            ("GET", "repository/a", "unknown"),
            ("GET", "repository/a/b/", "unknown"),
            ("GET", "repository/a/b/build/", "unknown"),
            ("GET", "repository/a/b/logs", "unknown"),
            ("GET", "repository/a/b/tag", "slash"),
            ("DELETE", "repository/a/b/tag/v1", "deleteFullTag a/b v1"),
            (
                "GET",
                "repository/a/b/manifest/sha256:ab",
                "getRepoManifest a/b sha256:ab",
            ),
            ("GET", "repository/a/b/manifest/latest", "unknown"),
            ("GET", "repository/a/b/manifest/latest/labels", "unknown"),
            ("GET", "user/logs", "unknown"),
            ("GET", "", "unknown"),
        ] {
            assert_eq!(route(&router, method, path), expected, "{method} {path}");
        }
        let flat = Router::new(&options, false);
        for path in [
            "repository/a/b/c/permissions/user/me",
            "repository/a%2Fb%2Fc/permissions/user/me",
        ] {
            assert_eq!(route(&flat, "GET", path), "unknown");
        }
    }

    #[test]
    fn what_is_switched_off_is_not_there() {
        let mut options = AccountOptions::new("https", "registry.example");
        options.mailing = true;
        options.superusers_enabled = false;
        options.user_creation = false;
        options.app_tokens = false;
        let router = Router::new(&options, true);
        for (method, path, expected) in [
            ("POST", "recovery", "requestRecoveryEmail"),
            ("GET", "superuser/users/", "unknown"),
            ("GET", "user/apptoken", "unknown"),
            ("POST", "user/", "unknown"),
            ("PATCH", "user/", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ] {
            assert_eq!(route(&router, method, path), expected, "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_path_holds_its_parts_hold_no_more_slashes(
            parts in proptest::collection::vec("[a-z]{1,3}|%2F|%2f|%|/|\\.\\.|repository|permissions|user|\\PC", 0..8),
        ) {
            let options = AccountOptions::new("https", "registry.example");
            let router = Router::new(&options, true);
            let path = format!("/api/v1/{}", parts.join("/"));
            if let Routed::Found { parameters, .. } = router.route(&Method::GET, &path) {
                for (name, value) in &parameters.values {
                    prop_assert_eq!(value.contains('/'), name == "repository");
                    prop_assert!(value.split('/').all(|part| !part.is_empty()));
                }
            }
        }
    }

    #[test]
    fn tags_are_no_manifest_references() {
        for (text, expected) in [
            ("sha256:ab09", true),
            ("sha256+b64u:AB", true),
            ("latest", false),
            ("sha256:", false),
            (":ab", false),
            ("sha256:xyz", false),
        ] {
            assert_eq!(is_manifest_reference(text), expected, "{text}");
        }
    }
}
