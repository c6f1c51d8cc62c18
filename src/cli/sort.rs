//! `procrun list --sort FIELD[:asc|desc]`, with PM2's syntax.

use std::cmp::Ordering;

use super::failure::Failure;
use crate::{config::EX_USAGE, control::snapshot::InstanceSummary};

type Compare = fn(&InstanceSummary, &InstanceSummary) -> Ordering;

const FIELDS: [(&str, Compare); 10] = [
    ("id", |one, other| one.id.cmp(&other.id)),
    ("name", |one, other| one.name.cmp(&other.name)),
    ("namespace", |one, other| one.namespace.cmp(&other.namespace)),
    ("mode", |one, other| one.mode.cmp(&other.mode)),
    ("pid", |one, other| one.pid.cmp(&other.pid)),
    ("uptime", |one, other| one.uptime.cmp(&other.uptime)),
    ("restarts", |one, other| one.restarts.cmp(&other.restarts)),
    ("status", |one, other| one.status.word().cmp(other.status.word())),
    ("cpu", |one, other| one.cpu.unwrap_or(-1.0).total_cmp(&other.cpu.unwrap_or(-1.0))),
    ("memory", |one, other| one.memory.cmp(&other.memory)),
];

/// Sorts the list by the value of `--sort`. Equal rows stay in the order of their ids.
///
/// # Errors
/// The field or the order is unknown.
pub(super) fn sort(list: &mut [InstanceSummary], by: &str) -> Result<(), Failure> {
    let (field, order) = by.split_once(':').unwrap_or((by, "asc"));
    let wrong =
        |what: String, hint: String| Failure::new(EX_USAGE, format!("`--sort {by}`: {what}")).hint(hint);
    let Some((_, compare)) = FIELDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(field)) else {
        let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
        return Err(wrong(
            format!("unknown column `{field}`"),
            format!("the columns are {}", names.join(", ")),
        ));
    };
    match order {
        "asc" => list.sort_by(compare),
        "desc" => list.sort_by(|one, other| compare(other, one)),
        _ => {
            return Err(wrong(
                format!("unknown order `{order}`"),
                format!("write `{field}:asc` or `{field}:desc`"),
            ));
        }
    }
    Ok(())
}
