// kill_everything: sends SIGKILL to every process that it may signal, and to PID 1; prints what came of each.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  printf("init: %s\n", kill(1, SIGKILL) ? strerrorname_np(errno) : "sent");
  printf("all: %s\n", kill(-1, SIGKILL) ? strerrorname_np(errno) : "sent");
  return 0;
}
