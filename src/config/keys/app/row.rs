//! What the rows of most keys of an application have in common.

use crate::{
    config::{
        draft::Draft,
        keys::{
            key::{Change, Key, Owner},
            kind::Kind,
            part::KeyPatch,
        },
    },
    spec::AppSpec,
};

/// What a row of a key that PM2 has leaves out.
pub(super) const PM2: Key<Draft, AppSpec> = Key {
    name: "",
    aliases: &[],
    meaning: "",
    default: "",
    example: "",
    kind: Kind::Ignored,
    show: |_| None,
    options: &[],
    part: None,
    owner: Owner::Pm2,
    change: Change::Restart,
    patch: KeyPatch::None,
};

/// What a row of a key that only procrun has leaves out.
pub(super) const OWN: Key<Draft, AppSpec> = Key { owner: Owner::Procrun, ..PM2 };

/// A part of the spec that is one field.
macro_rules! field {
    ($($field:ident).+) => {
        Some($crate::config::keys::part::Part {
            same: |one, other| one.$($field).+ == other.$($field).+,
            copy: |from, to| to.$($field).+.clone_from(&from.$($field).+),
        })
    };
}
pub(super) use field;
