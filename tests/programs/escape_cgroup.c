// escape_cgroup: tries to get at control groups by mounting their file system, as itself and in namespaces of its own;
// prints the result of each try.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int failed(const char *what, long result) {
  printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
  return result < 0;
}

int main(void) {
  mkdir("cgroup", 0755);
  failed("mount", mount("none", "cgroup", "cgroup2", 0, NULL));
  failed("fsopen", syscall(SYS_fsopen, "cgroup2", 0));
  failed("setns", setns(open("/proc/1/ns/cgroup", O_RDONLY), 0));
  int user = unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP);
  if (failed("unshare", user)) return 0;
  // As root of a user namespace: the mount may succeed, but shows the leaf alone and is not ours to change.
  if (failed("mount inside", mount("none", "cgroup", "cgroup2", 0, NULL))) return 0;
  failed("make", mkdir("cgroup/other", 0755));
  int limit = open("cgroup/memory.max", O_WRONLY);
  failed("raise", limit < 0 ? -1 : write(limit, "max", 3));
  failed("procs", open("cgroup/cgroup.procs", O_WRONLY));
  return 0;
}
