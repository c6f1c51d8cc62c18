//! The room of machine.
