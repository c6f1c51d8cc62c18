//! One value of the tree → a value of a type of the spec, or why that is not possible.
//!
//! Each function decodes one type of value, whatever key has it. A complaint follows the name of the key:
//! "`instances` must be …".

mod amounts;
mod dialect;
mod environment;
mod names;
mod numbers;
mod strings;
mod switches;

pub(super) use self::{
    amounts::{duration, duration_or_off, guard, is_too_long, memory, seconds, size},
    dialect::{Complaint, Decoded, Dialect, complain, must_be},
    environment::{Variable, environment, json_of},
    names::{cron, principal, signal, zone},
    numbers::{codes, codes_of_pm2, count, instances, nearest_count},
    strings::{full_text, label, scalar_text, text, texts, variable},
    switches::{EndsContainer, auto_switch, ends_container, is_falsy, is_unset, switch, written_switch},
};
