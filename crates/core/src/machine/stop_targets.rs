//! Which processes of a worker get its stop signal under `stop_signal_scope = "auto"`.
//!
//! The main process alone, if it is the application: a master (gunicorn, celery, nginx) that gets a stop signal stops
//! its own workers in order. A shell or a package runner is not the application. It waits for the program that it runs,
//! and that program may never see a signal that only the wrapper gets:
//!
//! - A shell gets the signal, and so does each process that it runs in the foreground: bash runs a trap only when the
//!   foreground process has ended. A background job does not: a trap that stops it would make the signal a second
//!   one. If the shell ends before it, it is a leftover.
//! - A group runner (dumb-init, timeout) gets the signal and sends it to the process group of what it runs.
//! - A runner does not get the signal, but each process that it runs does. npm, pnpm and tini forward some signals and
//!   not others, depending on their version, and all of them end when the program that they run has ended. So each
//!   process gets exactly one signal, also when a shell above the runner ends first.
//!
//! A shell or runner may run another one (`npm start`: npm, sh, npm, sh, node).

use crate::spec::WAITING_RUNNERS;

/// The role of a process at the moment of the stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The program that the signal is meant for.
    Application,
    /// A command interpreter.
    Shell,
    /// A program that runs another one and waits for it.
    Runner,
    /// A runner that forwards each signal to the process group of the program that it runs.
    GroupRunner,
}

impl Role {
    /// Whether the stop signal depends on what it runs.
    pub fn is_wrapper(self) -> bool {
        match self {
            Self::Application => false,
            Self::Shell | Self::Runner | Self::GroupRunner => true,
        }
    }
}

/// A process of a worker and, if the stop signal depends on it, what it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<P> {
    /// Identifies the process.
    pub process: P,
    /// The process's role.
    pub role: Role,
    /// The process's process group.
    pub group: i32,
    /// Whether its shell does not wait for it (`command &`).
    pub is_background: bool,
    /// The process's children, the oldest first: read for a wrapper, and for all processes below a group runner.
    pub children: Vec<Self>,
}

/// The processes that a stop signal reaches, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopTargets<P> {
    /// The processes that it is sent to, a shell before what it runs: when the foreground process ends by a signal, the
    /// shell must have received the signal too, or it continues with its next command.
    pub direct: Vec<P>,
    /// The processes that get none of their own, now or as leftovers: they get it from one of these, or run one.
    pub indirect: Vec<P>,
}

/// The processes that the stop signal reaches, for a worker with this main process.
pub fn stop_targets<P: Copy>(main: &Member<P>) -> StopTargets<P> {
    let mut targets = StopTargets { direct: Vec::new(), indirect: Vec::new() };
    targets.add(main);
    targets
}

impl<P: Copy> StopTargets<P> {
    fn add(&mut self, member: &Member<P>) {
        let before = self.direct.len();
        match member.role {
            Role::Application => self.direct.push(member.process),
            Role::Shell => {
                self.direct.push(member.process);
                for child in member.children.iter().filter(|child| !child.is_background) {
                    self.add(child);
                }
            }
            Role::Runner => {
                for child in &member.children {
                    self.add(child);
                }
                // It has not started a process yet, or all have ended.
                let runs_none = self.direct.len() == before;
                let list = if runs_none { &mut self.direct } else { &mut self.indirect };
                list.push(member.process);
            }
            Role::GroupRunner => {
                self.direct.push(member.process);
                // The first child is the program. timeout shares its group, dumb-init and tini give it its own.
                if let Some(program) = member.children.first() {
                    self.add_forwarded(&member.children, program.group);
                }
            }
        }
    }

    fn add_forwarded(&mut self, members: &[Member<P>], group: i32) {
        for member in members {
            if member.group == group {
                self.indirect.push(member.process);
            }
            self.add_forwarded(&member.children, group);
        }
    }
}

const SHELLS: [&str; 14] = [
    "ash", "bash", "csh", "dash", "fish", "hush", "ksh", "ksh93", "mksh", "oksh", "rbash", "sh", "tcsh",
    "zsh",
];

