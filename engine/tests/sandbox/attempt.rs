//! What a prisoner tries, by name. `Ok` means that it was able to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::FromRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;

use libc::{c_int, c_long};

use crate::prisoner::{Ended, Errand, LEFT_OPEN, LONGEST_FILE, MEMORY};

/// A name and what it does.
pub(crate) type Attempt = (&'static str, fn(&Errand) -> io::Result<()>);

pub(crate) const READ: &[Attempt] = &[
    ("read a file of the machine", |_| File::open("/etc/passwd").map(drop)),
    ("read a secret file", |errand| fs::read(errand.outside.join("secret")).map(drop)),
    ("list a folder", |errand| fs::read_dir(&errand.outside).map(drop)),
    ("read the environment", |_| fs::read("/proc/self/environ").map(drop)),
    ("read the server's command line", |_| fs::read(of_parent("cmdline")).map(drop)),
    ("read which kernel it is", |_| File::open("/proc/version").map(drop)),
];

pub(crate) const WRITE: &[Attempt] = &[
    ("write a file", |errand| fs::write(errand.outside.join("new"), "written")),
    ("overwrite a file", |errand| OpenOptions::new().write(true).open(errand.outside.join("secret")).map(drop)),
    ("write to the temporary folder", |_| {
        let path = format!("/tmp/secateur-prisoner-{}", std::process::id());
        fs::write(&path, "written").and_then(|()| fs::remove_file(&path))
    }),
    ("move a file out", |errand| {
        fs::write("moving", "written")?;
        fs::rename("moving", errand.outside.join("moved"))
    }),
    ("remove a file", |errand| {
        fs::write(errand.outside.join("victim"), "").ok();
        fs::remove_file(errand.outside.join("secret"))
    }),
];

pub(crate) const KINDS_OF_FILES: &[Attempt] = &[
    ("make a symbolic link", |_| symlink("/etc/passwd", "link")),
    ("make a hard link", |_| {
        fs::write("original", "")?;
        fs::hard_link("original", "second")
    }),
    ("make a folder", |_| fs::create_dir("folder")),
    ("make a named pipe", |_| made(libc::SYS_mknodat, [cwd(), path("pipe"), (libc::S_IFIFO | 0o600).into(), 0, 0])),
    ("make a socket", |_| made(libc::SYS_mknodat, [cwd(), path("socket"), (libc::S_IFSOCK | 0o600).into(), 0, 0])),
    ("give a file another mode", |_| {
        fs::write("program", "")?;
        fs::set_permissions("program", fs::Permissions::from_mode(0o4755))
    }),
    ("mark a file with an attribute", |_| {
        fs::write("marked", "")?;
        let arguments = [path("marked"), path("user.mark"), path("x"), 1, 0];
        invalid_is_fine(made(libc::SYS_setxattr, arguments), libc::ENOTSUP)
    }),
];

pub(crate) const SOCKETS: &[Attempt] = &[
    ("connect to a port", |errand| TcpStream::connect(("127.0.0.1", errand.port)).map(drop)),
    ("listen on a port", |_| std::net::TcpListener::bind("127.0.0.1:0").map(drop)),
    ("make a datagram socket", |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("make a pair of sockets", |_| UnixStream::pair().map(drop)),
    ("make a netlink socket", |_| made(libc::SYS_socket, [libc::AF_NETLINK.into(), libc::SOCK_RAW.into(), 0, 0, 0])),
];

pub(crate) const PROCESSES: &[Attempt] = &[
    ("fork", |_| child_of(libc::SYS_fork, [0; 5])),
    ("clone a process", |_| child_of(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0])),
    ("clone a process the new way", |_| {
        let arguments: [u64; 8] = [0, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
        child_of(libc::SYS_clone3, [arguments.as_ptr() as c_long, 64, 0, 0, 0])
    }),
    ("start a program", |_| std::process::Command::new("/bin/true").status().map(drop)),
    ("start a program from a descriptor", |_| {
        // An invalid descriptor: without the filter it says so.
        match made(libc::SYS_execveat, [-1, path(""), 0, 0, libc::AT_EMPTY_PATH.into()]) {
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(()),
            other => other,
        }
    }),
];

pub(crate) const OTHERS: &[Attempt] = &[
    ("signal its parent", |_| made(libc::SYS_kill, [parent(), 0, 0, 0, 0])),
    ("signal everybody", |_| made(libc::SYS_kill, [-1, 0, 0, 0, 0])),
    ("signal a thread of its parent", |_| made(libc::SYS_tgkill, [parent(), parent(), 0, 0, 0])),
    ("queue a signal for its parent", |_| {
        let mut information = [0_i32; 32];
        // Any other says that the kernel or the process itself sent it.
        information[2] = libc::SI_QUEUE;
        made(libc::SYS_rt_sigqueueinfo, [parent(), 0, information.as_ptr() as c_long, 0, 0])
    }),
    ("hold its parent", |_| made(libc::SYS_pidfd_open, [parent(), 0, 0, 0, 0])),
    ("have the kernel signal its parent", |_| made(libc::SYS_fcntl, [0, libc::F_SETOWN.into(), parent(), 0, 0])),
    ("be traced", |_| made(libc::SYS_ptrace, [libc::PTRACE_TRACEME.into(), 0, 0, 0, 0])),
    ("read its own memory as another's", |_| {
        let (source, mut word) = (7_u64, 0_u64);
        let from = libc::iovec { iov_base: (&raw const source).cast_mut().cast(), iov_len: 8 };
        let to = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 8 };
        let own = c_long::from(std::process::id());
        made(libc::SYS_process_vm_readv, [own, &raw const to as c_long, 1, &raw const from as c_long, 1])
    }),
    ("read the limits of its parent", |_| {
        let mut limits = [0_u64; 2];
        made(libc::SYS_prlimit64, [parent(), libc::RLIMIT_NOFILE.into(), 0, limits.as_mut_ptr() as c_long, 0])
    }),
    ("leave its group", |_| made(libc::SYS_setpgid, [0, 0, 0, 0, 0])),
    ("lower its own priority", |_| made(libc::SYS_setpriority, [libc::PRIO_PROCESS.into(), 0, 5, 0, 0])),
];

pub(crate) const NAMESPACES: &[Attempt] = &[
    ("make a namespace", |_| made(libc::SYS_unshare, [libc::CLONE_NEWUTS.into(), 0, 0, 0, 0])),
    ("enter a namespace", |_| {
        // An invalid descriptor: without the filter it says so.
        invalid_is_fine(made(libc::SYS_setns, [-1, 0, 0, 0, 0]), libc::EBADF)
    }),
    ("mount", |_| {
        let arguments = [path("none"), path("/nowhere"), path("tmpfs"), 0, 0];
        invalid_is_fine(made(libc::SYS_mount, arguments), libc::ENOENT)
    }),
    ("unmount", |_| invalid_is_fine(made(libc::SYS_umount2, [path("."), 0, 0, 0, 0]), libc::EINVAL)),
    ("change the root", |_| made(libc::SYS_chroot, [path("."), 0, 0, 0, 0])),
];

pub(crate) const KERNEL: &[Attempt] = &[
    ("io_uring", |_| invalid_is_fine(made(libc::SYS_io_uring_setup, [0, 0, 0, 0, 0]), libc::EFAULT)),
    ("bpf", |_| invalid_is_fine(made(libc::SYS_bpf, [-1, 0, 0, 0, 0]), libc::EINVAL)),
    ("userfaultfd", |_| made(libc::SYS_userfaultfd, [0, 0, 0, 0, 0])),
    ("perf", |_| invalid_is_fine(made(libc::SYS_perf_event_open, [0, 0, -1, -1, 0]), libc::EFAULT)),
    ("keys", |_| made(libc::SYS_keyctl, [0, -3, 1, 0, 0])),
    ("shared memory", |_| invalid_is_fine(made(libc::SYS_shmget, [0x5ec, 1, 0, 0, 0]), libc::ENOENT)),
    ("memory with a descriptor", |_| made(libc::SYS_memfd_create, [path("memory"), 0, 0, 0, 0])),
    ("message queues", |_| invalid_is_fine(made(libc::SYS_mq_unlink, [path("none"), 0, 0, 0, 0]), libc::ENOENT)),
    ("another personality", |_| made(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0])),
    ("file handles", |_| invalid_is_fine(made(libc::SYS_open_by_handle_at, [-1, 0, 0, 0, 0]), libc::EFAULT)),
    ("device commands", |_| {
        let mut bytes: c_int = 0;
        made(libc::SYS_ioctl, [0, libc::FIONREAD as c_long, &raw mut bytes as c_long, 0, 0])
    }),
    ("a call of a later kernel", |_| made(9999, [0; 5])),
];

