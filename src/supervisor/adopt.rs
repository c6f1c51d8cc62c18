//! Applications that commands have added: how they come into the plan, and what is kept of them.
//!
//! They are no part of the ecosystem file, and reading that again does not take them away.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use tracing::info;

use super::{
    actor::{Supervisor, preflight},
    show,
};
use crate::{
    control::{ClientId, SavedApp, Taken, select::Unknown},
    machine::{InstanceId, InstanceView, Operation, Status},
    spec::{
        AppSpec, Dependency, Instances, Plan,
        order::{circle, graph},
    },
    sys::zone,
};

/// The most instances of one application.
const MOST_INSTANCES: u32 = 1000;

impl Supervisor<'_> {
    /// Adds applications and starts them; the last answer says whether they run.
    pub(super) fn add(
        &mut self,
        client: ClientId,
        mut apps: Vec<AppSpec>,
        environment: BTreeMap<String, String>,
        taken: Taken,
    ) -> Result<(), Unknown> {
        let caller = Arc::new(environment);
        let mut renamed: BTreeMap<String, String> = BTreeMap::new();
        for app in &mut apps {
            check(app)?;
            find_zone(app)?;
            app.env.caller = Some(caller.clone());
            let is_taken = |name: &str| self.is_listed(name);
            if is_taken(&app.name) {
                match taken {
                    Taken::Replace => {}
                    Taken::Refuse => return Err(name_taken(&app.name)),
                    Taken::Rename => {
                        let mut others = (1..).map(|count| format!("{}-{count}", app.name));
                        let other =
                            others.find(|name| !is_taken(name)).expect("there are more names than apps");
                        let name = std::mem::replace(&mut app.name, other.clone());
                        renamed.insert(name, other);
                    }
                }
            }
            if let Some(home) = &self.home {
                keep_logs(app, home);
            }
        }
        for dependency in apps.iter_mut().flat_map(|app| &mut app.order.depends_on) {
            if let Some(name) = renamed.get(&dependency.app) {
                dependency.app.clone_from(name);
            }
        }
        self.check_order(&apps)?;
        let mut refused = Vec::new();
        let _ = preflight(apps.iter(), self.source, &mut self.held, |line| refused.push(line.to_owned()));
        if !refused.is_empty() {
            return Err(Unknown { message: refused.join("\n"), hint: None });
        }
        let names: Vec<String> = apps.iter().map(|app| app.name.clone()).collect();
        info!("a command asks: add {}", names.join(" "));
        let mut plan = self.machine.coming_plan();
        if plan.apps.iter().any(|app| names.contains(&app.name) && !self.is_listed(&app.name)) {
            // Scaled to none: who adds it wants it as it says now, not as it was scaled.
            let mut without = plan.clone();
            without.apps.retain(|app| !names.contains(&app.name) || self.is_listed(&app.name));
            self.apply(without);
        }
        for app in apps {
            let app = Arc::new(app);
            put(&mut self.added, app.clone());
            put(&mut plan.apps, app);
        }
        self.apply(plan);
        let wanted = |view: &InstanceView<'_>| {
            view.spec.autostart && view.completed != Some(true) && names.contains(&view.spec.name)
        };
        let ids: Vec<InstanceId> = show::settled(self).filter(wanted).map(|view| view.id).collect();
        self.operate(client, &ids, Operation::Start(ids.clone()));
        Ok(())
    }

    /// Whether each of these can wait for what it depends on.
    fn check_order(&self, apps: &[AppSpec]) -> Result<(), Unknown> {
        let plan = self.machine.coming_plan();
        let listed = |name: &str| plan.apps.iter().any(|app| app.name == name);
        for app in apps {
            for Dependency { app: other, .. } in &app.order.depends_on {
                if !listed(other) && !apps.iter().any(|app| app.name == *other) {
                    return Err(Unknown {
                        message: format!("app `{}` depends on `{other}`, which is not in the list", app.name),
                        hint: Some(format!("start `{other}` first")),
                    });
                }
            }
        }
        let mut order = graph(plan.apps.iter().map(AsRef::as_ref));
        order.extend(graph(apps));
        match circle(&order) {
            None => Ok(()),
            Some(circle) => Err(Unknown {
                message: format!("`depends_on` makes a circle: {}", circle.join(" → ")),
                hint: None,
            }),
        }
    }

    /// Whether an application of that name is in the list: it has an instance.
    fn is_listed(&self, name: &str) -> bool {
        show::settled(self).any(|view| view.spec.name == name)
    }

    /// Lets the applications of these instances inherit another environment, and starts them again.
    pub(super) fn update_environment(
        &mut self,
        client: ClientId,
        ids: &[InstanceId],
        environment: BTreeMap<String, String>,
    ) {
        let caller = Arc::new(environment);
        let names: BTreeSet<String> = ids
            .iter()
            .filter_map(|id| self.machine.instance(*id))
            .map(|view| view.spec.name.clone())
            .collect();
        let mut plan = self.machine.coming_plan();
        let mut same = Vec::new();
        for app in plan.apps.iter_mut().filter(|app| names.contains(&app.name)) {
            if app.env.caller.as_ref() == Some(&caller) {
                same.push(app.name.clone());
                continue;
            }
            let mut changed = AppSpec::clone(app);
            changed.env.caller = Some(caller.clone());
            *app = Arc::new(changed);
            // What stands in the file stays the file's.
            if let Some(added) = self.added.iter_mut().find(|added| added.name == app.name) {
                *added = app.clone();
            }
        }
        if same.len() < names.len() {
            self.apply(plan);
        }
        // Who has that environment already does not begin again by itself.
        let is_same =
            |id: &InstanceId| self.machine.instance(*id).is_some_and(|view| same.contains(&view.spec.name));
        let same: Vec<InstanceId> = ids.iter().copied().filter(is_same).collect();
        if same.len() == ids.len() {
            self.operate(client, ids, Operation::Restart(same));
        } else {
            if !same.is_empty() {
                self.operate_for_nobody(Operation::Restart(same));
            }
            self.operate(client, ids, Operation::Start(ids.to_vec()));
        }
    }

    /// A plan that was read again, with the applications that commands have added and that are
    /// still there.
    pub(super) fn with_added(&mut self, mut plan: Plan) -> Plan {
        let known = &self.machine.plan().apps;
        self.added.retain(|app| {
            known.iter().any(|other| other.name == app.name)
                && !plan.apps.iter().any(|other| other.name == app.name)
        });
        // Who was given another environment keeps it.
        let coming = self.machine.coming_plan().apps;
        for app in &mut plan.apps {
            let known = coming.iter().find(|other| other.name == app.name);
            if let Some(caller) = known.and_then(|known| known.env.caller.clone()) {
                Arc::make_mut(app).env.caller = Some(caller);
            }
        }
        plan.apps.extend(self.added.iter().cloned());
        plan
    }

    /// The list as it is to be kept.
    pub(super) fn saved(&self) -> Vec<SavedApp> {
        let own = || {
            let own = self.source.environment().iter();
            own.filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
                .collect()
        };
        let saved = self.machine.plan().apps.iter().map(|app| {
            let places: Vec<Status> = show::settled(self)
                .filter(|view| view.spec.name == app.name)
                .map(|view| view.status)
                .collect();
            let mut spec = AppSpec::clone(app);
            if let Instances::Count(_) = spec.instances {
                spec.instances =
                    Instances::Count(u32::try_from(places.len()).unwrap_or(MOST_INSTANCES).max(1));
            }
            let environment = match spec.env.caller.take() {
                Some(caller) => BTreeMap::clone(&caller),
                None => own(),
            };
            let stopped = places.iter().all(|status| *status == Status::Stopped);
            SavedApp { app: spec, environment, stopped }
        });
        saved.collect()
    }
}

