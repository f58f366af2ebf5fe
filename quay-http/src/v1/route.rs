//! Paths of the protocol. Names hold slashes, so they are read from the right.

use percent_encoding::percent_decode_str;

/// What a path under `/v1` means, its parts not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Ping,
    InternalPing,
    Users,
    User,
    Repository { name: String },
    Images { name: String },
    Auth,
    Tags { name: String },
    Tag { name: String, tag: String },
    Image { id: String, part: ImagePart },
}

/// What of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImagePart {
    Layer,
    Json,
    Ancestry,
    Checksum,
}

impl Route {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let raw = path.strip_prefix("/v1/")?;
        let decoded = percent_decode_str(raw).decode_utf8().ok()?;
        if decoded.matches('/').count() != raw.matches('/').count() || decoded.contains('\0') {
            return None;
        }
        match &*decoded {
            "_ping" => return Some(Self::Ping),
            "_internal_ping" => return Some(Self::InternalPing),
            "users" | "users/" => return Some(Self::Users),
            _ => {}
        }
        let (area, rest) = decoded.split_once('/')?;
        match area {
            "users" => rest
                .strip_suffix('/')
                .filter(|name| !name.contains('/'))
                .map(|_| Self::User),
            "repositories" => Self::of_repository(rest),
            "images" => {
                let (id, part) = rest.split_once('/')?;
                let part = match part {
                    "layer" => ImagePart::Layer,
                    "json" => ImagePart::Json,
                    "ancestry" => ImagePart::Ancestry,
                    "checksum" => ImagePart::Checksum,
                    _ => return None,
                };
                Some(Self::Image {
                    id: id.to_owned(),
                    part,
                })
            }
            _ => None,
        }
    }

    fn of_repository(rest: &str) -> Option<Self> {
        let named = |name: &str| name.to_owned();
        if let Some((name, tag)) = rest.rsplit_once("/tags/")
            && !tag.is_empty()
        {
            return (!tag.contains('/')).then(|| Self::Tag {
                name: named(name),
                tag: named(tag),
            });
        }
        if let Some(name) = rest.strip_suffix("/tags").or_else(|| rest.strip_suffix("/tags/")) {
            return Some(Self::Tags { name: named(name) });
        }
        if let Some(name) = rest
            .strip_suffix("/images")
            .or_else(|| rest.strip_suffix("/images/"))
        {
            return Some(Self::Images { name: named(name) });
        }
        if rest.ends_with("/auth") || rest.ends_with("/auth/") {
            return Some(Self::Auth);
        }
        rest.strip_suffix('/')
            .map(|name| Self::Repository { name: named(name) })
    }

    /// The methods that the path answers, as `Allow` lists them.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Ping
            | Self::InternalPing
            | Self::Tags { .. }
            | Self::Image {
                part: ImagePart::Ancestry,
                ..
            } => "GET, HEAD",
            Self::Users => "GET, HEAD, POST",
            Self::User
            | Self::Repository { .. }
            | Self::Auth
            | Self::Image {
                part: ImagePart::Checksum,
                ..
            } => "PUT",
            Self::Images { .. } | Self::Tag { .. } => "GET, HEAD, PUT, DELETE",
            Self::Image { .. } => "GET, HEAD, PUT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let name = || "org/app".to_owned();
        let image = |part| Route::Image {
            id: "ab".to_owned(),
            part,
        };
        for (path, expected) in [
            ("/v1/_ping", Some(Route::Ping)),
            ("/v1/users/", Some(Route::Users)),
            ("/v1/users/alice/", Some(Route::User)),
            ("/v1/users/alice", None),
            (
                "/v1/repositories/org/app/",
                Some(Route::Repository { name: name() }),
            ),
            ("/v1/repositories/org/app", None),
            (
                "/v1/repositories/org/app/images",
                Some(Route::Images { name: name() }),
            ),
            ("/v1/repositories/org/app/auth", Some(Route::Auth)),
            (
                "/v1/repositories/org/app/tags",
                Some(Route::Tags { name: name() }),
            ),
            (
                "/v1/repositories/org/app/tags/v1",
                Some(Route::Tag {
                    name: name(),
                    tag: "v1".to_owned(),
                }),
            ),
            ("/v1/repositories/org/app/tags/v1/x", None),
            ("/v1/images/ab/json", Some(image(ImagePart::Json))),
            ("/v1/images/ab/layer", Some(image(ImagePart::Layer))),
            ("/v1/images/ab/other", None),
            ("/v1/images/a%2Fb/json", None),
            ("/v1/search", None),
            ("/v1/", None),
        ] {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
    }
}
