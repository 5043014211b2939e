// ignore_signals: ignores and blocks every signal that can be, and sleeps for ever.
#include <signal.h>
#include <unistd.h>

int main(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_IGN);
  for (;;) pause();
}
