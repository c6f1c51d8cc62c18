//! What calls the library in the test's own process, without the binary. One of these tests makes the process
//! a subreaper, so that none that starts procrun is here. One mounts a small disk, as root.

mod logs_pump;
mod monit;
mod monitor;

use procrun_test_support as support;
