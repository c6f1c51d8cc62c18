//! Changes of applications whose files do not answer: they stay as they are.

use crate::support::{
    Bed, End, SIGHUP,
    strace::{Tracer, injected_in_all},
    wait_until, workers,
};

use super::{LONG, command, hang, start_with_a_file_system, with_a_file_system};

#[test]
fn an_app_whose_files_do_not_answer_stays_as_it_is_while_others_change() {
    let long = |keys: &str| format!("script = \"./mnt/long.sh\"\n{keys}");
    for (before, after, what) in [
        // Read with the configuration.
        (long("env_file = \"mnt/env\"\n"), long("env_file = \"mnt/env\"\n"), "reading its `env_file`"),
        (long("instances = 2\n"), long("instances = 2\n"), "looking up its script"),
        // Checked before it is changed.
        (long(""), long("env = { NEW = \"1\" }\n"), "looking up its script"),
    ] {
        let bed = with_a_file_system(&before);
        bed.script("mnt/long.sh", LONG);
        let mut run = start_with_a_file_system(&bed);
        run.wait_for_line("hung up");
        hang(&bed);
        let mut file = bed.read("ecosystem.toml").replace(&before, &after);
        file.push_str("env = { NEW = \"2\" }\n");
        bed.file("ecosystem.toml", &file);
        run.signal(SIGHUP);
        let said = run.wait_for_err("app `hung` is unchanged");
        assert!(said.contains(what), "{said}");
        run.wait_for_lines("fine up", 2);
        bed.file("ecosystem.toml", file.replace("\"2\"", "\"3\""));
        let mut apply = command(&bed, &["apply"]);
        apply.expect_code(0);
        apply.wait_for_line("app `hung` is unchanged");
        run.wait_for_lines("fine up", 3);
        assert!(run.err().lines_with("hung (0) exited").is_empty(), "it runs on{}", run.story());
        run.expect_stop();
    }
}

#[test]
fn a_command_that_would_replace_an_app_whose_files_do_not_answer_is_refused() {
    let bed = with_a_file_system("script = \"./mnt/long.sh\"\n");
    bed.script("mnt/long.sh", LONG);
    let mut run = start_with_a_file_system(&bed);
    run.wait_for_line("hung up");
    hang(&bed);
    for args in [&["restart", "hung", "--update-env"][..], &["restart", "hung", "-i", "2"]] {
        let mut restart = command(&bed, args);
        assert_ne!(restart.wait_end(), End::Code(0), "{args:?}");
        restart.wait_for_err("app `hung`: looking up its script `./mnt/long.sh`");
    }
    assert!(run.err().lines_with("hung (0) exited").is_empty(), "it runs on{}", run.story());
    run.expect_stop();
}

#[test]
fn twenty_files_that_hang_leave_an_app_of_another_file_system_alone() {
    let bed = with_a_file_system("script = \"./steady.sh\"\nautostart = false\n");
    let hung = (0..20).map(|number| {
        bed.file(&format!("mnt/env-{number}"), "A=1\n");
        format!(
            "[[apps]]\nname = \"hung-{number}\"\nscript = \"./steady.sh\"\nautostart = false\n\
             env_file = \"mnt/env-{number}\"\n"
        )
    });
    let hung: String = hung.collect();
    bed.file("fine.env", "B=1\n");
    let fine = bed.read("ecosystem.toml") + "env_file = \"fine.env\"\n";
    // The files that hang are read first.
    bed.file("ecosystem.toml", format!("{hung}{fine}"));
    let mut run = start_with_a_file_system(&bed);
    hang(&bed);
    bed.file("ecosystem.toml", format!("{hung}{fine}env = {{ NEW = \"1\" }}\n"));
    // A busy machine may need more than the first reading, whose time the others use up.
    wait_until("the change of the app that does not hang", || {
        command(&bed, &["apply"]).wait_end();
        run.out().lines_with("fine up").len() > 1
    });
    run.expect_stop();
}

#[test]
fn a_schedule_begins_when_its_time_zone_can_be_read() {
    for (inject, why) in [
        // In each helper thread.
        ("inject=openat:error=EIO:when=1", "failed: Input/output error"),
        // Longer than the configuration waits.
        ("inject=openat:delay_enter=3000000:when=1", "timed out"),
    ] {
        let bed = Bed::with(
            "[[apps]]\nname = \"app\"\nscript = \"./steady.sh\"\nargs = [\"app\"]\ncron_restart = \"* * * * * *\"\n",
        );
        bed.script("steady.sh", workers::STEADY);
        let inject = [&injected_in_all(inject)[..], &["-P", "/etc/localtime"]].concat();
        let mut run = bed.isolated(&["ecosystem.toml"]).through(&inject).start();
        let notice = run.wait_for_err("looking up its time zone /etc/localtime");
        assert!(notice.contains(why), "{notice}");
        run.wait_for_line("app up");
        run.wait_for_err("app `app`: time zone found");
        run.wait_for_line("app bye TERM");
        run.expect_stop();
    }
}

#[test]
fn a_shortage_in_the_preflight_replaces_no_app_that_runs() {
    let bed = Bed::with("[[apps]]\nname = \"app\"\nscript = \"long.sh\"\n");
    bed.script("long.sh", "#!/bin/sh\necho app up $NEW\nexec sleep 1000\n");
    let mut run = bed.isolated(&["ecosystem.toml"]).start();
    run.wait_for_line("app up");
    bed.file("ecosystem.toml", bed.read("ecosystem.toml") + "env = { NEW = \"1\" }\n");
    {
        let path = format!("{}/long.sh", bed.root().display());
        let inject = ["-e", "inject=statx,newfstatat:error=ENFILE", "-P", &path];
        let _tracer = Tracer::of_all(run.pid(), &inject);
        run.signal(SIGHUP);
        let notice = run.wait_for_err("app `app` is unchanged");
        assert!(notice.contains("Too many open files in system") && notice.contains("try again"), "{notice}");
        let mut restart = command(&bed, &["restart", "app", "--update-env"]);
        restart.wait_for_err("Too many open files in system");
        assert_ne!(restart.wait_end(), End::Code(0));
        assert!(run.err().lines_with("app (0) exited").is_empty(), "it runs on{}", run.story());
    }
    command(&bed, &["apply"]).expect_code(0);
    run.wait_for_line("app up 1");
    run.expect_stop();
}
