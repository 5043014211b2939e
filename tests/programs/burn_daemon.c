// burn_daemon MILLISECONDS: a daemon, which nobody waits for, uses that much CPU time; the program itself sleeps until
// then and exits with 0. With 0 the daemon does not stop, and the program sleeps for ever.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  long limit = argc > 1 ? atol(argv[1]) : 0;
  int done[2];
  if (pipe(done)) return 3;
  int child = fork();
  if (child < 0) return 4;
  if (child == 0) {
    setsid();
    int daemon = fork();
    if (daemon != 0) _exit(daemon < 0);
    close(done[0]);
    struct timespec used;
    do {
      for (volatile int i = 0; i < 10000; i++) {
      }
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    } while (!limit || used.tv_sec * 1000 + used.tv_nsec / 1000000 < limit);
    _exit(0);
  }
  close(done[1]);
  int status;
  if (waitpid(child, &status, 0) != child || status) return 5;
  // The end of the daemon closes the pipe. The daemon's parent is dead: its time is nobody's here.
  char byte;
  return read(done[0], &byte, 1) != 0;
}