/// In place of the one of the same name, or behind all.
fn put(apps: &mut Vec<Arc<AppSpec>>, app: Arc<AppSpec>) {
    match apps.iter_mut().find(|other| other.name == app.name) {
        Some(other) => *other = app,
        None => apps.push(app),
    }
}

/// A schedule travels with the name of its time zone only.
fn find_zone(app: &mut AppSpec) -> Result<(), Unknown> {
    let Some(schedule) = &mut app.schedule else { return Ok(()) };
    schedule.zone = match &schedule.zone_name {
        None => zone::local(app.env.vars.get("TZ").map(String::as_str)),
        Some(name) => zone::named(name).ok_or_else(|| Unknown {
            message: format!("app `{}`: there is no time zone `{name}`", app.name),
            hint: None,
        })?,
    };
    Ok(())
}

/// What `config` guarantees; here somebody else may have made it.
fn check(app: &AppSpec) -> Result<(), Unknown> {
    let wrong = |what: &str| Err(Unknown { message: format!("app `{}`: {what}", app.name), hint: None });
    if app.name.is_empty() || app.name.chars().any(char::is_control) {
        return Err(Unknown { message: "an app has no proper name".to_owned(), hint: None });
    }
    if !app.exec.cwd.is_absolute() {
        return wrong("its working directory is not absolute");
    }
    if let Instances::Count(count) = app.instances
        && !(1..=MOST_INSTANCES).contains(&count)
    {
        return wrong("it has no proper number of instances");
    }
    Ok(())
}

fn name_taken(name: &str) -> Unknown {
    Unknown {
        message: format!("there is an application `{name}` already"),
        hint: Some(format!(
            "`procrun restart {name}` starts it again; another one needs another --name, or --force"
        )),
    }
}

/// In the background nobody reads the console: what has no log files gets PM2's.
fn keep_logs(app: &mut AppSpec, home: &Path) {
    let logs = &mut app.logs;
    if logs.disabled {
        return;
    }
    let stem = app.name.replace('/', "-");
    let file = |kind: &str| home.join("logs").join(format!("{stem}-{kind}.log"));
    logs.files.private_below = Some(home.to_owned());
    logs.files.out.get_or_insert_with(|| file("out"));
    logs.files.error.get_or_insert_with(|| file("error"));
}
