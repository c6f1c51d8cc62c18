//! The keys of an application, by subject. The order is that of `procrun check`.

mod environment;
mod order;
mod output;
mod parts;
mod privileges;
mod processes;
mod program;
mod readiness;
mod restarts;
mod services;
mod stop;
mod watch;

use super::{Change, Key, Kind, Owner, Section, part::KeyPatch};
use crate::{config::draft::Draft, spec::AppSpec};

/// All keys of an application.
pub(in crate::config) static APP_KEYS: &[Section<Draft, AppSpec>] = &[
    Section { heading: "Program", keys: program::KEYS },
    Section { heading: "Processes and sockets", keys: processes::KEYS },
    Section { heading: "User and limits", keys: privileges::KEYS },
    Section { heading: "Start", keys: order::KEYS },
    Section { heading: "Restarts", keys: restarts::KEYS },
    Section { heading: "Readiness, health and reload", keys: readiness::KEYS },
    Section { heading: "Stop", keys: stop::KEYS },
    Section { heading: "Output", keys: output::KEYS },
    Section { heading: "Environment", keys: environment::KEYS },
    Section { heading: "File watching", keys: watch::KEYS },
    Section { heading: SERVICES, keys: services::KEYS },
];

/// The section of the keys without effect, which the reference lists elsewhere.
pub(super) const SERVICES: &str = "Services of PM2";

/// What a row of a key that PM2 has leaves out.
const PM2: Key<Draft, AppSpec> = Key {
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
const OWN: Key<Draft, AppSpec> = Key { owner: Owner::Procrun, ..PM2 };

/// A part of the spec that is one field.
macro_rules! field {
    ($($field:ident).+) => {
        Some($crate::config::keys::part::Part {
            same: |one, other| one.$($field).+ == other.$($field).+,
            copy: |from, to| to.$($field).+.clone_from(&from.$($field).+),
        })
    };
}
use field;
