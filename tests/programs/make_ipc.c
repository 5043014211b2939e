// make_ipc: makes a shared memory segment, a semaphore and a message queue that must not exist yet, and leaves them.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

int main(void) {
  const key_t key = 0x01507a7e;
  const int flags = IPC_CREAT | IPC_EXCL | 0600;
  int failed = shmget(key, 4096, flags) < 0 || semget(key, 1, flags) < 0 || msgget(key, flags) < 0;
  puts(failed ? strerror(errno) : "done");
  return failed;
}
