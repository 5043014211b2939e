// count_threads N: starts up to N threads that wait, and prints how many there were in all, the first one included.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *wait_for_ever(void *unused) {
  for (;;) pause();
  return unused;
}

int main(int argc, char **argv) {
  int wanted = argc > 1 ? atoi(argv[1]) : 1, running = 1;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  for (int i = 0; i < wanted; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, wait_for_ever, NULL)) break;
    running++;
  }
  printf("%d\n", running);
  return 0;
}
