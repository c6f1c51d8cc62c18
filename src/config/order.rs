//! Resolves `depends_on` to dependencies, or reports errors.
//!
//! A dependency depends on the kind of the other application, so this runs when all applications are known.

use std::collections::BTreeMap;

use super::{
    notices::Notices,
    origin::AppSettings,
    problem::{Problem, Problems},
    tree::{Node, Position, SourceLocation, Value, shorten},
    value::{self, Complaint, Decoded, Dialect},
};
use crate::spec::{
    AppSpec, Condition, Dependency,
    dependencies::{find_cycle, graph},
    order::CrossFileDependency,
};

/// A dependency as it is written in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenDependency {
    pub(super) app: String,
    /// `None`: the strongest condition that the other application supports.
    pub(super) condition: Option<Condition>,
    pub(super) at: Option<Position>,
}

const WANTED: &str = "a name, `{ app = NAME, condition = \"ready\" }` or a list of them";

/// Decodes a name, a table, or a list of them.
pub(super) fn depends_on(node: &Node) -> Decoded<Vec<WrittenDependency>> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut found: Vec<WrittenDependency> = Vec::new();
    let mut complaints = Vec::new();
    for item in items {
        let at = item.at.or(node.at);
        match wanted(item, at) {
            Ok(wanted) if found.iter().any(|other| other.app == wanted.app) => {
                complaints.push(Complaint { message: format!("names `{}` twice", shorten(&wanted.app)), at });
            }
            Ok(wanted) => found.push(wanted),
            Err(more) => {
                complaints.extend(more.into_iter().map(|it| Complaint { at: it.at.or(at), ..it }));
            }
        }
    }
    if complaints.is_empty() { Ok(found) } else { Err(complaints) }
}

fn wanted(node: &Node, at: Option<Position>) -> Decoded<WrittenDependency> {
    let entries = match &node.value {
        Value::Text(_) => return Ok(WrittenDependency { app: value::label(node)?, condition: None, at }),
        Value::Table(entries) => entries,
        _ => return value::must_be(WANTED, node),
    };
    let (mut app, mut condition) = (None, None);
    for entry in entries {
        match entry.key.as_str() {
            "app" => app = Some(value::label(&entry.node)?),
            "condition" => condition = Some(one_condition(&entry.node)?),
            other => {
                let message = format!("has no key `{}`; the keys are `app` and `condition`", shorten(other));
                return Err(vec![Complaint { message, at: entry.at }]);
            }
        }
    }
    match app {
        Some(app) => Ok(WrittenDependency { app, condition, at }),
        None => value::complain("has an entry without an `app`"),
    }
}

/// The names of the conditions.
pub(super) fn conditions() -> [&'static str; Condition::ALL.len()] {
    Condition::ALL.map(Condition::as_str)
}

fn one_condition(node: &Node) -> Decoded<Condition> {
    let word = value::text(node).unwrap_or_default();
    Condition::ALL.into_iter().find(|condition| condition.as_str() == word).ok_or_else(|| {
        let message = format!(
            "has a `condition` that must be \"started\", \"ready\", \"healthy\" or \"completed\", not {}",
            node.value.describe()
        );
        vec![Complaint { message, at: node.at }]
    })
}

/// The names of all applications of a file.
pub(super) struct Names<'a> {
    /// The applications of the plan.
    pub(super) full: Vec<String>,
    /// For each of them the name in the file, if that is another one.
    pub(super) written: Vec<Option<String>>,
    /// The applications that `--only` leaves out, by either name, with their full names.
    pub(super) left_out: BTreeMap<&'a str, &'a str>,
}

impl Names<'_> {
    /// The index of the application with this name.
    fn find(&self, name: &str) -> Option<usize> {
        let full = self.full.iter().position(|full| full == name);
        full.or_else(|| self.written.iter().position(|written| written.as_deref() == Some(name)))
    }
}

