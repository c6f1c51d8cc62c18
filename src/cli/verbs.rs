//! The commands to a running supervisor: their words, options and help. What a new one needs is a row here
//! and a function.

use super::{
    act, anew, apply, ask, attach, background,
    commands::{Option_, Verb},
    describe, dump, list, logs, monit, serve, tree,
};

const fn switch(long: &'static str, help: &'static str) -> Option_ {
    Option_ { long, short: None, value: "", help }
}

const JSON: Option_ = switch("json", "Answer as JSON");
const JSON_LINES: Option_ = switch("json", "A JSON record a line");
const TARGETS: &str = "<NAME|ID|NAMESPACE|all>...";
const TARGETS_OR_FILE: &str = "<NAME|ID|NAMESPACE|all|FILE>...";
const UPDATE_ENV: Option_ =
    Option_ { long: "update-env", short: Some('a'), value: "", help: "With the environment of this command" };
const ONLY: Option_ =
    Option_ { long: "only", short: None, value: "NAMES", help: "Only these apps of the file (a,b)" };
const ENV: Option_ = Option_ { long: "env", short: None, value: "NAME", help: "Take env_<NAME> of the file" };
const DRY_RUN: Option_ = switch("dry-run", "Only print what would change, and why");
const ANY: usize = usize::MAX;

