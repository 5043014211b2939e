// report_cpu MILLISECONDS: uses that much CPU time and prints, in microseconds, what it used from its first to its last
// moment.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long used(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

int main(int argc, char **argv) {
  long start = used(), limit = argc > 1 ? atol(argv[1]) * 1000 : 100000;
  do {
    for (volatile int i = 0; i < 1000; i++) {
    }
  } while (used() - start < limit);
  printf("%ld\n", used() - start);
  return 0;
}
