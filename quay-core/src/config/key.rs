//! What is known of one key.

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// A mapping.
    Map,
}

impl Kind {
    /// The type as messages and documentation call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Text => "string",
            Self::List => "list",
            Self::Map => "mapping",
        }
    }

    pub(super) fn fits(self, value: &serde_json::Value) -> bool {
        match self {
            Self::Boolean => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
        }
    }
}

/// A key of `config.yaml`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default in Quay 3.3, as JSON.
    pub default: &'static str,
    /// Its default in later releases where that differs, as JSON. It is the one that counts.
    pub default_later: Option<&'static str>,
    /// What it belongs to.
    pub area: &'static str,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// Whether this version does what it says.
    pub in_effect: bool,
}

impl Key {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        default_later: Option<&'static str>,
        area: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            default_later,
            area,
            nullable: false,
            secret: false,
            in_effect: false,
        }
    }

    pub(super) const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn in_effect(mut self) -> Self {
        self.in_effect = true;
        self
    }

    /// The default that counts, as JSON.
    #[must_use]
    pub fn effective_default(&self) -> &'static str {
        self.default_later.unwrap_or(self.default)
    }
}
