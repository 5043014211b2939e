// wait_usage COMMAND ...: runs a command and prints what wait4(2) says it used: CPU time in seconds, memory in KiB.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  int pid = fork(), status;
  if (pid == 0) {
    execv(argv[1], argv + 1);
    _exit(127);
  }
  struct rusage used;
  if (wait4(pid, &status, 0, &used) != pid || status) return 3;
  long micros = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
  printf("%ld.%06ld %ld\n", micros / 1000000, micros % 1000000, used.ru_maxrss);
  return 0;
}
