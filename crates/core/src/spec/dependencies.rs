//! Dependencies between applications: the conditions that an application can reach, and dependency cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::{AppSpec, Condition};

impl Condition {
    /// The strongest condition that this application can reach: the default of a dependency on it.
    pub fn best_of(app: &AppSpec) -> Self {
        Self::ALL.into_iter().rev().find(|condition| condition.is_possible(app)).unwrap_or(Self::Started)
    }

    /// Whether this application can reach the condition.
    pub fn is_possible(self, app: &AppSpec) -> bool {
        match self {
            Self::Started => true,
            Self::Ready => {
                let reports = app.reload.wait_ready || app.can_overlap() || app.health.gate().is_some();
                reports && !app.order.oneshot
            }
            Self::Healthy => app.health.liveness.is_some() && !app.order.oneshot,
            Self::Completed => app.order.oneshot,
        }
    }
}

/// The dependencies of each application, by name.
pub type Graph<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// The dependencies of these applications.
pub fn graph<'a>(apps: impl IntoIterator<Item = &'a AppSpec>) -> Graph<'a> {
    let needs = |app: &'a AppSpec| app.order.depends_on.iter().map(|other| other.app.as_str()).collect();
    apps.into_iter().map(|app| (app.name.as_str(), needs(app))).collect()
}

/// A dependency cycle, with its first member repeated at its end, if there is one.
pub fn find_cycle<'a>(graph: &Graph<'a>) -> Option<Vec<&'a str>> {
    let mut done = BTreeSet::new();
    for start in graph.keys() {
        // The path from `start`, with the index of the next dependency of each member.
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((name, next)) = path.last_mut() {
            let name = *name;
            let needed = graph.get(name).and_then(|needs| needs.get(*next)).copied();
            *next += 1;
            match needed {
                None => {
                    done.insert(name);
                    path.pop();
                }
                Some(needed) if done.contains(needed) => {}
                Some(needed) => {
                    if let Some(at) = path.iter().position(|(member, _)| *member == needed) {
                        return Some(path[at..].iter().map(|(member, _)| *member).chain([needed]).collect());
                    }
                    path.push((needed, 0));
                }
            }
        }
    }
    None
}

/// All direct and indirect dependencies of these applications.
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
        assert_eq!(find_cycle(&graph), Some(vec!["api", "db", "migrate", "api"]));
        assert_eq!(find_cycle(&graph_of(&[("a", &["a"])])), Some(vec!["a", "a"]));
    }

    #[test]
    fn a_diamond_is_not_a_cycle_and_unknown_names_are_allowed() {
        let graph = graph_of(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d", "unknown"]), ("d", &[])]);
        assert_eq!(find_cycle(&graph), None);
        assert_eq!(needed_by(&graph, ["a"]), BTreeSet::from(["b", "c", "d", "unknown"]));
        assert_eq!(needed_by(&graph, ["b", "d"]), BTreeSet::from(["d"]));
    }

    /// 1,000 applications in a chain: no recursion.
    #[test]
    fn a_long_chain_is_followed() {
        let names: Vec<String> = (0..1000).map(|number| format!("{number:04}")).collect();
        let mut graph = Graph::new();
        for (number, name) in names.iter().enumerate() {
            graph.insert(name, names.get(number + 1).map(|next| vec![next.as_str()]).unwrap_or_default());
        }
        assert_eq!(find_cycle(&graph), None);
        graph.insert(&names[999], vec![&names[0]]);
        assert_eq!(find_cycle(&graph).map(|cycle| cycle.len()), Some(1001));
    }
}
