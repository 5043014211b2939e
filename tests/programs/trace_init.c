// trace_init: tries to take PID 1 over with ptrace(2), through its memory and through pidfd_getfd(2); prints the result of each.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void say(const char *what, long result) {
  printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

int main(void) {
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
  say("attach", ptrace(PTRACE_ATTACH, 1, 0, 0));
  say("seize", ptrace(PTRACE_SEIZE, 1, 0, 0));
  say("read", process_vm_readv(1, &here, 1, &there, 1, 0));
  say("mem", open("/proc/1/mem", O_RDWR));
  say("root", open("/proc/1/root", O_RDONLY | O_DIRECTORY));
  int init = syscall(SYS_pidfd_open, 1, 0);
  say("pidfd_getfd", init < 0 ? -1 : syscall(SYS_pidfd_getfd, init, 0, 0));
  return 0;
}
