//! The commands to a running supervisor: their words, options and help. A new command needs a row here and a
//! function.

use super::{
    anew, apply, attach, background,
    commands::{OptionSpec, Verb},
    describe, dump, events, list, logs, monit, process_commands, queries, serve, tree,
};

const fn switch(long: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { long, short: None, value: "", help }
}

const JSON: OptionSpec = switch("json", "Print the result as JSON");
const JSON_LINES: OptionSpec = switch("json", "Print each line as a JSON record");
const TARGETS: &str = "<NAME|ID|NAMESPACE|all>...";
const TARGETS_OR_FILE: &str = "<NAME|ID|NAMESPACE|all|FILE>...";
const UPDATE_ENV: OptionSpec = OptionSpec {
    long: "update-env",
    short: Some('a'),
    value: "",
    help: "Use the environment of this command",
};
const ONLY: OptionSpec =
    OptionSpec { long: "only", short: None, value: "NAMES", help: "Select these apps of the file (a,b)" };
const ENV: OptionSpec =
    OptionSpec { long: "env", short: None, value: "NAME", help: "Apply env_<NAME> of the file" };
const DRY_RUN: OptionSpec = switch("dry-run", "Print what would change and why; change nothing");
const ANY: usize = usize::MAX;

pub(super) static VERBS: &[Verb] = &[
    Verb {
        words: &["list", "ls", "ps", "status", "l"],
        takes: "",
        count: (0, 0),
        options: &[
            OptionSpec {
                long: "sort",
                short: None,
                value: "FIELD[:desc]",
                help: "Sort by a column: name, memory:desc, ...",
            },
            OptionSpec { long: "mini-list", short: Some('m'), value: "", help: "Print without a table" },
            JSON,
        ],
        brief: "List all processes",
        about: "List all processes.",
        run: list::list,
    },
    Verb {
        words: &["jlist"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "List all processes as JSON, as PM2 does",
        about: "Print all processes as JSON with PM2's fields, for exporters and scripts.",
        run: list::jlist,
    },
    Verb {
        words: &["prettylist"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Print the output of jlist, indented",
        about: "Print the output of `jlist`, indented.",
        run: list::prettylist,
    },
    Verb {
        words: &["describe", "show", "info", "desc"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "Show all details of processes",
        about: "Show all details of processes, with their last exits and the reasons.",
        run: describe::describe,
    },
    Verb {
        words: &["tree"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[JSON],
        brief: "Show the process tree of each app",
        about: "Show the process tree of all apps, or of some: each process with its memory and\n\
                why it belongs to the app. Memory limits count these processes, and a stop\n\
                ends them.",
        run: tree::tree,
    },
    Verb {
        words: &["stop"],
        takes: TARGETS_OR_FILE,
        count: (1, ANY),
        options: &[ONLY, ENV, JSON],
        brief: "Stop processes and keep them in the list",
        about: "Stop processes and keep them in the list. Each gets `kill_signal` (default:\n\
                SIGINT for Node, SIGTERM for other programs), and SIGKILL after `kill_timeout`.\n\
                With an ecosystem file, stop the apps that the file names.",
        run: process_commands::stop,
    },
    Verb {
        words: &["restart", "startOrRestart"],
        takes: TARGETS_OR_FILE,
        count: (1, ANY),
        options: &[UPDATE_ENV, ONLY, ENV, JSON],
        brief: "Stop processes and start them again",
        about: "Stop processes and start them again. With an ecosystem file, apply its current\n\
                content and start new apps. A completed or running task (`oneshot`) restarts\n\
                only if it is named.\n\
                Options of `procrun start` (-i 4, --watch, --cron, --node-args, -- ARGS and\n\
                others) change the app. --name renames it. --watch without a path turns\n\
                watching off if it is on.",
        run: anew::restart,
    },
    Verb {
        words: &["reload", "gracefulReload", "startOrReload", "startOrGracefulReload"],
        takes: "[NAME|ID|NAMESPACE|all|FILE]...",
        count: (0, ANY),
        options: &[UPDATE_ENV, ONLY, ENV, DRY_RUN, JSON],
        brief: "Replace processes without downtime",
        about: "Replace processes without downtime where that is possible, otherwise one after\n\
                the other. With an ecosystem file, apply its current content, as `restart` does.\n\
                The same options change the app. Without a target, do what `procrun apply` does.\n\
                A second reload of an app waits for the first. Ctrl-C ends the command, not the\n\
                reload.",
        run: anew::reload,
    },
    Verb {
        words: &["apply"],
        takes: "[FILE]",
        count: (0, 1),
        options: &[DRY_RUN, JSON],
        brief: "Read the ecosystem file again, apply changes",
        about: "Read the supervisor's ecosystem file again and apply the changes, as SIGHUP\n\
                does: new apps start, removed apps stop, changed apps are reloaded or restarted.\n\
                Another FILE adds and changes apps, and stops none. The command waits until the\n\
                changes are complete. It fails if a reload was aborted.",
        run: apply::apply,
    },
    Verb {
        words: &["delete", "del"],
        takes: TARGETS_OR_FILE,
        count: (1, ANY),
        options: &[ONLY, ENV, JSON],
        brief: "Stop processes and remove them from the list",
        about: "Stop processes and remove them from the list. With an ecosystem file, delete the\n\
                apps that the file names.",
        run: process_commands::delete,
    },
    Verb {
        words: &["scale"],
        takes: "<APP> <N|+N|-N>",
        count: (2, 2),
        options: &[JSON],
        brief: "Scale an app to N processes",
        about: "Scale an app to N processes, or by +N or -N.",
        run: process_commands::scale,
    },
    Verb {
        words: &["reset"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "Reset the restart count to 0",
        about: "Reset the restart count to 0.",
        run: process_commands::reset,
    },
    Verb {
        words: &["signal", "sendSignal"],
        takes: "<SIGNAL> <NAME|ID|NAMESPACE|all>...",
        count: (2, ANY),
        options: &[JSON],
        brief: "Send a signal to processes",
        about: "Send a signal to processes. SIGNAL is a name (HUP, SIGUSR2) or a number.",
        run: process_commands::signal,
    },
    Verb {
        words: &["logs", "log"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[
            OptionSpec {
                long: "lines",
                short: None,
                value: "N",
                help: "Show the last N lines of each (15), or all",
            },
            OptionSpec { long: "tail", short: Some('n'), value: "N", help: "Alias of --lines" },
            OptionSpec {
                long: "since",
                short: None,
                value: "TIME",
                help: "Show lines since 5m, 14:30, 2026-01-31T14:30:00",
            },
            switch("nostream", "Do not follow new lines"),
            switch("out", "Show only stdout"),
            switch("err", "Show only stderr"),
            switch("raw", "Print lines as the apps wrote them"),
            JSON_LINES,
            switch("format", "Print each line as key=value pairs"),
            OptionSpec {
                long: "timestamp",
                short: None,
                value: "[=FORMAT]",
                help: "Prefix each line with the time",
            },
            OptionSpec { long: "highlight", short: None, value: "TEXT", help: "Highlight TEXT in the lines" },
        ],
        brief: "Show recent log lines and follow new ones",
        about: "Show the last lines of all processes, or of some, and follow new lines until\n\
                Ctrl-C. The lines come from memory and from log files. They include the\n\
                supervisor's lines about these processes, except with --raw. If the output is\n\
                too slow, a line reports how many lines were missed.\n\
                The default FORMAT of --timestamp is YYYY-MM-DD HH:mm:ss.",
        run: logs::logs,
    },
    Verb {
        words: &["events"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[
            OptionSpec { long: "lines", short: None, value: "N", help: "The last N events (15), or all" },
            OptionSpec {
                long: "since",
                short: None,
                value: "TIME",
                help: "Since TIME: 5m, 14:30, 2026-01-31T14:30:00",
            },
            switch("nostream", "Only these"),
            JSON_LINES,
        ],
        brief: "Show recent events and follow new ones",
        about: "Shows the last events of all apps, or of some, and then those that come, until\n\
                Ctrl-C: starts, exits, restarts, reloads, failed probes, memory limits, file\n\
                changes and others. The supervisor keeps the last 1,000. With --json each line\n\
                is an object with `seq`, `at`, `subject`, `kind` and `data`.",
        run: events::events,
    },
    Verb {
        words: &["attach"],
        takes: "<ID|NAME> [SEPARATOR]",
        count: (1, 2),
        options: &[],
        brief: "Send typed lines to a process, show its output",
        about: "Show the output of a process, and send each line that is typed (or read from a\n\
                pipe) to its standard input. Ctrl-C or Ctrl-D detaches; the process keeps\n\
                running. SEPARATOR replaces the newline at the end of each line. The app must\n\
                not have `stdin = \"null\"`.",
        run: attach::attach,
    },
    Verb {
        words: &["send"],
        takes: "<ID|NAME> <LINE>",
        count: (2, 2),
        options: &[],
        brief: "Send a line to the stdin of a process",
        about: "Send a line to the standard input of a process, and wait until the line is in\n\
                its pipe. Write `--` before a LINE that begins with a dash.",
        run: attach::send,
    },
    Verb {
        words: &["monit", "monitor"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Show processes, CPU, memory and logs live",
        about: "Show the processes with their CPU, memory and logs on a full screen. Keys\n\
                restart, reload, stop and scale them; `?` lists the keys, `q` quits.",
        run: monit::monit,
    },
    Verb {
        words: &["flush"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[],
        brief: "Empty log files",
        about: "Empty the log files of all processes, or of some, and discard their recent lines\n\
                in memory. Rotated files stay.",
        run: logs::flush,
    },
    Verb {
        words: &["env"],
        takes: "<ID|NAME>",
        count: (1, 1),
        options: &[switch("reveal", "Show secrets"), JSON],
        brief: "Show the environment of a process",
        about: "Show the environment that the next start of a process would use. Values that\n\
                look like secrets are masked.",
        run: queries::env,
    },
    Verb {
        words: &["pid"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[JSON],
        brief: "Print process ids, one per line",
        about: "Print process ids, one per line.",
        run: queries::pid,
    },
    Verb {
        words: &["id"],
        takes: "<NAME|NAMESPACE|all>...",
        count: (1, ANY),
        options: &[],
        brief: "Print the ids of an app",
        about: "Print the ids of an app as a JSON list.",
        run: queries::id,
    },
    Verb {
        words: &["ping"],
        takes: "",
        count: (0, 0),
        options: &[JSON],
        brief: "Check that the supervisor is running",
        about: "Check that the supervisor is running and answers.",
        run: queries::ping,
    },
    Verb {
        words: &["healthcheck"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[],
        brief: "Exit with 0 if all processes are healthy",
        about: "Exit with 0 if the processes are healthy and with 1 if not, for Docker's\n\
                HEALTHCHECK. A process is healthy if it is online, its health and readiness\n\
                probes pass, and it is not waiting for a restart. Without a target, processes\n\
                that have completed or were stopped by hand are ignored.",
        run: queries::healthcheck,
    },
    Verb {
        words: &["serve", "expose"],
        takes: "[DIR] [PORT]",
        count: (0, 2),
        options: &[
            OptionSpec { long: "port", short: None, value: "PORT", help: "Listen on this port (8080)" },
            OptionSpec {
                long: "host",
                short: None,
                value: "ADDRESS",
                help: "Listen on this address (0.0.0.0)",
            },
            switch("spa", "Answer unknown paths with index.html"),
            switch("ftp", "Show directory listings"),
            OptionSpec {
                long: "basic-auth-username",
                short: None,
                value: "NAME",
                help: "User name for basic authentication",
            },
            OptionSpec {
                long: "basic-auth-password",
                short: None,
                value: "PASSWORD",
                help: "Password for basic authentication",
            },
            OptionSpec { long: "monitor", short: None, value: "APP", help: "No effect (a service of PM2)" },
            JSON,
        ],
        brief: "Serve a directory over HTTP",
        about: "Serve the files of a directory over HTTP. The server is an app like any other:\n\
                `procrun list` shows it, and it accepts the options of `procrun start` (--name,\n\
                -i and others). As PID 1 it runs in the foreground.",
        run: serve::serve,
    },
    Verb {
        words: &["save", "dump"],
        takes: "",
        count: (0, 0),
        options: &[OptionSpec {
            long: "force",
            short: Some('f'),
            value: "",
            help: "Save the list even if it is empty",
        }],
        brief: "Save the list of apps for resurrect",
        about: "Save the list of apps with their environment to dump.json in PROCRUN_HOME\n\
                (default: ~/.procrun). An empty list is saved only with --force.",
        run: dump::save,
    },
    Verb {
        words: &["cleardump"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Save an empty list",
        about: "Save an empty list. `resurrect` then starts nothing.",
        run: dump::clear,
    },
    Verb {
        words: &["resurrect"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Start the apps of the saved list",
        about: "Add the saved apps that are not in the list. If no supervisor runs, start one in\n\
                the background. Apps that were stopped are added as stopped.",
        run: dump::resurrect,
    },
    Verb {
        words: &["supervise"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Run the background supervisor in the foreground",
        about: "Run the background supervisor in the foreground, for a service manager. The\n\
                supervisor starts without apps; commands add them.",
        run: background::supervise,
    },
    Verb {
        words: &["kill"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Stop all processes and the supervisor",
        about: "Stop all processes and the supervisor, and wait until it has exited.",
        run: queries::kill,
    },
];
