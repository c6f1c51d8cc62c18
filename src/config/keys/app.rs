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
mod row;
mod services;
mod stop;
mod watch;

use super::key::Section;
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
