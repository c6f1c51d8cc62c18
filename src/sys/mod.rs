//! The room of sys.
