// leave_daemons N: leaves N daemons in sessions of their own, which sleep for ever and ignore what can be ignored, and
// exits with 0.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int daemons = argc > 1 ? atoi(argv[1]) : 1;
  for (int i = 0; i < daemons; i++) {
    int pid = fork();
    if (pid < 0) return 3;
    if (pid > 0) continue;
    setsid();
    for (int signal_number = 1; signal_number < NSIG; signal_number++) signal(signal_number, SIG_IGN);
    for (;;) pause();
  }
  return 0;
}
