//! Which application comes before which, and which ones are tasks that end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::AppSpec;

/// The place of an application among the others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Order {
    /// The applications that it waits for at a start (`depends_on`); each at most once, and no cycles.
    pub depends_on: Vec<Dependency>,
    /// It is a task that is done when it ends with 0 (`oneshot`).
    pub oneshot: bool,
}

/// Something that an application waits for at a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The other application, by its name.
    pub app: String,
    /// What that one has to be.
    pub condition: Condition,
}

/// Something that an application waits for if it is in the list, although it was not read with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The dependent application.
    pub app: String,
    /// For whom, by its name.
    pub needs: String,
    /// What that one has to be; `None`: the best that it can tell.
    pub condition: Option<Condition>,
}

/// The condition of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Its program is being executed.
    Started,
    /// It has reported that it can serve.
    Ready,
    /// Its health probe has passed.
    Healthy,
    /// It was a task, and has ended with 0.
    Completed,
}

impl Condition {
    /// All of them, the best last.
    pub const ALL: [Self; 4] = [Self::Started, Self::Ready, Self::Healthy, Self::Completed];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Healthy => "healthy",
            Self::Completed => "completed",
        }
    }

    /// The best that this application can tell of itself: what its name alone waits for.
    pub fn best_of(app: &AppSpec) -> Self {
        Self::ALL.into_iter().rev().find(|condition| condition.is_possible(app)).unwrap_or(Self::Started)
    }

    /// Whether this application can ever be so.
    pub fn is_possible(self, app: &AppSpec) -> bool {
        match self {
            Self::Started => true,
            Self::Ready => {
                let tells = app.reload.wait_ready || app.can_overlap() || app.health.gate().is_some();
                tells && !app.order.oneshot
            }
            Self::Healthy => app.health.liveness.is_some() && !app.order.oneshot,
            Self::Completed => app.order.oneshot,
        }
    }
}

/// `db (ready)`.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.app, self.condition.as_str())
    }
}

/// Which application waits for which others, by name.
pub type Graph<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// Which of these applications waits for which others.
pub fn graph<'a>(apps: impl IntoIterator<Item = &'a AppSpec>) -> Graph<'a> {
    let needs = |app: &'a AppSpec| app.order.depends_on.iter().map(|other| other.app.as_str()).collect();
    apps.into_iter().map(|app| (app.name.as_str(), needs(app))).collect()
}

/// A dependency cycle, with its first member also at its end, if there is one.
pub fn circle<'a>(graph: &Graph<'a>) -> Option<Vec<&'a str>> {
    let mut done = BTreeSet::new();
    for start in graph.keys() {
        // The way from `start`, and of each member which of those that it needs comes next.
        let mut way: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((name, next)) = way.last_mut() {
            let name = *name;
            let needed = graph.get(name).and_then(|needs| needs.get(*next)).copied();
            *next += 1;
            match needed {
                None => {
                    done.insert(name);
                    way.pop();
                }
                Some(needed) if done.contains(needed) => {}
                Some(needed) => {
                    if let Some(at) = way.iter().position(|(member, _)| *member == needed) {
                        return Some(way[at..].iter().map(|(member, _)| *member).chain([needed]).collect());
                    }
                    way.push((needed, 0));
                }
            }
        }
    }
    None
}

/// All that these need, also by way of others.
pub fn needed_by<'a>(graph: &Graph<'a>, apps: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut todo: Vec<&str> = apps.into_iter().collect();
    while let Some(name) = todo.pop() {
        todo.extend(graph.get(name).into_iter().flatten().filter(|needed| found.insert(needed)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph_of(edges: &[(&'static str, &[&'static str])]) -> Graph<'static> {
        edges.iter().map(|(name, needs)| (*name, needs.to_vec())).collect()
    }

    #[test]
    fn a_dependency_cycle_is_shown_completely() {
        let graph = graph_of(&[
            ("api", &["cache", "db"]),
            ("cache", &[]),
            ("db", &["migrate"]),
            ("migrate", &["api"]),
        ]);
        assert_eq!(circle(&graph), Some(vec!["api", "db", "migrate", "api"]));
        assert_eq!(circle(&graph_of(&[("a", &["a"])])), Some(vec!["a", "a"]));
    }

    #[test]
    fn a_diamond_is_no_circle_and_a_stranger_is_no_harm() {
        let graph = graph_of(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d", "nobody"]), ("d", &[])]);
        assert_eq!(circle(&graph), None);
        assert_eq!(needed_by(&graph, ["a"]), BTreeSet::from(["b", "c", "d", "nobody"]));
        assert_eq!(needed_by(&graph, ["b", "d"]), BTreeSet::from(["d"]));
    }

    /// 1,000 applications in a row: no recursion, and no time to speak of.
    #[test]
    fn a_long_row_is_followed() {
        let names: Vec<String> = (0..1000).map(|number| format!("{number:04}")).collect();
        let mut graph = Graph::new();
        for (number, name) in names.iter().enumerate() {
            graph.insert(name, names.get(number + 1).map(|next| vec![next.as_str()]).unwrap_or_default());
        }
        assert_eq!(circle(&graph), None);
        graph.insert(&names[999], vec![&names[0]]);
        assert_eq!(circle(&graph).map(|circle| circle.len()), Some(1001));
    }
}
