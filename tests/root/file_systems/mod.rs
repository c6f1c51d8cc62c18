//! File systems that do not answer, fail or are full: they delay what needs them and nothing else.

mod boot;
mod changes;
mod logs;
mod starts;
mod threads;

use crate::support::{self, Bed, Procrun, workers};

/// Waits for the file `go`, mounts a file system that does not answer at `mnt`, says so, reads all requests and
/// answers none. `asked` is there when one waits. With the file `heal`, `mnt` is what it was before, and what
/// waits fails.
const HUNG_FS: &str = r#"
import ctypes, os, select, signal, struct, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while not os.path.exists("go"):
    time.sleep(0.01)
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"hung", b"mnt", b"fuse", 0, options) != 0:
    sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
_, _, unique = struct.unpack_from("<IIQ", os.read(fd, 1 << 20))
init = struct.pack("<IIIIHHIIHH8I", 7, 31, 65536, 0, 12, 10, 4096, 1, 1, 0, *([0] * 8))
os.write(fd, struct.pack("<IiQ", 16 + len(init), 0, unique) + init)
os.write(os.open("mounted", os.O_CREAT | os.O_WRONLY, 0o600), b"yes")
while not os.path.exists("heal"):
    if select.select([fd], [], [], 0.02)[0]:
        if not os.read(fd, 1 << 20):
            sys.exit()
        os.write(os.open("asked", os.O_CREAT | os.O_WRONLY, 0o600), b"yes")
libc.umount2(b"mnt", 2)
"#;

/// A bed with a directory `mnt`, an app `hung` that needs it, and an app `fine`.
pub(crate) fn with_a_file_system(app: &str) -> Bed {
    let bed = Bed::with(&format!(
        "[[apps]]\nname = \"hung\"\n{app}\n[[apps]]\nname = \"fine\"\nscript = \"./steady.sh\"\nargs = [\"fine\"]\n"
    ));
    bed.file("hung.py", HUNG_FS);
    bed.file("mnt/env", "A=1\n");
    bed.script("mnt/app.sh", "#!/bin/sh\nsleep 0.1\n");
    bed.script("mnt/bin/program", "#!/bin/sh\nsleep 0.1\n");
    bed.script("steady.sh", workers::STEADY);
    bed
}

/// Starts the applications as PID 1, with all files still there.
pub(crate) fn start_with_a_file_system(bed: &Bed) -> Procrun {
    let launch = bed.isolated(&["ecosystem.toml"]).system_path();
    let run = launch.own_mounts().pid1().after("python3 hung.py &").start();
    run.wait_for_line("fine up");
    run
}

/// Lets the file system stop answering.
pub(crate) fn hang(bed: &Bed) {
    bed.file("go", "");
    support::wait_until("the mount", || bed.exists("mounted"));
}

/// Starts the applications as PID 1 when `mnt` does not answer any more.
fn start_with_a_hung_file_system(bed: &Bed) -> Procrun {
    bed.file("go", "");
    let launch = bed.isolated(&["ecosystem.toml"]).system_path();
    let mount = "python3 hung.py & while [ ! -e mounted ]; do sleep 0.02; done";
    launch.own_mounts().pid1().after(mount).start()
}

/// A command to the supervisor of this bed.
fn command(bed: &Bed, args: &[&str]) -> Procrun {
    bed.isolated(args).start()
}

/// An app that goes on when its file system does not.
const LONG: &str = "#!/bin/sh\necho hung up $A\nexec sleep 1000\n";

/// Starts procrun as PID 1 with a file system at `mnt` on which the look-up of each of these names fails until the
/// file `heal` is there.
fn start_with_a_failing_file_system(bed: &Bed, args: &[&str], names: &str) -> Procrun {
    bed.file("answering.py", ANSWERING_FS);
    let mount = format!("python3 answering.py {names} & while [ ! -e mounted ]; do sleep 0.02; done");
    let bin = format!("{}:{}", bed.path("mnt/bin").display(), std::env::var("PATH").unwrap());
    bed.isolated(args).env("PATH", &bin).own_mounts().pid1().after(&mount).start()
}

/// Mounts a file system at `mnt` until the file `heal` is there. It has directories and a file `page`, which can be
/// opened and mapped, and cannot be read: no request for its content is answered. The look-up of a name of the
/// arguments fails.
const ANSWERING_FS: &str = r#"
import ctypes, os, select, signal, struct, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"answering", b"mnt", b"fuse", 0, options) != 0:
    sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
PAGE, DIRECTORY = 2, 3
def attributes(node):
    mode = 0o100644 if node == PAGE else 0o40755
    return struct.pack("<6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
def answer(unique, error, body=b""):
    os.write(fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
def look_up(unique, name):
    if name in sys.argv:
        return answer(unique, -5)
    if name not in ("page", "web", "bin"):
        return answer(unique, -2)
    node = PAGE if name == "page" else DIRECTORY
    answer(unique, 0, struct.pack("<4Q2I", node, 0, 0, 0, 0, 0) + attributes(node))
while not os.path.exists("heal"):
    if not select.select([fd], [], [], 0.02)[0]:
        continue
    request = os.read(fd, 1 << 20)
    _, code, unique, node = struct.unpack_from("<IIQQ", request)
    if code == 26:  # INIT
        answer(unique, 0, struct.pack("<IIIIHHIIHH8I", 7, 31, 65536, 0, 12, 10, 4096, 1, 1, 0, *([0] * 8)))
        os.close(os.open("mounted", os.O_CREAT | os.O_WRONLY, 0o600))
    elif code == 1:  # LOOKUP
        look_up(unique, request[40:].rstrip(b"\0").decode())
    elif code == 3:  # GETATTR
        answer(unique, 0, struct.pack("<QII", 0, 0, 0) + attributes(node))
    elif code in (14, 27):  # OPEN, OPENDIR
        answer(unique, 0, struct.pack("<QII", 0, 0, 0))
    elif code not in (2, 15, 36, 42):  # FORGET has no answer, READ gets none
        answer(unique, -38)
libc.umount2(b"mnt", 2)
"#;
