//! The part of a spec that a key sets, and how a command changes it.

use super::patches::PatchFn;

/// The part of a spec that a key sets. What a key changed, and whether it has its default, is decided by it.
pub(in crate::config) struct Part<S> {
    /// Whether two specs agree in it.
    pub(super) same: fn(&S, &S) -> bool,
    /// Copies it from the first spec to the second.
    pub(super) copy: fn(&S, &mut S),
}

/// How `restart` and `reload` change a key in an existing application.
pub(in crate::config) enum KeyPatch<S> {
    /// They cannot.
    None,
    /// They copy its part of the spec.
    Copy,
    /// They change more than its part, or not all of it.
    With(PatchFn<S>),
}
