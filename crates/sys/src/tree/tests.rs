//! Synthetic process tables: the tests need no real processes.

use std::collections::HashMap;

use super::{
    super::{proc_stat::Stat, reap::Pid},
    Process, Root, RunMark, Trees,
    Witness::{self, Cgroup, Environment, Limit, Main, Output, Parent, Seen, Session},
    mark::Evidence,
};

const NAME: &str = "RUN";

fn process(pid: Pid, parent: Pid, session: Pid) -> Process {
    let stat = Stat {
        is_zombie: false,
        has_executed: true,
        parent,
        group: session,
        session,
        own: 0,
        children: 0,
        threads: 1,
        start: u64::from(pid.unsigned_abs()),
        pages: 0,
    };
    Process { pid, stat }
}

#[derive(Default)]
struct Known {
    limits: HashMap<Pid, u64>,
    entries: HashMap<Pid, String>,
    outputs: HashMap<Pid, u64>,
    users: HashMap<Pid, u32>,
    groups: HashMap<Pid, &'static str>,
}

impl Evidence for Known {
    fn group(&self, pid: Pid) -> Option<String> {
        self.groups.get(&pid).map(|group| (*group).to_owned())
    }

    fn limit(&self, pid: Pid) -> Option<u64> {
        self.limits.get(&pid).copied()
    }

    fn environment_entry(&self, pid: Pid, name: &str) -> Option<String> {
        assert_eq!(name, NAME);
        self.entries.get(&pid).cloned()
    }

    fn outputs(&self, pid: Pid) -> [Option<u64>; 2] {
        [None, self.outputs.get(&pid).copied()]
    }

    fn user(&self, pid: Pid) -> Option<u32> {
        Some(self.users.get(&pid).copied().unwrap_or(0))
    }
}

fn mark(key: u64) -> RunMark {
    RunMark::of_run(NAME, 0, key)
}

/// Trees with these main processes; this process has id 1 and session 1.
fn trees(leaders: &[(u64, Pid)]) -> Trees<u64> {
    let mut trees = Trees { own_pid: 1, own_session: Some(1), ..Trees::new() };
    for (key, leader) in leaders {
        let outputs = [Some(1000 + key), None];
        trees.insert(*key, Root { outputs, user: 0, ..Root::marked(*leader, mark(*key)) });
    }
    trees
}

fn found(trees: &Trees<u64>, key: u64) -> Vec<(Pid, Witness)> {
    let mut found: Vec<(Pid, Witness)> = trees.members(key).map(|it| (it.pid, it.witness)).collect();
    found.sort_unstable_by_key(|(pid, _)| *pid);
    found
}

#[test]
fn each_fact_finds_an_orphan() {
    let mut trees = trees(&[(0, 10), (1, 20)]);
    let known = Known {
        limits: HashMap::from([(40, mark(1).limit)]),
        entries: HashMap::from([(50, mark(0).entry)]),
        outputs: HashMap::from([(60, 1001)]),
        ..Known::default()
    };
    let all = [
        process(1, 0, 1),
        process(10, 1, 10),
        process(11, 10, 10),
        process(12, 11, 12),
        process(20, 1, 20),
        process(30, 1, 10), // in the session of the first
        process(40, 1, 40),
        process(41, 40, 41),
        process(50, 1, 50),
        process(60, 1, 60),
        process(70, 1, 70), // a stranger
        process(71, 70, 70),
        process(80, 0, 80), // from outside of the container
        process(81, 80, 80),
    ];
    let owners = trees.assign(&all, &known);
    assert_eq!(found(&trees, 0), [(10, Main), (11, Parent), (12, Parent), (30, Session), (50, Environment)]);
    assert_eq!(found(&trees, 1), [(20, Main), (40, Limit), (41, Parent), (60, Output)]);
    assert_eq!(owners.iter().flatten().count(), 9);
    // The members are known now, even without their marks.
    trees.assign(&all, &Known::default());
    assert_eq!(found(&trees, 1), [(20, Main), (40, Limit), (41, Parent), (60, Output)]);
}

