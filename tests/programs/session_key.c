// session_key add|find: leaves a key in the session keyring, or looks for it there.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SESSION_KEYRING -3

int main(int argc, char **argv) {
  long key = argc > 1 && !strcmp(argv[1], "add")
                 ? syscall(SYS_add_key, "user", "isolate-run-test", "secret", 6, SESSION_KEYRING)
                 : syscall(SYS_request_key, "user", "isolate-run-test", NULL, 0);
  printf("%s\n", key < 0 ? strerrorname_np(errno) : "done");
  return 0;
}
