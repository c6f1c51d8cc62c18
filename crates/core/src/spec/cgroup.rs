//! Cgroups of runs.

/// Whether each run gets a cgroup of its own (`cgroup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunCgroup {
    /// If the worker then has the same limits as without one.
    #[default]
    Auto,
    /// If one can be created.
    Always,
    /// No run has one.
    Never,
}