#[test]
fn a_known_process_stays_a_member_when_its_parent_exits() {
    let mut trees = trees(&[(0, 10)]);
    let known = Known::default();
    trees.assign(&[process(1, 0, 1), process(10, 1, 10), process(11, 10, 11), process(12, 11, 12)], &known);
    trees.main_ended(0);
    trees.assign(&[process(1, 0, 1), process(12, 1, 12)], &known);
    assert_eq!(found(&trees, 0), [(12, Seen)]);
    // A process in the session of the member is a member. A process with the same id and another start time is not.
    let mut another = process(12, 1, 13);
    another.stat.start += 1;
    trees.assign(&[process(1, 0, 1), process(14, 1, 12), another], &known);
    assert_eq!(found(&trees, 0), [(14, Session)]);
}

/// When process ids wrap around, an orphan of another run may be in a session with a known number.
#[test]
fn a_mark_of_another_run_overrules_session_and_output() {
    let all = [process(1, 0, 1), process(10, 1, 10), process(20, 1, 20), process(30, 1, 10)];
    let by_limit = |limit| Known { limits: HashMap::from([(30, limit)]), ..Known::default() };
    let by_entry = |entry| Known { entries: HashMap::from([(30, entry)]), ..Known::default() };
    let cases = [
        (by_limit(mark(1).limit), Some((1, Limit))),
        (by_entry(mark(1).entry), Some((1, Environment))),
        // A mark of a run that has ended, or of a health probe.
        (by_limit(mark(7).limit), None),
        (by_entry(mark(7).entry), None),
        (by_limit(RunMark::of_health_probe(NAME, 0, 0).limit), None),
        (by_entry(RunMark::of_health_probe(NAME, 0, 0).entry), None),
        // A supervisor that runs below this one sets marks, too.
        (by_limit(RunMark::of_run(NAME, u64::MAX, 7).limit), Some((0, Session))),
        (by_entry(RunMark::of_run(NAME, u64::MAX, 7).entry), Some((0, Session))),
        (Known::default(), Some((0, Session))),
    ];
    for (mut known, expected) in cases {
        known.outputs.insert(30, 1000);
        let mut trees = trees(&[(0, 10), (1, 20)]);
        trees.assign(&all, &known);
        let of = |key| found(&trees, key).into_iter().find(|(pid, _)| *pid == 30);
        let owner = [0, 1].into_iter().find_map(|key| Some((key, of(key)?.1)));
        assert_eq!(owner, expected, "{:?} {:?}", known.limits, known.entries);
    }
}

#[test]
fn a_process_belongs_to_the_run_of_its_cgroup() {
    let mut trees = trees(&[(0, 10), (1, 20), (2, 25)]);
    trees.set_keeps_orphans(2, false);
    trees.index.group_of_all = Some("/app/procrun-1-99".into());
    trees.index.groups = (0..3).map(|key| (format!("/app/procrun-1-99/{}", key + 1), key)).collect();
    let groups = [
        (30, "/app/procrun-1-99/1"),
        // The worker has created cgroups below its own.
        (40, "/app/procrun-1-99/2/jobs/7"),
        // The cgroup of another run: mark, session and pipe do not count.
        (50, "/app/procrun-1-99/12"),
        (60, "/app/procrun-1-99/3"),
        // A cgroup of another procrun, or none of procrun's.
        (70, "/app/procrun-1-990/1"),
        (80, "/app"),
    ];
    let known = Known {
        groups: HashMap::from(groups),
        limits: [40, 50, 60, 70, 80].map(|pid| (pid, mark(0).limit)).into(),
        outputs: HashMap::from([(50, 1000), (60, 1000)]),
        ..Known::default()
    };
    let orphans = [30, 40, 50, 60, 70, 80].map(|pid| process(pid, 1, if pid == 50 { 10 } else { pid }));
    let all = [process(1, 0, 1), process(10, 1, 10), process(20, 1, 20), process(25, 1, 25)];
    trees.assign(&[&all[..], &orphans].concat(), &known);
    assert_eq!(found(&trees, 0), [(10, Main), (30, Cgroup), (70, Limit), (80, Limit)]);
    assert_eq!(found(&trees, 1), [(20, Main), (40, Cgroup)]);
    assert_eq!(found(&trees, 2), [(25, Main)]);
}

