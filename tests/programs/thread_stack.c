// thread_stack MIB: uses that much stack in a second thread.
#include <pthread.h>
#include <stdlib.h>

static void *use(void *mebibytes) {
  size_t size = (size_t)mebibytes << 20;
  volatile char *stack = __builtin_alloca(size);
  for (size_t at = size; at > 0; at -= 1024) stack[at - 1024] = 1;
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, use, (void *)atol(argc > 1 ? argv[1] : "1")) != 0) return 3;
  pthread_join(thread, NULL);
  return 0;
}
