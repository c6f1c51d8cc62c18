//! `procrun monit`: the processes of a supervisor on a full screen.
//!
//! | file | what it is for |
//! |---|---|
//! | `model` | what is shown: a snapshot of processes, container and machine |
//! | `state` | pure: state + event → state, and what is to be asked of the supervisor |
//! | `logs` | pure: the last lines of the selected process, with scroll, search and filter |
//! | `screen` | pure: the places on the screen |
//! | `view`, `table`, `pane` | pure: state → frame |
//! | `terminal` | the terminal, put back also after a panic |
//!
//! A view: it decides nothing about a process, and knows no socket.

mod logs;
mod model;
mod pane;
mod screen;
mod state;
mod table;
mod terminal;
mod view;

pub use self::{
    model::{LogLine, Process, Snapshot},
    state::{Act, Ask, Event, State},
    terminal::Screen,
    view::draw,
};