/// Sets the dependencies of the specs. `wanted` and `settings` are those of `specs`, in the same order. Returns the
/// dependencies on applications that were left out.
pub(super) fn resolve(
    specs: &mut [AppSpec],
    settings: &[AppSettings],
    wanted: &[Vec<WrittenDependency>],
    names: &Names<'_>,
    dialect: Dialect,
    problems: &mut Problems,
    notices: &mut Notices,
) -> Vec<CrossFileDependency> {
    const IGNORED: &str = "this dependency is ignored";
    let mut outside = Vec::new();
    let mut found: Vec<Vec<Dependency>> = Vec::with_capacity(specs.len());
    for (number, wanted) in wanted.iter().enumerate() {
        let (mut dependencies, mut seen) = (Vec::new(), BTreeMap::new());
        for WrittenDependency { app, condition, at } in wanted {
            let (name, shown) = (&specs[number].name, shorten(app));
            let place = settings[number]
                .place_of("depends_on")
                .map(|place| SourceLocation { position: at.or(place.position), ..place });
            let wrong = |what: String| Problem {
                place: place.clone(),
                message: format!("`depends_on` in app `{name}` {what}"),
                hint: None,
            };
            let Some(other) = names.find(app) else {
                if let Some(full) = names.left_out.get(app.as_str()) {
                    notices.add(format!(
                        "app `{name}` depends on `{shown}`, which `--only` leaves out: it waits for it only if \
                         that is in the list already"
                    ));
                    let needs = (*full).to_owned();
                    outside.push(CrossFileDependency { app: name.clone(), needs, condition: *condition });
                    continue;
                }
                let known = || names.full.iter().map(String::as_str).chain(names.left_out.keys().copied());
                let problem = wrong(format!("names `{shown}`, but there is no app with this name"));
                let hint = if let Some(near) = super::nearest(app, known().filter(|known| known != name)) {
                    format!("did you mean `{near}`?")
                } else {
                    let known: Vec<String> = known().map(|known| format!("`{known}`")).collect();
                    format!("there is {}", known.join(", "))
                };
                notices.own_key(problem.hint(hint), IGNORED, dialect, problems);
                continue;
            };
            if other == number {
                let problem =
                    wrong("contains the app itself".to_owned()).hint("an app cannot depend on itself");
                notices.own_key(problem, IGNORED, dialect, problems);
                continue;
            }
            if let Some(first) = seen.insert(other, app) {
                let problem = wrong(format!("names one app twice: `{}` and `{shown}`", shorten(first)));
                notices.own_key(problem, "the second one is ignored", dialect, problems);
                continue;
            }
            let other = &specs[other];
            let condition = condition.unwrap_or_else(|| Condition::best_of(other));
            if !condition.is_possible(other) {
                let (why, hint) = impossible(condition, other);
                notices.own_key(wrong(why).hint(hint), IGNORED, dialect, problems);
                continue;
            }
            dependencies.push(Dependency { app: other.name.clone(), condition });
        }
        found.push(dependencies);
    }
    for (spec, dependencies) in specs.iter_mut().zip(found) {
        spec.order.depends_on = dependencies;
    }
    while let Some(circle) = cycle(specs) {
        let place = specs.iter().position(|spec| spec.name == circle[0]);
        let place = place.and_then(|number| settings[number].place_of("depends_on"));
        let message = format!("`depends_on` makes a dependency cycle: {}", circle.join(" → "));
        let problem = Problem { place, message, hint: None };
        let problem = problem.hint("none of these apps can ever start: remove one of the dependencies");
        notices.own_key(problem, "the last of these dependencies is ignored", dialect, problems);
        if dialect == Dialect::Toml {
            break;
        }
        let [.., last, first] = circle.as_slice() else { break };
        for spec in specs.iter_mut().filter(|spec| spec.name == *last) {
            spec.order.depends_on.retain(|dependency| dependency.app != *first);
        }
    }
    outside
}

/// The names along a dependency cycle, with the first one again at the end.
fn cycle(specs: &[AppSpec]) -> Option<Vec<String>> {
    find_cycle(&graph(specs.iter())).map(|names| names.into_iter().map(ToString::to_string).collect())
}

/// `["db (ready)"]`
pub(super) fn shown(dependencies: &[Dependency]) -> String {
    let shown: Vec<String> = dependencies.iter().map(ToString::to_string).collect();
    format!("{shown:?}")
}

/// Why an application can never meet a condition, and the next step.
fn impossible(condition: Condition, app: &AppSpec) -> (String, String) {
    let name = &app.name;
    match condition {
        Condition::Completed => (
            format!("waits until `{name}` is completed, but that app is not a task"),
            format!("set `oneshot = true` in `{name}`, or wait until it is \"started\""),
        ),
        Condition::Healthy => (
            format!("waits until `{name}` is healthy, but it has no health probe"),
            format!(
                "set `[apps.health]` for `{name}`, or wait until it is \"{}\"",
                Condition::best_of(app).as_str()
            ),
        ),
        Condition::Ready | Condition::Started if app.order.oneshot => (
            format!("waits until `{name}` is {}, but that is a task (`oneshot`)", condition.as_str()),
            "wait until it is \"completed\"".to_owned(),
        ),
        Condition::Ready | Condition::Started => (
            format!("waits until `{name}` is {}, but that app cannot report it", condition.as_str()),
            format!("set `[apps.readiness]` or `wait_ready` for `{name}`, or wait until it is \"started\""),
        ),
    }
}
