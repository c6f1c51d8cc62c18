//! Writes a value of PM2's formats so that TOML's stricter decoder reads the same value.

use super::super::{
    apply::pid_file_of_pm2,
    arguments,
    draft::Draft,
    keys::Kind,
    listen,
    tree::{Node, Value},
    value::{self, Dialect},
    watching, write,
};
use crate::spec::{AppSpec, Dependency, Instances, validate::MAX_DURATION};

/// Which part of a value is in effect. In PM2's formats a value that contradicts another one is a warning.
pub(super) enum EffectivePart {
    Whole,
    /// Only this part, in TOML.
    Part(String),
    None,
}

/// Which part of the value of a key is in the plan.
pub(super) fn effective_part(key: &str, draft: &Draft, plan: &AppSpec) -> EffectivePart {
    let list = |items: Vec<String>| match items.as_slice() {
        [] => EffectivePart::None,
        _ => EffectivePart::Part(format!("[{}]", items.join(", "))),
    };
    match key {
        "depends_on" if plan.order.depends_on.len() < draft.depends_on.len() => {
            let tables = plan.order.depends_on.iter().map(|Dependency { app, condition }| {
                format!("{{ app = {}, condition = \"{}\" }}", write::quoted(app), condition.as_str())
            });
            list(tables.collect())
        }
        "listen" if plan.listen.len() < draft.listen.len() => {
            let sockets = plan.listen.iter().map(|socket| write::quoted(&listen::shown(socket)));
            list(sockets.collect())
        }
        "oneshot" if draft.oneshot != plan.order.oneshot => EffectivePart::None,
        _ => EffectivePart::Whole,
    }
}

/// A value of PM2's formats as TOML that is decoded to the same value.
pub(super) fn as_toml<D>(kind: &Kind<D>, node: &Node) -> Option<String> {
    match kind {
        Kind::Arguments(_) => {
            let words = arguments::words(node, Dialect::Pm2).ok()?;
            let same = matches!(node.value, Value::Text(_))
                && arguments::words(node, Dialect::Toml).is_ok_and(|split| split == words);
            return if same { write::value(&node.value) } else { Some(write::texts(&words)) };
        }
        Kind::Instances(_) if value::instances(node, Dialect::Toml).is_err() => {
            let instances = value::instances(node, Dialect::Pm2).ok()?;
            return Some(match instances {
                Instances::Count(count) => count.to_string(),
                Instances::CpusMinus(0) => "\"max\"".to_owned(),
                Instances::CpusMinus(less) => format!("-{less}"),
            });
        }
        Kind::ExitCodes(_) => {
            let (codes, _) = value::codes_of_pm2(node).ok()?;
            if value::codes(node).as_ref() != Ok(&codes) {
                let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
                return Some(format!("[{}]", codes.join(", ")));
            }
        }
        Kind::Integer(min, max, ..) if value::count(node, *min, *max).is_err() => {
            return value::nearest_count(node, *min, *max).map(|count| count.to_string());
        }
        Kind::Duration(..) | Kind::Delay(_) if value::is_too_long(node) => {
            return Some(MAX_DURATION.as_millis().to_string());
        }
        Kind::PidFile(_) => {
            return value::full_text(node).ok().map(|path| write::quoted(&pid_file_of_pm2(&path)));
        }
        Kind::Watch(_) => {
            return Some(match watching::paths(node, Dialect::Pm2).ok()? {
                None => "false".to_owned(),
                Some(paths) if paths.is_empty() => "true".to_owned(),
                Some(paths) => write::texts(&paths),
            });
        }
        Kind::Patterns(_) => {
            return watching::patterns(node, Dialect::Pm2).ok().map(|(patterns, _)| write::texts(&patterns));
        }
        // TOML rejects a small size without a unit.
        Kind::MemoryLimit(_) if value::memory(node, Dialect::Toml).is_err() => {
            return value::size(node).ok().map(|bytes| write::quoted(&format!("{bytes}B")));
        }
        Kind::EnvFilter(_) => match &node.value {
            Value::Text(name) => return Some(write::quoted(&format!("={name}"))),
            Value::List(items) => {
                let parts: Vec<String> = items.iter().filter_map(|item| value::text(item).ok()).collect();
                // Each name contains the empty string.
                let all = parts.iter().any(String::is_empty);
                return Some(if all { "true".to_owned() } else { write::texts(&parts) });
            }
            _ => {}
        },
        _ => {}
    }
    write::value(&node.value)
}
