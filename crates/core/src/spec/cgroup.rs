/// Whether each run gets a cgroup of its own (`cgroup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunCgroup {
    /// Where the worker finds the same limits as without.
    #[default]
    Auto,
    /// Wherever one can be made.
    Always,
    /// Nowhere.
    Never,
}
