// burn_cpu MILLISECONDS: uses that much CPU time, then exits with 0. What the process used before it became this
// program does not count.
#include <stdlib.h>
#include <time.h>

static long used_milliseconds(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
  long start = used_milliseconds(), limit = argc > 1 ? atol(argv[1]) : 100;
  do {
    for (volatile int i = 0; i < 10000; i++) {
    }
  } while (used_milliseconds() - start < limit);
  return 0;
}
