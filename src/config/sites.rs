//! The built-in file server: `static` at the root of a file becomes apps with `script = "serve"`, as in PM2. An app
//! with that script gets the socket on which it listens.

use super::{
    draft::Draft,
    keys::STATIC,
    origin::Origin,
    tree::{Entry, Node, Position, Value, shorten},
};
use crate::spec::{
    EnvSpec, Listen, ListenAddress,
    serve::{DEFAULT_PORT, SCRIPT, ServeSettings, variable},
};

/// The name of the socket in `LISTEN_FDNAMES`.
const SOCKET: &str = "http";

/// Keys of a site, each with the variable for its value.
const VARIABLES: [(&str, &str); 7] = [
    ("path", variable::PATH),
    ("port", variable::PORT),
    ("host", variable::HOST),
    ("spa", variable::SPA),
    ("ftp", variable::LISTING),
    ("homepage", variable::HOMEPAGE),
    ("monitor", variable::MONITOR),
];

/// The keys of a site.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|(key, _)| *key).chain(["name", "basic_auth", "directory"])
}

/// An error in a site: its place, the message and the hint.
pub(super) type Complaint = (Option<Position>, String, Option<&'static str>);

/// The tree with each site of `static` as an app after the others. `None`: there is no `static`.
pub(super) fn as_apps(root: &Node) -> Option<(Node, Vec<Complaint>)> {
    let sites = root.get(STATIC)?;
    let mut complaints = Vec::new();
    let items = match &sites.node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&sites.node),
    };
    let apps: Vec<Node> = items.iter().filter_map(|item| app(item, &mut complaints)).collect();
    let mut entries: Vec<Entry> = Vec::new();
    let mut is_placed = false;
    for entry in root.entries().into_iter().flatten().filter(|entry| entry.key != STATIC) {
        let mut entry = entry.clone();
        if matches!(entry.key.as_str(), "apps" | "pm2") && !is_placed {
            is_placed = true;
            let mut all = match std::mem::replace(&mut entry.node.value, Value::Null) {
                Value::List(items) => items,
                Value::Null => Vec::new(),
                other => vec![Node { value: other, ..entry.node.clone() }],
            };
            all.extend(apps.iter().cloned());
            entry.node.value = Value::List(all);
        }
        entries.push(entry);
    }
    if !is_placed {
        if entries.iter().any(|entry| entry.key == "script") {
            let what = format!("`{STATIC}` needs the app in a list `apps`");
            complaints.push((sites.at, what, Some("put the app into `apps`")));
        } else {
            let node = Node::new(Value::List(apps), sites.node.at);
            entries.push(Entry { key: "apps".to_owned(), at: sites.at, node });
        }
    }
    Some((Node::new(Value::Table(entries), root.at), complaints))
}

fn app(site: &Node, complaints: &mut Vec<Complaint>) -> Option<Node> {
    let Some(entries) = site.entries() else {
        let what =
            format!("`{STATIC}` is a list of tables with `path` and `port`, not {}", site.value.describe());
        complaints.push((site.at, what, None));
        return None;
    };
    let text = |key: &str, text: &str| Entry {
        key: key.to_owned(),
        at: site.at,
        node: Node::new(Value::Text(text.to_owned()), site.at),
    };
    let mut name = None;
    let mut port = DEFAULT_PORT.to_string();
    let mut variables: Vec<Entry> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.node.value != Value::Null) {
        let key = entry.key.as_str();
        if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == key) {
            if key == "port" {
                port = match &entry.node.value {
                    Value::Integer(number) => number.to_string(),
                    Value::Text(text) => text.clone(),
                    _ => port,
                };
            }
            variables.push(Entry { key: (*variable).to_owned(), ..entry.clone() });
        } else if key == "name" {
            name = Some(entry.clone());
        } else if key == "basic_auth" {
            variables.push(text(variable::AUTH, "true"));
            for (key, variable) in [("username", variable::USERNAME), ("password", variable::PASSWORD)] {
                let entry_of_key =
                    entry.node.get(key).filter(|entry_of_key| entry_of_key.node.value != Value::Null);
                variables.extend(
                    entry_of_key
                        .map(|entry_of_key| Entry { key: variable.to_owned(), ..entry_of_key.clone() }),
                );
            }
        } else if key != "directory" {
            // PM2 passes `directory` to its server, which ignores it.
            let what = format!("unknown key `{}` in `{STATIC}`", shorten(key));
            complaints.push((entry.at, what, None));
        }
    }
    let env = Node::new(Value::Table(variables), site.at);
    let entries = vec![
        name.unwrap_or_else(|| text("name", &format!("static-page-server-{port}"))),
        text("script", SCRIPT),
        Entry { key: "env".to_owned(), at: site.at, node: env },
    ];
    Some(Node::new(Value::Table(entries), site.at))
}

