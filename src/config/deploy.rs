//! PM2's `deploy` section: only its environment variables have an effect here.

use super::tree::{Entry, Node, Value};

/// The variables in `deploy.<name>.env` at the root, by name. PM2 gives them to each app with `--env <name>`: they
/// override `env`, and `env_<name>` overrides them. Values that are not scalars are left out.
pub(super) fn environments(root: &Node) -> Vec<(&str, Vec<Entry>)> {
    let targets = root.get("deploy").and_then(|deploy| deploy.node.entries()).unwrap_or_default();
    let variables = |target: &'_ Entry| {
        let entries = target.node.get("env")?.node.entries()?;
        let is_scalar = |entry: &&Entry| {
            !matches!(entry.node.value, Value::Null | Value::Broken | Value::List(_) | Value::Table(_))
        };
        Some(entries.iter().filter(is_scalar).cloned().collect())
    };
    targets.iter().filter_map(|target| Some((target.key.as_str(), variables(target)?))).collect()
}