pub(crate) const IDENTITY: &[Attempt] = &[
    ("become root", |_| made(libc::SYS_setuid, [0, 0, 0, 0, 0])),
    ("take root's group", |_| made(libc::SYS_setgid, [0, 0, 0, 0, 0])),
    ("clear its groups", |_| made(libc::SYS_setgroups, [0, 0, 0, 0, 0])),
    ("give a file away", |_| {
        fs::write("given", "")?;
        made(libc::SYS_chown, [path("given"), 0, 0, 0, 0])
    }),
];

pub(crate) const TOO_MUCH: &[Attempt] = &[
    ("take too much memory", |_| mapped(MEMORY as usize, libc::PROT_READ | libc::PROT_WRITE)),
    ("write a file that is too long", |_| File::create("long")?.write_all(&vec![0; LONGEST_FILE as usize + 1])),
    ("open too many files", |_| {
        let files: io::Result<Vec<File>> = (0..300).map(|_| File::open("model.pt")).collect();
        files.map(drop)
    }),
];

pub(crate) const ALLOWED: &[Attempt] = &[
    ("start threads", |_| {
        let threads: Vec<_> = (0..8).map(|number| std::thread::Builder::new().spawn(move || number)).collect();
        let sum: i32 =
            threads.into_iter().map(|thread| Ok::<_, io::Error>(thread?.join().unwrap())).sum::<io::Result<_>>()?;
        if sum == 28 { Ok(()) } else { Err(io::Error::other("a thread is missing")) }
    }),
    ("work with its files", |_| {
        fs::read("model.pt")?;
        fs::write("output.partial", "first")?;
        fs::write("output.partial", "2nd")?;
        fs::rename("output.partial", "output")?;
        fs::rename("output", "model.json")?;
        if fs::read("model.json")? != b"2nd" {
            return Err(io::Error::other("not what was written"));
        }
        fs::remove_file("model.json")
    }),
    ("ask about the processor", |_| fs::read("/proc/cpuinfo").map(drop)),
    ("draw random numbers", |_| File::open("/dev/urandom")?.read_exact(&mut [0; 8])),
    ("make code", |_| mapped(4096, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)),
    ("signal itself", |_| made(libc::SYS_kill, [std::process::id().into(), 0, 0, 0, 0])),
];

