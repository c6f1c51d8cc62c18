//! The user and the group that an application runs as.

use super::failed_start::kind_of;
use crate::{
    machine::{FailureKind, SpawnFailure},
    spec::{AppSpec, PrincipalRef},
    sys::accounts::{self, Credentials, Key},
};

/// Looks up user and group; `None`: those of procrun. Reads files, so it may never end.
pub(super) fn credentials(spec: &AppSpec) -> Result<Option<Credentials>, SpawnFailure> {
    let identity = &spec.identity;
    let (user, group) = (identity.user.as_ref().map(as_key), identity.group.as_ref().map(as_key));
    accounts::resolve(user, group).map_err(|error| SpawnFailure {
        code: 126,
        message: missing_account(&error),
        kind: match &error {
            accounts::Error::NoUser(_) | accounts::Error::NoGroup(_) => FailureKind::Permanent,
            accounts::Error::Unreadable { source, .. } => kind_of(source, FailureKind::Permanent),
        },
    })
}

fn as_key(principal: &PrincipalRef) -> Key<'_> {
    match principal {
        PrincipalRef::Id(id) => Key::Id(*id),
        PrincipalRef::Name(name) => Key::Name(name),
    }
}

/// The error for an account that is missing, with its hint.
fn missing_account(error: &accounts::Error) -> String {
    let hint = match error {
        accounts::Error::NoUser(_) => {
            "add the user to the image (`useradd`), or give its number: `user = 1000`"
        }
        accounts::Error::NoGroup(_) => {
            "add the group to the image (`groupadd`), or give its number: `gid = 1000`"
        }
        accounts::Error::Unreadable { .. } => return error.to_string(),
    };
    format!("{error}\n  hint: {hint}")
}