/// The socket of an app with the built-in script, if its file sets the address: procrun opens it, several instances
/// share it, and it stays open during a crash or reload. The worker itself opens an address from the caller's
/// environment, because that can change with each start.
///
/// # Errors
///
/// The settings are not valid.
pub(super) fn listen(
    draft: &mut Draft,
    args: &[String],
    env: &EnvSpec,
    caller: impl Fn(&str) -> Option<String>,
) -> Result<Option<Listen>, String> {
    let inherited = |name: &str| caller(name).filter(|_| env.inherit.takes(name));
    let settings = ServeSettings::read(|name| env.vars.get(name).cloned().or_else(|| inherited(name)), args);
    let of_caller = |name: &str| !env.vars.contains_key(name) && inherited(name).is_some();
    let differs = |name: &str| {
        env.increment_var.as_deref() == Some(name)
            || env.vars.get(name).is_some_and(|value| value.contains('{'))
    };
    if [variable::PORT, variable::HOST].into_iter().any(|name| of_caller(name) || differs(name)) {
        return Ok(None);
    }
    let address = settings?.address().filter(|_| draft.listen.is_empty());
    let Some(address) = address else { return Ok(None) };
    draft.origins.insert("listen", Origin::Derived(variable::PORT));
    Ok(Some(Listen { name: SOCKET.to_owned(), address: ListenAddress::Tcp(address) }))
}

#[cfg(test)]
mod tests {
    use super::{super::json, *};

    fn apps(text: &str) -> (Vec<String>, Vec<String>) {
        let (root, _) = json::parse(text).unwrap();
        let (root, complaints) = as_apps(&root).unwrap();
        let Value::List(apps) = &root.get("apps").unwrap().node.value else { panic!("{root:?}") };
        let text = |node: &Node| match &node.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Bool(on) => on.to_string(),
            other => other.describe(),
        };
        let shown = apps.iter().map(|app| {
            let name = app.get("name").map_or_else(String::new, |name| text(&name.node));
            let env = app.get("env").and_then(|env| env.node.entries()).unwrap_or_default();
            let env: Vec<_> = env
                .iter()
                .map(|it| format!(" {}={}", &it.key["PM2_SERVE_".len()..], text(&it.node)))
                .collect();
            name + &env.concat()
        });
        (shown.collect(), complaints.into_iter().map(|(_, what, _)| what).collect())
    }

    #[test]
    fn sites_are_apps_after_the_others() {
        let (shown, complaints) = apps(
            r#"{"apps": [{"name": "api", "script": "a.js"}], "static": [
                {"path": "dist", "port": 3000, "spa": true, "host": null, "directory": "x"},
                {"name": "docs", "basic_auth": {"username": "u", "password": "p"}, "color": "red"}]}"#,
        );
        assert_eq!(
            shown,
            [
                "api",
                "static-page-server-3000 PATH=dist PORT=3000 SPA=true",
                "docs BASIC_AUTH=true BASIC_AUTH_USERNAME=u BASIC_AUTH_PASSWORD=p"
            ]
        );
        assert_eq!(complaints, ["unknown key `color` in `static`"]);
        let (shown, complaints) = apps(r#"{"static": {"port": "80"}}"#);
        assert_eq!((shown.len(), complaints.len()), (1, 0));
        assert_eq!(apps(r#"{"apps": [], "static": ["dist"]}"#).1.len(), 1);
    }
}
