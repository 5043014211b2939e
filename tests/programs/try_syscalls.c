// try_syscalls FILE: makes each call that can be denied, and prints what came of it.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long result) {
  printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

// In a process of its own: what it comes into is not for the calls after it.
static void say_apart(const char *what, long (*call)(void)) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    say(what, call());
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}

static long unshare_user(void) { return unshare(CLONE_NEWUSER | CLONE_NEWNS); }
static long clone_user(void) {
  long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) _exit(0);
  return child;
}
// EINVAL: it is in that namespace already.
static long set_namespace(void) { return setns(open("/proc/self/ns/user", O_RDONLY), 0); }

int main(int argc, char **argv) {
  int file = open(argc > 1 ? argv[1] : "locked", O_RDWR | O_CREAT, 0600);
  // Read locks do not wait for each other.
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
  // KEYCTL_GET_KEYRING_ID of a keyring that does not exist.
  say("keyctl", syscall(SYS_keyctl, 0, 0x7fffffff, 0, 0, 0));
  say("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  // The kernel looks at 32 bits of the family only.
  say("vsock64", syscall(SYS_socket, 0x100000000L | AF_VSOCK, SOCK_STREAM, 0));
  say("unix", socket(AF_UNIX, SOCK_STREAM, 0));
  say("setlk", fcntl(file, F_SETLK, &lock));
  say("setlkw", fcntl(file, F_SETLKW, &lock));
  say("ofd-setlk", fcntl(file, F_OFD_SETLK, &lock));
  say("ofd-setlkw", fcntl(file, F_OFD_SETLKW, &lock));
  say("setlease", fcntl(file, F_SETLEASE, F_UNLCK));
  say("notify", fcntl(file, F_NOTIFY, 0));
  say("getlk", fcntl(file, F_GETLK, &lock));
  say("flock", flock(file, LOCK_EX));
  say("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
  say("setuid-chmod", fchmod(file, 04700));
  say("setgid-chmod", fchmod(file, 02700));
  say("setuid-create", open("made", O_WRONLY | O_CREAT, 04700));
  say("setuid-unnamed", open(".", O_WRONLY | O_TMPFILE, 04700));
  say("setuid-node", mknod("node", S_IFREG | 04700, 0));
  say("openat2", syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0));
  say("fchmodat2", syscall(452, AT_FDCWD, "made", 04700, 0));
  say("file_setattr", syscall(469, AT_FDCWD, "made", NULL, 0, 0));
  say_apart("unshare-user", unshare_user);
  say_apart("clone-user", clone_user);
  say_apart("setns", set_namespace);
  say("clone3", syscall(SYS_clone3, NULL, 0));
  int pair[2];
  say("packet", socket(AF_PACKET, SOCK_RAW, 0));
  say("algorithm", socket(AF_ALG, SOCK_SEQPACKET, 0));
  say("netlink-user", socket(AF_NETLINK, SOCK_RAW, 2));
  say("netlink-route", socket(AF_NETLINK, SOCK_RAW, 0));
  say("sctp", socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP));
  say("tcp6", socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP));
  say("udp", socket(AF_INET, SOCK_DGRAM, 0));
  say("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  say("vsock-pair", socketpair(AF_VSOCK, SOCK_STREAM, 0, pair));
  unsigned long context = 0;
  say("aio", syscall(SYS_io_setup, 1, &context));
  say("inotify", inotify_init1(0));
  say("fanotify", syscall(SYS_fanotify_init, 0xffffffff, 0));
  say("huge-memfd", memfd_create("m", MFD_HUGETLB | 0x100));
  say("btrfs", ioctl(file, 0x5000940e, 0));
  say("discipline", ioctl(0, TIOCSETD, NULL));
  say("null-times", utimensat(AT_FDCWD, "/dev/null", NULL, 0));
  say("null", open("/dev/null", O_RDWR));
  say("chmod", fchmod(file, 01755));
  return 0;
}
