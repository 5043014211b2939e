// storm SECONDS: makes and ends processes (fork and vfork) and threads as fast as it can, from two threads at once.
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *nothing(void *unused) { return unused; }

static void *make(void *unused) {
  for (;;) {
    int pid = vfork();
    if (pid == 0) _exit(0);
    pid = fork();
    if (pid == 0) {
      if (fork() == 0) setsid();
      _exit(0);
    }
    pthread_t thread;
    if (!pthread_create(&thread, NULL, nothing, NULL)) pthread_detach(thread);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
  }
  return unused;
}

int main(int argc, char **argv) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, make, NULL) || pthread_create(&thread, NULL, make, NULL)) return 3;
  sleep(argc > 1 ? atoi(argv[1]) : 1);
  return 0;
}
