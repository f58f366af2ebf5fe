//! Conditions on where a tag points: a compare-and-swap for tags (RFC 9110, section 13).

use crate::digest::Digest;
use crate::error::Error;

/// What must hold of a tag before it is moved or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// `If-Match: *`: it exists.
    Exists,
    /// `If-Match: "digest", …`: it points at one of these.
    Is(Vec<Digest>),
    /// `If-None-Match: *`: it does not exist.
    Absent,
    /// `If-None-Match: "digest", …`: it points at none of these.
    IsNot(Vec<Digest>),
    /// Both.
    Both(Box<Self>, Box<Self>),
}

impl Condition {
    /// Checks what a tag points at now.
    ///
    /// # Errors
    /// [`ErrorKind::PreconditionFailed`](crate::ErrorKind::PreconditionFailed) with the current digest.
    pub fn check(&self, current: Option<&Digest>) -> Result<(), Error> {
        let holds = match self {
            Self::Both(first, second) => {
                first.check(current)?;
                return second.check(current);
            }
            Self::None => true,
            Self::Exists => current.is_some(),
            Self::Is(digests) => current.is_some_and(|current| digests.contains(current)),
            Self::Absent => current.is_none(),
            Self::IsNot(digests) => current.is_none_or(|current| !digests.contains(current)),
        };
        if holds {
            Ok(())
        } else {
            Err(Error::precondition(current))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    #[test]
    fn table() {
        let a = Digest::of(Algorithm::Sha256, b"a");
        let b = Digest::of(Algorithm::Sha256, b"b");
        for (condition, absent, at_a, at_b) in [
            (Condition::None, true, true, true),
            (Condition::Exists, false, true, true),
            (Condition::Is(vec![a]), false, true, false),
            (Condition::Is(vec![]), false, false, false),
            (Condition::Absent, true, false, false),
            (Condition::IsNot(vec![a]), true, false, true),
            (
                Condition::Both(Box::new(Condition::Exists), Box::new(Condition::IsNot(vec![a]))),
                false,
                false,
                true,
            ),
        ] {
            let holds = |current| condition.check(current).is_ok();
            assert_eq!(
                (holds(None), holds(Some(&a)), holds(Some(&b))),
                (absent, at_a, at_b),
                "{condition:?}"
            );
        }
        let error = Condition::Absent.check(Some(&a)).unwrap_err();
        assert_eq!(error.detail().unwrap()["current"], a.to_string());
    }
}
