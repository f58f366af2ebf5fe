//! Paths of the registry protocol. Names hold slashes, so they are read from the right.

use percent_encoding::percent_decode_str;

/// What a path under `/v2` means, its parts not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Base,
    Catalog,
    Tags {
        name: String,
    },
    Manifest {
        name: String,
        reference: String,
    },
    Uploads {
        name: String,
    },
    Upload {
        name: String,
        id: String,
    },
    Blob {
        name: String,
        digest: String,
    },
    Referrers {
        name: String,
        digest: String,
    },
    /// What the registry, or a repository in it, can do beyond the specification.
    Extensions {
        name: Option<String>,
    },
    TagHistory {
        name: String,
        tag: String,
    },
}

/// Why a path means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// Not one of the protocol's.
    Unknown,
    /// An encoded slash, or bytes that are not text: somebody hopes that two readers disagree.
    Encoded,
}

impl Route {
    pub(crate) fn parse(path: &str) -> Result<Self, NoRoute> {
        let rest = path.strip_prefix("/v2").ok_or(NoRoute::Unknown)?;
        if rest.is_empty() || rest == "/" {
            return Ok(Self::Base);
        }
        let raw = rest.strip_prefix('/').ok_or(NoRoute::Unknown)?;
        let decoded = percent_decode_str(raw)
            .decode_utf8()
            .map_err(|_| NoRoute::Encoded)?;
        if decoded.matches('/').count() != raw.matches('/').count() || decoded.contains('\0') {
            return Err(NoRoute::Encoded);
        }
        if decoded == "_catalog" {
            return Ok(Self::Catalog);
        }
        if decoded == "_oci/ext/discover" {
            return Ok(Self::Extensions { name: None });
        }
        if let Some(name) = decoded.strip_suffix("/_oci/ext/discover") {
            return Ok(Self::Extensions {
                name: Some(name.to_owned()),
            });
        }
        let (before, last) = decoded.rsplit_once('/').ok_or(NoRoute::Unknown)?;
        let (name, kind) = before.rsplit_once('/').ok_or(NoRoute::Unknown)?;
        let (name, last) = (name.to_owned(), last.to_owned());
        match kind {
            "tags" if last == "list" => Ok(Self::Tags { name }),
            "manifests" => Ok(Self::Manifest {
                name,
                reference: last,
            }),
            "tag-history" => match name.strip_suffix("/_oci") {
                Some(name) => Ok(Self::TagHistory {
                    name: name.to_owned(),
                    tag: last,
                }),
                None => Err(NoRoute::Unknown),
            },
            "referrers" => Ok(Self::Referrers { name, digest: last }),
            "blobs" if last == "uploads" => Ok(Self::Uploads { name }),
            "blobs" => Ok(Self::Blob { name, digest: last }),
            "uploads" => match name.strip_suffix("/blobs") {
                Some(name) if last.is_empty() => Ok(Self::Uploads {
                    name: name.to_owned(),
                }),
                Some(name) => Ok(Self::Upload {
                    name: name.to_owned(),
                    id: last,
                }),
                None => Err(NoRoute::Unknown),
            },
            _ => Err(NoRoute::Unknown),
        }
    }

    /// The methods that the path answers, as `Allow` lists them.
    pub(crate) const fn methods(&self) -> &'static str {
        match self {
            Self::Base
            | Self::Catalog
            | Self::Tags { .. }
            | Self::Referrers { .. }
            | Self::Extensions { .. }
            | Self::TagHistory { .. } => "GET, HEAD",
            Self::Manifest { .. } => "GET, HEAD, PUT, DELETE",
            Self::Uploads { .. } => "POST",
            Self::Upload { .. } => "GET, HEAD, PATCH, PUT, DELETE",
            Self::Blob { .. } => "GET, HEAD, DELETE",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        let name = "a/b/c".to_owned();
        for (path, expected) in [
            ("/v2", Ok(Route::Base)),
            ("/v2/", Ok(Route::Base)),
            ("/v2/_catalog", Ok(Route::Catalog)),
            ("/v2/a/b/c/tags/list", Ok(Route::Tags { name: name.clone() })),
            (
                "/v2/a/b/c/manifests/v1",
                Ok(Route::Manifest {
                    name: name.clone(),
                    reference: "v1".into(),
                }),
            ),
            (
                "/v2/a/b/c/blobs/sha256%3Aab",
                Ok(Route::Blob {
                    name: name.clone(),
                    digest: "sha256:ab".into(),
                }),
            ),
            (
                "/v2/a/b/c/blobs/uploads/",
                Ok(Route::Uploads { name: name.clone() }),
            ),
            (
                "/v2/a/b/c/blobs/uploads",
                Ok(Route::Uploads { name: name.clone() }),
            ),
            (
                "/v2/a/b/c/blobs/uploads/1",
                Ok(Route::Upload {
                    name: name.clone(),
                    id: "1".into(),
                }),
            ),
            ("/v2/_oci/ext/discover", Ok(Route::Extensions { name: None })),
            (
                "/v2/a/b/c/_oci/ext/discover",
                Ok(Route::Extensions {
                    name: Some(name.clone()),
                }),
            ),
            (
                "/v2/a/b/c/_oci/tag-history/v1",
                Ok(Route::TagHistory {
                    name: name.clone(),
                    tag: "v1".into(),
                }),
            ),
            ("/v2/a/b/c/tag-history/v1", Err(NoRoute::Unknown)),
            (
                "/v2/manifests/manifests/manifests",
                Ok(Route::Manifest {
                    name: "manifests".into(),
                    reference: "manifests".into(),
                }),
            ),
            ("/v2/a%2Fb/manifests/v1", Err(NoRoute::Encoded)),
            ("/v2/a/manifests/%2e%2e%2f", Err(NoRoute::Encoded)),
            ("/v2/a/manifests/%ff", Err(NoRoute::Encoded)),
            ("/v2/a", Err(NoRoute::Unknown)),
            ("/v2x", Err(NoRoute::Unknown)),
            ("/", Err(NoRoute::Unknown)),
        ] {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_parses_or_fails(path in "/v2(/[a-z%2F.:~\\PC]{0,12}){0,6}") {
            let _ = Route::parse(&path);
        }
    }
}