/// Programs that run another one, whatever their arguments.
const RUNNERS: [&str; 16] = [
    "bunx",
    "catatonit",
    "flock",
    "make",
    "npm",
    "npx",
    "pnpm",
    "pnpx",
    "runuser",
    "setsid",
    "su",
    "sudo",
    "time",
    "uvx",
    "yarn",
    "yarnpkg",
];

/// The role of a process, by the name of its program and, if that is not enough, its arguments.
///
/// `program` is the executed file, not the one of the configuration: after `bash -c "exec node"` it is node.
pub fn role(program: &str, arguments: impl FnOnce() -> Vec<String>) -> Role {
    let program = program.strip_prefix('-').unwrap_or(program);
    if SHELLS.contains(&program) {
        return Role::Shell;
    }
    if RUNNERS.contains(&program) {
        return Role::Runner;
    }
    let runner_if = |is_runner: bool| if is_runner { Role::Runner } else { Role::Application };
    let group_runner_if = |is_one: bool| if is_one { Role::GroupRunner } else { Role::Runner };
    match program {
        "node" | "nodejs" => runner_if(runs_package_runner(&arguments())),
        "bun" => runner_if(bun_runs_command(&arguments())),
        "uv" => runner_if(is_command(&arguments(), &["run", "tool", "x"])),
        "go" => runner_if(is_command(&arguments(), &["run"])),
        "dumb-init" => group_runner_if(!has_flag(&arguments(), 'c', "--single-child")),
        "timeout" => group_runner_if(!has_flag(&arguments(), 'f', "--foreground")),
        "tini" | "tini-static" | "docker-init" => group_runner_if(has_flag(&arguments(), 'g', "")),
        "busybox" => applet(arguments()),
        _ => Role::Application,
    }
}

/// `sh script.sh` and `busybox sh script.sh` are one program under two names.
fn applet(mut arguments: Vec<String>) -> Role {
    let is_busybox = |name: &String| file_name(name) == "busybox";
    if arguments.first().is_some_and(is_busybox) {
        arguments.remove(0);
    }
    let Some(applet) = arguments.first().map(|name| file_name(name).to_owned()) else {
        return Role::Application;
    };
    // An applet cannot be busybox again.
    if applet == "busybox" { Role::Application } else { role(&applet, || arguments) }
}

/// Whether Node runs one of [`WAITING_RUNNERS`]. npm puts its own name in place of its arguments (`npm start`).
fn runs_package_runner(arguments: &[String]) -> bool {
    let is_runner = |path: &str| {
        let name = file_name(path);
        let stem = ["js", "cjs", "mjs"].iter().find_map(|it| name.strip_suffix(it)?.strip_suffix('.'));
        // Yarn's releases are kept with the project: `.yarn/releases/yarn-4.5.0.cjs`.
        WAITING_RUNNERS.contains(&stem.unwrap_or(name)) || stem.is_some_and(|stem| stem.starts_with("yarn-"))
    };
    let Some((title, rest)) = arguments.split_first() else { return false };
    let title = title.split_ascii_whitespace().next().unwrap_or_default();
    is_runner(title) || script(rest).is_some_and(is_runner)
}

/// Whether Bun runs a command of a package and not a file: `bun run start`, `bun x serve`, `bun dev`.
fn bun_runs_command(arguments: &[String]) -> bool {
    let mut words = arguments.iter().skip(1).filter(|it| !it.starts_with('-')).map(String::as_str);
    let is_script = |name: &str| !name.contains(['/', '.']);
    match words.next() {
        Some("x") => true,
        Some("run") => words.next().is_some_and(is_script),
        Some(name) => is_script(name),
        None => false,
    }
}

/// The first argument of Node that is neither an option nor the value of one.
fn script(arguments: &[String]) -> Option<&str> {
    const WITH_VALUE: [&str; 7] =
        ["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"];
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if WITH_VALUE.contains(&argument.as_str()) {
            arguments.next();
        } else if !argument.starts_with('-') {
            return Some(argument);
        }
    }
    None
}

