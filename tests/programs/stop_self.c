// stop_self: stops itself, and whenever it is continued, again.
#include <signal.h>

int main(void) {
  for (;;) raise(SIGSTOP);
}