/// Attempts that stand alone.
pub(crate) const OTHER: &[Attempt] = &[
    ("read a descriptor that was left open", |_| {
        // SAFETY: the descriptor is the test's own, or closed, and is given up again below.
        let mut file = unsafe { File::from_raw_fd(LEFT_OPEN) };
        let read = file.read(&mut [0; 8]).map(drop);
        std::mem::forget(file);
        read
    }),
    ("replace an input", |_| {
        fs::write("replacement", "forged")?;
        fs::rename("replacement", "model.pt")
    }),
    ("change an input", |_| OpenOptions::new().write(true).open("model.pt").map(drop)),
    ("call by the numbers of another architecture", |_| {
        invalid_is_fine(made(0x4000_0000 | libc::SYS_getpid, [0; 5]), libc::ENOSYS)
    }),
    ("open a terminal", |_| OpenOptions::new().read(true).custom_flags(libc::O_NOCTTY).open("/dev/ptmx").map(drop)),
];

/// Makes the attempt of a name.
pub(crate) fn make(name: &str, errand: &Errand) -> Ended {
    let lists = [
        READ,
        WRITE,
        KINDS_OF_FILES,
        SOCKETS,
        PROCESSES,
        OTHERS,
        NAMESPACES,
        KERNEL,
        IDENTITY,
        TOO_MUCH,
        ALLOWED,
        OTHER,
    ];
    let (_, attempt) = lists.into_iter().flatten().find(|(known, _)| *known == name).expect("an attempt of this name");
    match attempt(errand) {
        Ok(()) => Ok("done".to_owned()),
        Err(error) => Err((error.raw_os_error().unwrap_or_default(), error.to_string())),
    }
}

fn parent() -> c_long {
    // SAFETY: a plain call that cannot fail.
    unsafe { libc::getppid() }.into()
}

fn of_parent(file: &str) -> String {
    format!("/proc/{}/{file}", parent())
}

fn cwd() -> c_long {
    libc::AT_FDCWD.into()
}

/// A path for a system call. It is leaked, which a process that is about to end can afford.
fn path(path: impl AsRef<Path>) -> c_long {
    let bytes = path.as_ref().as_os_str().as_encoded_bytes();
    std::ffi::CString::new(bytes).expect("a path without NUL").into_raw() as c_long
}

fn made(call: c_long, arguments: [c_long; 5]) -> io::Result<()> {
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: the arguments are numbers, or point to memory that outlives the call; each is of a kind that the call takes.
    match unsafe { libc::syscall(call, first, second, third, fourth, fifth, c_long::from(0)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes memory, which stays.
fn mapped(bytes: usize, rights: c_int) -> io::Result<()> {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: pages of its own, which nobody else knows of.
    match unsafe { libc::mmap(std::ptr::null_mut(), bytes, rights, kind, -1, 0) } {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// For a call with arguments that no kernel takes: the complaint about them says that the call itself was let through.
fn invalid_is_fine(made: io::Result<()>, complaint: c_int) -> io::Result<()> {
    match made {
        Err(error) if error.raw_os_error() == Some(complaint) => Ok(()),
        other => other,
    }
}

/// For calls that return twice: the child ends at once.
fn child_of(call: c_long, arguments: [c_long; 5]) -> io::Result<()> {
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: the child makes nothing but one more system call.
    match unsafe { libc::syscall(call, first, second, third, fourth, fifth, c_long::from(0)) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: ends the child without running anything of the parent's.
        0 => unsafe { libc::_exit(0) },
        _ => Ok(()),
    }
}