fn is_command(arguments: &[String], commands: &[&str]) -> bool {
    let command = arguments.iter().skip(1).find(|it| !it.starts_with('-'));
    command.is_some_and(|command| commands.contains(&command.as_str()))
}

/// Whether one of the options before the command is this one: `-g`, `-vg`, `--single-child`.
fn has_flag(arguments: &[String], short: char, long: &str) -> bool {
    let options = arguments.iter().skip(1).take_while(|it| it.starts_with('-') && *it != "--");
    options.into_iter().any(|option| match option.strip_prefix("--") {
        Some(_) => option == long,
        None => option.contains(short),
    })
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::{Member, Role, role, stop_targets};

    fn member(process: u32, role: Role, children: Vec<Member<u32>>) -> Member<u32> {
        Member { process, role, group: 1, is_background: false, children }
    }

    fn app(process: u32) -> Member<u32> {
        member(process, Role::Application, Vec::new())
    }

    fn in_background(member: Member<u32>) -> Member<u32> {
        Member { is_background: true, ..member }
    }

    fn direct(main: &Member<u32>) -> Vec<u32> {
        stop_targets(main).direct
    }

    #[test]
    fn an_application_gets_the_signal_alone() {
        assert_eq!(direct(&app(1)), [1]);
        // Its children have no effect, also if they were read.
        assert_eq!(direct(&member(1, Role::Application, vec![app(2)])), [1]);
    }

    #[test]
    fn a_shell_gets_the_signal_before_its_foreground_process() {
        let shell = member(1, Role::Shell, vec![in_background(app(2)), app(3), app(4)]);
        assert_eq!(direct(&shell), [1, 3, 4]);
        assert_eq!(direct(&member(1, Role::Shell, Vec::new())), [1]);
    }

    #[test]
    fn the_program_of_a_runner_gets_the_signal_and_the_runner_does_not() {
        let targets = stop_targets(&member(1, Role::Runner, vec![app(2), app(3)]));
        assert_eq!((targets.direct, targets.indirect), (vec![2, 3], vec![1]));
        assert_eq!(direct(&member(1, Role::Runner, Vec::new())), [1]);
        let nothing_below = member(2, Role::Runner, Vec::new());
        assert_eq!(direct(&member(1, Role::Runner, vec![nothing_below])), [2]);
    }

    #[test]
    fn the_program_of_a_group_runner_gets_the_signal_from_it() {
        let shell =
            member(3, Role::Shell, vec![app(4), in_background(member(5, Role::Application, vec![app(6)]))]);
        let all = member(1, Role::Runner, vec![member(2, Role::GroupRunner, vec![shell])]);
        let targets = stop_targets(&all);
        assert_eq!((targets.direct, targets.indirect), (vec![2], vec![3, 4, 5, 6, 1]));
    }

    #[test]
    fn a_process_outside_of_the_group_does_not_get_the_signal_from_the_group_runner() {
        let with_group = |group, member: Member<u32>| Member { group, ..member };
        let in_own_session =
            with_group(4, member(4, Role::Shell, vec![with_group(3, app(5)), with_group(4, app(6))]));
        let shell = with_group(3, member(3, Role::Shell, vec![in_own_session]));
        let adopted = with_group(7, app(7));
        let targets = stop_targets(&member(2, Role::GroupRunner, vec![shell, adopted]));
        assert_eq!((targets.direct, targets.indirect), (vec![2], vec![3, 5]));
    }

    #[test]
    fn wrappers_nest() {
        let inner = member(3, Role::Runner, vec![member(4, Role::Shell, vec![app(5)])]);
        let chain = member(1, Role::Runner, vec![member(2, Role::Shell, vec![inner])]);
        assert_eq!(direct(&chain), [2, 4, 5]);
        // The processes of a background job do not get the signal either.
        let job = in_background(member(2, Role::Shell, vec![app(3)]));
        assert_eq!(direct(&member(1, Role::Shell, vec![job])), [1]);
    }

    #[test]
    fn the_role_is_that_of_the_executed_program() {
        let cases: [(Role, &[&str]); 48] = [
            (Role::Shell, &["bash", "start.sh"]),
            (Role::Shell, &["-bash"]),
            (Role::Shell, &["/bin/dash", "-c", "node a.js; echo b"]),
            (Role::Shell, &["/bin/busybox", "ash", "start.sh"]),
            (Role::Shell, &["busybox", "sh", "-c", "true"]),
            (Role::Application, &["busybox", "httpd", "-f"]),
            (Role::Application, &["busybox"]),
            (Role::Application, &["busybox", "busybox", "busybox"]),
            (Role::Application, &["node", "srv.js"]),
            (Role::Application, &["node"]),
            (Role::Application, &["node", "-r", "npm", "srv.js"]),
            (Role::Application, &["node", "srv.js", "npm"]),
            (Role::Application, &["node", "/app/node_modules/.bin/next", "start"]),
            (Role::Application, &["node", "yarn-log.txt"]),
            (Role::Runner, &["npm start"]),
            (Role::Runner, &["npm run inner", "", "", ""]),
            (Role::Runner, &["npm exec serve"]),
            (Role::Runner, &["npm"]),
            (Role::Runner, &["node", "/usr/lib/node_modules/npm/bin/npm-cli.js", "start"]),
            (Role::Runner, &["/usr/bin/node", "--no-warnings", "/usr/local/bin/pnpm", "start"]),
            (Role::Runner, &["node", "/app/.yarn/releases/yarn-4.5.0.cjs", "start"]),
            (Role::Runner, &["node", "--require", "./pnp.cjs", "/usr/bin/yarn.js", "start"]),
            (Role::Runner, &["/opt/pnpm", "start"]),
            (Role::Runner, &["node", "/app/node_modules/.bin/run-p", "serve", "work"]),
            (Role::Runner, &["node", "/app/node_modules/.bin/npm-run-all", "-p", "serve"]),
            (Role::Application, &["python3", "manage.py", "runserver"]),
            (Role::Application, &["nginx: master process nginx -g daemon off;"]),
            (Role::Application, &["gunicorn: master [app:app]"]),
            (Role::Application, &["./npm-stats"]),
            (Role::Runner, &["tini", "--", "node", "srv.js"]),
            (Role::Runner, &["tini", "-v", "node", "-g"]),
            (Role::GroupRunner, &["tini", "-g", "--", "node", "srv.js"]),
            (Role::GroupRunner, &["tini", "-vg", "node"]),
            (Role::GroupRunner, &["dumb-init", "node", "-c", "srv.js"]),
            (Role::Runner, &["dumb-init", "-c", "node", "srv.js"]),
            (Role::Runner, &["dumb-init", "--single-child", "node"]),
            (Role::Runner, &["catatonit", "--", "node"]),
            (Role::GroupRunner, &["timeout", "5", "node"]),
            (Role::Runner, &["timeout", "--foreground", "5", "node"]),
            (Role::Runner, &["/usr/bin/time", "node", "srv.js"]),
            (Role::Runner, &["su", "app", "-c", "node srv.js"]),
            (Role::Runner, &["sudo", "-u", "app", "node", "srv.js"]),
            (Role::Runner, &["bun", "run", "start"]),
            (Role::Application, &["bun", "run", "srv.ts"]),
            (Role::Application, &["bun", "src/srv.ts"]),
            (Role::Runner, &["bunx", "serve"]),
            (Role::Runner, &["uv", "run", "app.py"]),
            (Role::Application, &["uv", "pip", "install"]),
        ];
        for (expected, words) in cases {
            let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let program = match words[0].split_ascii_whitespace().next().unwrap() {
                // Its title does not change the executed file.
                "npm" => "node",
                program => program.rsplit('/').next().unwrap(),
            };
            assert_eq!(role(program, || arguments), expected, "{words:?}");
        }
    }

    #[test]
    fn arguments_are_read_only_if_the_name_of_the_program_is_not_enough() {
        for program in ["bash", "npm", "python3", "postgres", "su"] {
            role(program, || panic!("the name {program} is enough"));
        }
    }
}