#[test]
fn a_session_is_removed_with_its_last_process() {
    let mut trees = trees(&[(0, 10)]);
    let known = Known::default();
    let rest = [process(1, 0, 1), process(10, 1, 10)];
    trees.assign(&[rest[0], rest[1], process(11, 10, 11)], &known);
    trees.assign(&rest, &known);
    trees.assign(&[rest[0], rest[1], process(12, 1, 11)], &known);
    assert_eq!(found(&trees, 0), [(10, Main)]);
    // The process id of the main process that has ended now belongs to another main process.
    trees.main_ended(0);
    trees.insert(1, Root::of_leader(10));
    trees.assign(&[rest[0], rest[1], process(12, 1, 10)], &known);
    assert_eq!(found(&trees, 0), []);
    assert_eq!(found(&trees, 1), [(10, Main), (12, Session)]);
}

#[test]
fn a_tree_without_orphans_has_only_descendants_of_its_main_process() {
    let mut trees = trees(&[(0, 10)]);
    trees.set_keeps_orphans(0, false);
    let known = Known { limits: HashMap::from([(11, mark(0).limit)]), ..Known::default() };
    let before = [process(1, 0, 1), process(10, 1, 10), process(11, 10, 10)];
    trees.assign(&before, &known);
    assert_eq!(found(&trees, 0), [(10, Main), (11, Parent)]);
    trees.assign(&[before[0], before[1], process(11, 1, 10)], &known);
    assert_eq!(found(&trees, 0), [(10, Main)]);
}

#[test]
fn the_limit_of_an_app_is_not_accepted_from_the_user_of_another_app() {
    let mut trees = trees(&[(0, 10)]);
    trees.insert(1, Root { user: 65534, ..Root::marked(20, mark(1)) });
    let orphan = |user| Known {
        limits: HashMap::from([(30, mark(0).limit)]),
        users: HashMap::from([(30, user)]),
        ..Known::default()
    };
    let all = [process(1, 0, 1), process(10, 1, 10), process(20, 1, 20), process(30, 1, 30)];
    for (user, accepted) in [(65534, false), (0, true), (33, true)] {
        trees.assign(&all[..3], &Known::default());
        trees.assign(&all, &orphan(user));
        assert_eq!(found(&trees, 0).len(), if accepted { 2 } else { 1 }, "{user}");
    }
}

#[test]
fn a_cycle_and_a_long_chain_are_handled() {
    let known = Known::default();
    let mut trees = trees(&[(3, 99_999)]);
    assert_eq!(trees.assign(&[process(5, 6, 5), process(6, 5, 6)], &known), [None, None]);
    let chain: Vec<_> = (2..100_000).map(|pid| process(pid, pid + 1, pid)).collect();
    assert!(trees.assign(&chain, &known).iter().all(|owner| *owner == Some(3)));
}

#[test]
fn a_scan_of_one_tree_leaves_the_others_unchanged() {
    let mut trees = trees(&[(0, 10), (1, 20)]);
    let known = Known::default();
    let all =
        [process(1, 0, 1), process(10, 1, 10), process(11, 10, 11), process(20, 1, 20), process(21, 20, 20)];
    trees.assign(&all, &known);
    // In the first tree one process has ended and two are new; nothing of the second tree was scanned.
    let some = [process(10, 1, 10), process(12, 10, 10), process(13, 1, 11)];
    let owners = trees.owners(&some, &known);
    trees.remember(&owners, Some(&[0]));
    assert_eq!(found(&trees, 0), [(10, Main), (12, Parent), (13, Session)]);
    assert_eq!(found(&trees, 1), [(20, Main), (21, Parent)]);
}
