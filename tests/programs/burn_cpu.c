// burn_cpu MILLISECONDS: uses that much CPU time, then exits with 0.
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
  long limit = argc > 1 ? atol(argv[1]) : 100;
  struct timespec used;
  do {
    for (volatile int i = 0; i < 10000; i++) {
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  } while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < limit);
  return 0;
}
