//! The kinds of programs: what runs their code.

use serde::{Deserialize, Serialize};

use super::Signal;

/// Packages whose programs run the application in a child process.
pub const PACKAGE_RUNNERS: [&str; 15] = [
    "npm",
    "npx",
    "pnpm",
    "yarn",
    "@yarnpkg/cli-dist",
    "corepack",
    "nodemon",
    "@babel/node",
    "dotenv-cli",
    "@dotenvx/dotenvx",
    "cross-env",
    "env-cmd",
    "concurrently",
    "npm-run-all",
    "npm-run-all2",
];

/// Programs that run the scripts of a package and get no stop signal, because what they run gets it: they wait for that
/// and end with it.
pub const WAITING_RUNNERS: [&str; 12] = [
    "npm",
    "npm-cli",
    "npx",
    "npx-cli",
    "pnpm",
    "pnpx",
    "yarn",
    "yarnpkg",
    "corepack",
    "npm-run-all",
    "run-p",
    "run-s",
];

/// Programs that run the application in a child process and get the stop signal themselves.
const SIGNALLED_RUNNERS: [&str; 13] = [
    "nodemon",
    "babel-node",
    "dotenv",
    "dotenvx",
    "cross-env",
    "cross-env-shell",
    "env-cmd",
    "concurrently",
    "conc",
    "turbo",
    "nx",
    "lerna",
    "wireit",
];

/// The programs of [`PACKAGE_RUNNERS`], and others that run the scripts of a package.
pub fn package_runner_programs() -> impl Iterator<Item = &'static str> {
    WAITING_RUNNERS.into_iter().chain(SIGNALLED_RUNNERS)
}

/// The kind of a program, by its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ProgramKind {
    /// Node runs it, in the process that procrun starts.
    Node,
    /// Bun runs it.
    Bun,
    /// A program for Node that runs the application in a child process: npm, yarn, nodemon.
    PackageRunner,
    /// Python runs it.
    Python,
    /// A shell runs it.
    Shell,
    /// Anything else: a binary, or a script for another interpreter.
    #[default]
    Other,
}

impl ProgramKind {
    /// The default stop signal: PM2 stops Node applications with SIGINT, and every other program expects
    /// SIGTERM. So does npm, which on SIGINT waits for its child, because a terminal signals that child too.
    pub fn stop_signal(self) -> Signal {
        match self {
            Self::Node | Self::Bun => Signal::INT,
            Self::PackageRunner | Self::Python | Self::Shell | Self::Other => Signal::TERM,
        }
    }

    /// Whether it, or a program that it starts, can use Node's IPC channel.
    pub fn may_take_messages(self) -> bool {
        match self {
            Self::Node | Self::Bun | Self::Shell | Self::PackageRunner => true,
            Self::Python | Self::Other => false,
        }
    }

    /// Whether it can be a worker of a cluster whose primary is procrun.
    pub fn can_cluster(self) -> bool {
        match self {
            Self::Node | Self::Bun => true,
            Self::PackageRunner | Self::Python | Self::Shell | Self::Other => false,
        }
    }
}
