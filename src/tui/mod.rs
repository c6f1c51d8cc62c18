//! `procrun monit`: the processes of a supervisor on a full screen.
//!
//! | file | contents |
//! |---|---|
//! | `model` | a snapshot of processes, container and machine |
//! | `state` | pure: state + event → state, and requests to the supervisor |
//! | `logs` | pure: the last lines of the selected process, with scroll, search and filter |
//! | `layout` | pure: the layout of the screen |
//! | `view`, `table`, `pane`, `paint` | pure: state → frame |
//! | `terminal` | the terminal, restored also after a panic |
//!
//! A view: it makes no decision about a process, and has no socket.

mod layout;
mod logs;
mod model;
mod paint;
mod pane;
mod state;
mod table;
mod terminal;
mod view;

pub use self::{
    model::{LogLine, Process, Snapshot},
    state::{Event, ProcessAction, State, ViewRequest},
    terminal::Screen,
    view::draw,
};
