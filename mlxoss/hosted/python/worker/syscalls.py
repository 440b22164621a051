"""Which calls of Linux a cell may make, by name, and their numbers on both machines.

Numbers: ``asm/unistd_64.h`` of x86_64 and ``asm-generic/unistd.h`` of aarch64; -1 where a machine
has none. Whatever is not named gets ENOSYS, to which the C library knows older ways
(``clone3`` to ``clone``), so a call that a later kernel brings is closed from the start.
"""

from __future__ import annotations

from typing import Final

ALLOWED: Final[dict[str, tuple[int, int]]] = {
    # Open files, of which Landlock says which may be opened.
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66),
    "pread64": (17, 67), "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70),
    "preadv2": (327, 286), "pwritev2": (328, 287), "lseek": (8, 62), "open": (2, -1),
    "openat": (257, 56), "openat2": (437, 437), "close": (3, 57),
    "ftruncate": (77, 46), "truncate": (76, 45), "fsync": (74, 82),
    "fdatasync": (75, 83), "flock": (73, 32), "fadvise64": (221, 223),
    "copy_file_range": (326, 285), "sendfile": (40, 71), "dup": (32, 23), "dup2": (33, -1),
    "dup3": (292, 24), "pipe": (22, -1), "pipe2": (293, 59),
    # Names of files.
    "stat": (4, -1), "lstat": (6, -1), "fstat": (5, 80), "newfstatat": (262, 79),
    "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44), "access": (21, -1),
    "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, -1),
    "readlinkat": (267, 78), "getdents": (78, -1), "getdents64": (217, 61), "getcwd": (79, 17),
    "chdir": (80, 49), "fchdir": (81, 50), "rename": (82, -1), "renameat": (264, 38),
    "renameat2": (316, 276), "mkdir": (83, -1), "mkdirat": (258, 34), "rmdir": (84, -1),
    "unlink": (87, -1), "unlinkat": (263, 35), "umask": (95, 166),
    # Waiting.
    "poll": (7, -1), "ppoll": (271, 73), "select": (23, -1), "pselect6": (270, 72),
    "epoll_create": (213, -1), "epoll_create1": (291, 20), "epoll_ctl": (233, 21),
    "epoll_wait": (232, -1), "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441),
    "eventfd": (284, -1), "eventfd2": (290, 19), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "pause": (34, -1), "alarm": (37, -1), "setitimer": (38, 103),
    "getitimer": (36, 102), "wait4": (61, 260), "waitid": (247, 95),
    # Memory.
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226),
    "madvise": (28, 233), "msync": (26, 227), "mincore": (27, 232), "brk": (12, 214),
    "membarrier": (324, 283),
    # Threads, and this process.
    "rseq": (334, 293), "futex": (202, 98), "futex_waitv": (449, 449),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "gettid": (186, 178),
    "getpid": (39, 172), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158), "getpgrp": (111, -1),
    "getpgid": (121, 155), "getsid": (124, 156), "getresuid": (118, 148),
    "getresgid": (120, 150), "exit": (60, 93), "exit_group": (231, 94),
    "arch_prctl": (158, -1), "getrlimit": (97, 163), "setrlimit": (160, 164),
    "getrusage": (98, 165), "times": (100, 153), "getpriority": (140, 141),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126), "getcpu": (309, 168),
    # Signals of its own.
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    # Time, randomness, the machine's name.
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "time": (201, -1), "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278),
    # A pair of sockets that are connected already, which asyncio wakes itself by.
    "recvfrom": (45, 207), "getsockname": (51, 204), "getpeername": (52, 205),
    "shutdown": (48, 210),
}  # fmt: skip

REFUSED: Final[dict[str, tuple[int, int]]] = {
    # Another process, or another program in this one.
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281),
    "setsid": (112, 157), "setpgid": (109, 154), "unshare": (272, 97), "setns": (308, 268),
    # Other processes.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    # Networks and sockets that have names.
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendmsg": (46, 211), "recvmsg": (47, 212),
    "sendmmsg": (307, 269), "recvmmsg": (299, 243),
    # Memory that has no owner, or that no watchdog sees.
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    # Names that lead elsewhere.
    "symlink": (88, -1), "symlinkat": (266, 36), "link": (86, -1), "linkat": (265, 37),
    "mknod": (133, -1), "mknodat": (259, 33),
    # The kernel's own faces.
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "personality": (135, 92),
    "inotify_init": (253, -1), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
}  # fmt: skip
"""Those that are answered with EPERM, so that code reads "Operation not permitted"."""

PRETENDED: Final[dict[str, tuple[int, int]]] = {
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "lchown": (94, -1), "fchown": (93, 55), "fchownat": (260, 54),
    "utime": (132, -1), "utimes": (235, -1), "utimensat": (280, 88), "futimesat": (261, -1),
}  # fmt: skip
"""Modes, owners and times, which Landlock does not guard: they change nothing and say that they
did, since copying a file (``shutil.copy``) ends in one of them."""

UNSUPPORTED: Final[dict[str, tuple[int, int]]] = {
    "fallocate": (285, 47),
    "listxattr": (194, 11), "llistxattr": (195, 12), "flistxattr": (196, 13),
    "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip
"""Extended attributes, which Landlock does not guard either: there are none. And ``fallocate``,
which takes the disk without writing, behind a file's end and beyond any limit of files."""

BY_ARGUMENT: Final[dict[str, tuple[int, int]]] = {
    "clone": (56, 220), "kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261),
    "prctl": (157, 167), "fcntl": (72, 25), "ioctl": (16, 29), "socketpair": (53, 199),
    "sendto": (44, 206), "close_range": (436, 436), "getsockopt": (55, 209),
    "setsockopt": (54, 208),
}  # fmt: skip
"""Those that are allowed with some arguments only (``seccomp``)."""
