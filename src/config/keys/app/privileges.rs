//! User, limits and privileges.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Key, Kind,
            app::row::{OWN, PM2, field},
            option::{OptionGroup, OptionValue::Required, option},
            part::KeyPatch,
            show::principal,
        },
    },
    spec::{
        AppSpec,
        validate::{NICE, OOM_SCORE_ADJ},
    },
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "uid",
        aliases: &["user"],
        meaning: "user to run as, with supplementary groups",
        default: "procrun's own",
        example: "'www-data'",
        kind: Kind::Principal(|app, user| app.user = Some(user)),
        show: |app| principal(app.identity.user.as_ref()),
        options: &[
            option("--uid", Required("USER"), OptionGroup::Environment, "Run as this user"),
            option("--user", Required("USER"), OptionGroup::Hidden, "Run as this user").short('u'),
        ],
        part: field!(identity.user),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "gid",
        meaning: "group to run as",
        default: "the user's, else procrun's own",
        example: "'www-data'",
        kind: Kind::Principal(|app, group| app.group = Some(group)),
        show: |app| principal(app.identity.group.as_ref()),
        options: &[option("--gid", Required("GROUP"), OptionGroup::Environment, "Run as this group")],
        part: field!(identity.group),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "rlimits",
        meaning: "[resource limits](../how-to/resource-limits.md)",
        default: "procrun's own",
        example: "{ nofile = 65536, core = 0 }",
        kind: Kind::Rlimits(|app, resources| app.limits.resources = resources),
        show: |app| app.limits.show("rlimits"),
        part: field!(limits.resources),
        ..OWN
    },
    Key {
        name: "nice",
        meaning: "scheduling priority, -20 to 19",
        default: "procrun's own",
        example: "10",
        kind: Kind::SignedInteger(NICE.0, NICE.1, |app, nice| app.limits.nice = Some(nice)),
        show: |app| app.limits.show("nice"),
        part: field!(limits.nice),
        ..OWN
    },
    Key {
        name: "oom_score_adj",
        meaning: "OOM score adjustment, -1000 to 1000",
        default: "as procrun was started",
        example: "500",
        kind: Kind::SignedInteger(OOM_SCORE_ADJ.0, OOM_SCORE_ADJ.1, |app, adjustment| {
            app.limits.oom_score_adj = Some(adjustment);
        }),
        show: |app| app.limits.show("oom_score_adj"),
        part: field!(limits.oom_score_adj),
        ..OWN
    },
    Key {
        name: "umask",
        meaning: "file mode creation mask",
        default: "procrun's own",
        example: "'027'",
        kind: Kind::Umask(|app, umask| app.limits.umask = Some(umask)),
        show: |app| app.limits.show("umask"),
        part: field!(limits.umask),
        ..OWN
    },
    Key {
        name: "no_new_privileges",
        meaning: "the app cannot gain privileges (setuid programs, prctl(2))",
        default: "procrun's own",
        example: "true",
        kind: Kind::Boolean(|app, on| app.limits.no_new_privileges = on),
        show: |app| app.limits.show("no_new_privileges"),
        part: field!(limits.no_new_privileges),
        ..OWN
    },
];