pub(super) static VERBS: &[Verb] = &[
    Verb {
        words: &["list", "ls", "ps", "status", "l"],
        takes: "",
        count: (0, 0),
        options: &[
            Option_ {
                long: "sort",
                short: None,
                value: "FIELD[:desc]",
                help: "By a column: name, memory:desc and others",
            },
            Option_ { long: "mini-list", short: Some('m'), value: "", help: "Without a table" },
            JSON,
        ],
        brief: "All processes",
        about: "Shows all processes.",
        run: list::list,
    },
    Verb {
        words: &["jlist"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "The same as JSON in PM2's shape",
        about: "Prints all processes as JSON in PM2's shape, for exporters and scripts.",
        run: list::jlist,
    },
    Verb {
        words: &["prettylist"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "That, indented",
        about: "Prints what `jlist` prints, indented.",
        run: list::prettylist,
    },
    Verb {
        words: &["describe", "show", "info", "desc"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "Everything about some processes",
        about: "Shows everything about some processes, with their last ends and why.",
        run: describe::describe,
    },
    Verb {
        words: &["tree"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[JSON],
        brief: "Show the process tree of each app",
        about: "Shows the process tree of all apps, or of some: each process with its memory and\n\
                why it belongs to the app. That is what is measured and what a stop ends.",
        run: tree::tree,
    },
    Verb {
        words: &["stop"],
        takes: TARGETS_OR_FILE,
        count: (1, ANY),
        options: &[ONLY, ENV, JSON],
        brief: "End processes; they stay in the list",
        about: "Ends processes; they stay in the list. They get `kill_signal`, else SIGINT if\n\
                they are Node's and SIGTERM otherwise, and SIGKILL after `kill_timeout`. Of an\n\
                ecosystem file: the apps that it names.",
        run: act::stop,
    },
    Verb {
        words: &["restart", "startOrRestart"],
        takes: TARGETS_OR_FILE,
        count: (1, ANY),
        options: &[UPDATE_ENV, ONLY, ENV, JSON],
        brief: "End and start them again",
        about: "Ends processes and starts them again. Of an ecosystem file it takes what the\n\
                file says now and starts what is new. A task (`oneshot`) that has completed or\n\
                runs is left alone unless it is named.\n\
                The options of `procrun start` that say how an app runs (-i 4, --watch, --cron,\n\
                --node-args, -- ARGS and others) change the app. --name renames it; --watch\n\
                without a path turns watching off if it is on.",
        run: anew::restart,
    },
    Verb {
        words: &["reload", "gracefulReload", "startOrReload", "startOrGracefulReload"],
        takes: "[NAME|ID|NAMESPACE|all|FILE]...",
        count: (0, ANY),
        options: &[UPDATE_ENV, ONLY, ENV, DRY_RUN, JSON],
        brief: "Replace them without a gap",
        about: "Replaces processes without a gap where that is possible, else one after the\n\
                other. Of an ecosystem file it takes what the file says now, as `restart` does,\n\
                and the same options change the app. Without a target: `procrun apply`. A\n\
                second reload of an app waits until the first is over. Ctrl-C stops waiting,\n\
                not the reload.",
        run: anew::reload,
    },
    Verb {
        words: &["apply"],
        takes: "[FILE]",
        count: (0, 1),
        options: &[DRY_RUN, JSON],
        brief: "Read the file again, apply changes",
        about: "Reads the ecosystem file of the supervisor again and applies what has\n\
                changed, as SIGHUP does: new apps start, removed apps stop, changed apps are\n\
                reloaded or restarted. Another FILE adds and changes apps, and stops none.\n\
                It waits until that is done, and fails if a new version was taken back.",
        run: apply::apply,
    },
    Verb {
        words: &["delete", "del"],
        takes: TARGETS_OR_FILE,
        count: (1, ANY),
        options: &[ONLY, ENV, JSON],
        brief: "End and forget them",
        about: "Ends processes and takes them out of the list. Of an ecosystem file: the apps\n\
                that it names.",
        run: act::delete,
    },
    Verb {
        words: &["scale"],
        takes: "<APP> <N|+N|-N>",
        count: (2, 2),
        options: &[JSON],
        brief: "Scale an app to N processes",
        about: "Scales an app to N processes, or by +N or -N.",
        run: act::scale,
    },
    Verb {
        words: &["reset"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "Set the count of restarts back to 0",
        about: "Sets the count of restarts back to 0.",
        run: act::reset,
    },
    Verb {
        words: &["signal", "sendSignal"],
        takes: "<SIGNAL> <NAME|ID|NAMESPACE|all>...",
        count: (2, ANY),
        options: &[JSON],
        brief: "Send a signal",
        about: "Sends a signal to processes: a name (HUP, SIGUSR2) or a number.",
        run: act::signal,
    },
    Verb {
        words: &["logs", "log"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[
            Option_ { long: "lines", short: None, value: "N", help: "The last N lines of each (15), or all" },
            Option_ { long: "tail", short: Some('n'), value: "N", help: "The same as --lines" },
            Option_ {
                long: "since",
                short: None,
                value: "TIME",
                help: "Lines since TIME: 5m, 14:30, 2026-01-31T14:30:00",
            },
            switch("nostream", "Only these"),
            switch("out", "Only what was written to stdout"),
            switch("err", "Only what was written to stderr"),
            switch("raw", "Lines as the apps wrote them"),
            JSON_LINES,
            switch("format", "key=value pairs a line"),
            Option_ {
                long: "timestamp",
                short: None,
                value: "[=FORMAT]",
                help: "A time before each line, as YYYY-MM-DD HH:mm:ss",
            },
            Option_ { long: "highlight", short: None, value: "TEXT", help: "Mark TEXT in the lines" },
        ],
        brief: "Show recent log lines and follow new ones",
        about: "Shows the last lines of all processes, or of some, and then those that come,\n\
                until Ctrl-C. They come from memory, and from the log files where there are any.\n\
                They include the supervisor's lines about these processes, except with --raw.\n\
                A reader that is too slow is told how many lines it missed.",
        run: logs::logs,
    },
    Verb {
        words: &["attach"],
        takes: "<ID|NAME> [SEPARATOR]",
        count: (1, 2),
        options: &[],
        brief: "Send typed lines to a process, show its output",
        about: "Shows the output of a process, and sends each line that is typed (or read from a\n\
                pipe) to its standard input. Ctrl-C or Ctrl-D detaches; the process keeps\n\
                running. SEPARATOR replaces the end of each line. The app must not have\n\
                `stdin = \"null\"`.",
        run: attach::attach,
    },
    Verb {
        words: &["send"],
        takes: "<ID|NAME> <LINE>",
        count: (2, 2),
        options: &[],
        brief: "Send a line to the stdin of a process",
        about: "Sends a line to the standard input of a process, and waits until it is in the\n\
                pipe of the process. Put `--` before a LINE that begins with a dash.",
        run: attach::send,
    },
    Verb {
        words: &["monit", "monitor"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "All of it on a full screen",
        about: "Shows the processes with CPU, memory and log on a full screen, as it changes.\n\
                Keys restart, reload, stop and scale them; `?` lists the keys, `q` leaves.",
        run: monit::monit,
    },
    Verb {
        words: &["flush"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[],
        brief: "Empty their log files",
        about: "Empties the log files of all processes, or of some, and forgets their recent\n\
                lines. Rotated files stay.",
        run: logs::flush,
    },
    Verb {
        words: &["env"],
        takes: "<ID|NAME>",
        count: (1, 1),
        options: &[switch("reveal", "Show secrets too"), JSON],
        brief: "The environment of a process",
        about: "Shows the environment that a start of a process would give it. What looks like\n\
                a secret is masked.",
        run: ask::env,
    },
    Verb {
        words: &["pid"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[JSON],
        brief: "Process ids, one a line",
        about: "Prints process ids, one a line.",
        run: ask::pid,
    },
    Verb {
        words: &["id"],
        takes: "<NAME|NAMESPACE|all>...",
        count: (1, ANY),
        options: &[],
        brief: "The ids of an app",
        about: "Prints the ids of an app as a JSON list.",
        run: ask::id,
    },
    Verb {
        words: &["ping"],
        takes: "",
        count: (0, 0),
        options: &[JSON],
        brief: "Is a supervisor there?",
        about: "Asks whether a supervisor is there.",
        run: ask::ping,
    },
    Verb {
        words: &["healthcheck"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[],
        brief: "0 if all are well, else 1",
        about: "Ends with 0 when the processes are well and with 1 when they are not: for\n\
                Docker's HEALTHCHECK. Well: each is online, healthy and ready as far as it has\n\
                a check, and nothing has failed or waits to be started again. Without a target,\n\
                what ended well or was stopped by hand is not looked at.",
        run: ask::healthcheck,
    },
    Verb {
        words: &["serve", "expose"],
        takes: "[DIR] [PORT]",
        count: (0, 2),
        options: &[
            Option_ { long: "port", short: None, value: "PORT", help: "Listen on this port (8080)" },
            Option_ { long: "host", short: None, value: "ADDRESS", help: "Listen on this address (0.0.0.0)" },
            switch("spa", "Answer unknown paths with the homepage"),
            switch("ftp", "List the files of a directory"),
            Option_ { long: "basic-auth-username", short: None, value: "NAME", help: "Ask for a password" },
            Option_ { long: "basic-auth-password", short: None, value: "PASSWORD", help: "That password" },
            Option_ { long: "monitor", short: None, value: "APP", help: "No effect (a service of PM2)" },
            JSON,
        ],
        brief: "Serve a directory over HTTP",
        about: "Serves the files of a directory over HTTP, on all addresses unless --host names\n\
                one. The server is an app like any other: `procrun list` shows it, and the\n\
                options of `procrun start` (--name, -i and others) are taken. As PID 1 it runs\n\
                in the foreground.",
        run: serve::serve,
    },
    Verb {
        words: &["save", "dump"],
        takes: "",
        count: (0, 0),
        options: &[Option_ { long: "force", short: Some('f'), value: "", help: "Save an empty list, too" }],
        brief: "Keep the list in a file",
        about: "Keeps the list, with its environment, in dump.json of PROCRUN_HOME, else\n\
                of ~/.procrun. An empty list is saved with --force only.",
        run: dump::save,
    },
    Verb {
        words: &["cleardump"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Save an empty list",
        about: "Saves an empty list, whatever runs: `resurrect` brings nothing back then.",
        run: dump::clear,
    },
    Verb {
        words: &["resurrect"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Start what was saved",
        about: "Adds what `save` kept and is not there, in a supervisor in the background if\n\
                none runs. What was stopped comes back stopped.",
        run: dump::resurrect,
    },
    Verb {
        words: &["supervise"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Be the supervisor of the background",
        about: "Runs what `procrun start` starts in the background, here: for a service manager.\n\
                It has no applications but those that commands add.",
        run: background::supervise,
    },
    Verb {
        words: &["kill"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "End everything, procrun too",
        about: "Ends all processes and the supervisor, and waits for it.",
        run: ask::kill,
    },
];
