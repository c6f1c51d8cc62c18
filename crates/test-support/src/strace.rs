//! strace changes what system calls of procrun return: shortages, broken devices, slow disks.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::{SIGTERM, send, spawn};

/// Words before the command line of procrun that change the system calls of its first thread.
pub const fn injected(inject: &str) -> [&str; 7] {
    ["strace", "-D", "-qq", "-o", "/dev/null", "-e", inject]
}

/// [`injected`] for all threads and children.
pub const fn injected_in_all(inject: &str) -> [&str; 8] {
    ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", inject]
}

/// The thread of this name.
pub fn thread_of(pid: i32, name: &str) -> Option<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let has_name =
        |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
    let task = tasks.filter_map(|entry| Some(entry.ok()?.path())).find(has_name)?;
    task.file_name()?.to_str()?.parse().ok()
}

/// strace on threads of a process, until it is dropped.
pub struct Tracer(Child);

impl Tracer {
    /// Starts strace with these arguments on a thread, and waits until it has attached.
    pub fn of(thread: i32, args: &[&str]) -> Self {
        Self::of_threads(&[thread], args)
    }

    /// The same for all threads that a process has now, and not for its children.
    pub fn of_all(pid: i32, args: &[&str]) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process").flatten();
        let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
        Self::of_threads(&threads.collect::<Vec<i32>>(), args)
    }

    fn of_threads(threads: &[i32], args: &[&str]) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-o", "/dev/null"]).args(args);
        strace.args(threads.iter().flat_map(|thread| ["-p".to_owned(), thread.to_string()]));
        let mut child = spawn(strace.stderr(Stdio::piped()));
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut text = String::new();
        while text.matches("attached").count() < threads.len() {
            let length = stderr.read_line(&mut text).expect("our own child");
            assert_ne!(length, 0, "{text}");
        }
        Self(child)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It detaches from the threads.
        send(i32::try_from(self.0.id()).expect("a process id"), SIGTERM);
        let _ = self.0.wait();
    }
}
