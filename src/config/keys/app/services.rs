//! Keys of PM2 that have no effect: its own services.

use crate::{
    config::{
        draft::Draft,
        keys::{Key, Kind, app::PM2},
    },
    spec::AppSpec,
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key { name: "force", kind: Kind::Ignored, ..PM2 },
    Key { name: "vizion", kind: Kind::Unsupported, ..PM2 },
    Key { name: "pmx", kind: Kind::Unsupported, ..PM2 },
    Key { name: "automation", kind: Kind::Unsupported, ..PM2 },
    Key { name: "trace", kind: Kind::Unsupported, ..PM2 },
    Key { name: "disable_trace", kind: Kind::Unsupported, ..PM2 },
    Key { name: "v8", kind: Kind::Unsupported, ..PM2 },
    Key { name: "deep_monitoring", kind: Kind::Unsupported, ..PM2 },
    Key { name: "event_loop_inspector", kind: Kind::Unsupported, ..PM2 },
    Key { name: "io", kind: Kind::Unsupported, ..PM2 },
    Key { name: "post_update", kind: Kind::Unsupported, ..PM2 },
    Key { name: "windowsHide", kind: Kind::Unsupported, ..PM2 },
    Key { name: "install_url", kind: Kind::Unsupported, ..PM2 },
    Key { name: "write", kind: Kind::Unsupported, ..PM2 },
    Key { name: "username", kind: Kind::Unsupported, ..PM2 },
    Key { name: "kill_retry_time", kind: Kind::Unsupported, ..PM2 },
    Key { name: "execute_command", kind: Kind::Unsupported, ..PM2 },
];
