//! Finds the processes of a worker that get its stop signal.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
};

use nix::libc::{SIGINT, SIGQUIT};

use crate::{
    machine::{self, Member, Role, StopTargets},
    sys::{
        inspect::{self, IgnoredSignals, StdinFile},
        reap::Pid,
        tree::{self, Identity},
    },
};

/// Maximum depth of wrappers that are followed.
const MAX_DEPTH: usize = 100;

/// The command with which a main process was started. Its command line is in its own memory, where it can make
/// a reader wait: it is read only if the process has executed another program since.
#[derive(Debug)]
pub(super) struct StartedAs {
    program: String,
    role: Role,
}

impl StartedAs {
    pub(super) fn of(program: &CStr, argv: &[CString]) -> Self {
        let program = program.to_string_lossy();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        let arguments = || argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let role = machine::role(&program, arguments);
        Self { program, role }
    }
}

/// These processes, without a rule about wrappers.
pub(super) fn of<'a>(members: impl IntoIterator<Item = &'a tree::Member>) -> StopTargets<Identity> {
    let mut direct: Vec<&tree::Member> = members.into_iter().collect();
    // The main process is mostly the oldest, and a shell is older than its children.
    direct.sort_by_key(|member| (member.stat.start, member.pid));
    StopTargets { direct: direct.into_iter().map(tree::Member::identity).collect(), indirect: Vec::new() }
}

/// The processes that the stop signal of the worker with this main process reaches, among those of its tree.
///
/// Of an application nothing but the name of its program is read, and of one without children nothing.
pub(super) fn auto(main: Pid, started_as: &StartedAs, tree: &[tree::Member]) -> StopTargets<Identity> {
    if let [only] = tree
        && only.pid == main
    {
        return of([only]);
    }
    let mut children: HashMap<Pid, Vec<&tree::Member>> = HashMap::new();
    for member in tree {
        children.entry(member.stat.parent).or_default().push(member);
    }
    for siblings in children.values_mut() {
        siblings.sort_by_key(|member| (member.stat.start, member.pid));
    }
    let family = Family { main, started_as, children: &children };
    let main = tree.iter().find(|member| member.pid == main);
    let main = main.map(|main| family.member(main, false, 0));
    main.map_or_else(|| of([]), |main| machine::stop_targets(&main))
}

struct Family<'a> {
    main: Pid,
    started_as: &'a StartedAs,
    children: &'a HashMap<Pid, Vec<&'a tree::Member>>,
}

impl Family<'_> {
    /// `whole`: with all descendants, also those of an application.
    fn member(&self, seen: &tree::Member, whole: bool, depth: usize) -> Member<Identity> {
        let pid = seen.pid;
        let role = if depth < MAX_DEPTH { self.role(pid) } else { Role::Application };
        let whole = whole || role == Role::GroupRunner;
        let runs = self.children.get(&pid).filter(|_| (whole || role.is_wrapper()) && depth < MAX_DEPTH);
        let children = runs.into_iter().flatten().map(|child| Member {
            is_background: role == Role::Shell && is_background_job(pid, child.pid),
            ..self.member(child, whole, depth + 1)
        });
        Member {
            process: seen.identity(),
            role,
            group: seen.stat.group,
            is_background: false,
            children: children.collect(),
        }
    }

    fn role(&self, pid: Pid) -> Role {
        match inspect::program(pid) {
            Some(program) if pid == self.main && program == self.started_as.program => self.started_as.role,
            Some(program) => machine::role(&program, || inspect::arguments(pid)),
            None => Role::Application,
        }
    }
}

/// Whether a shell does not wait for a process.
///
/// A shell without job control lets such a job ignore SIGINT and SIGQUIT, and gives it `/dev/null` as stdin
/// (POSIX, "Asynchronous Lists"). A program may handle the signals nevertheless, and Node resets every signal
/// to its default action; the stdin stays.
fn is_background_job(shell: Pid, child: Pid) -> bool {
    let ignores_both = |pid| {
        let ignored = IgnoredSignals::of(pid);
        ignored.has(SIGINT) && ignored.has(SIGQUIT)
    };
    if ignores_both(child) && !ignores_both(shell) {
        return true;
    }
    match (StdinFile::of(shell), StdinFile::of(child)) {
        (Some(of_shell), Some(of_child)) => of_child.is_of_background_job() && of_child != of_shell,
        _ => false,
    }
}
