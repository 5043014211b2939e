// burn_threads N: N threads that are busy for ever.
#include <pthread.h>
#include <stdlib.h>

static void *burn(void *unused) {
  for (volatile unsigned long i = 0;; i++) {
  }
  return unused;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, burn, NULL)) return 3;
  }
  burn(NULL);
}
